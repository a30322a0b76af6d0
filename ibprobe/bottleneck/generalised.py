"""Between IB and DIB: min H(T) − α H(T|X) − β I(T;Y), 0 < α < 1 (Strouse & Schwab 2017, arXiv:1604.00268).

No measure makes this convex: the iteration starts from the IB solution, the hard clustering and the neighbouring β, and
the best end counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ibprobe.bottleneck.curve import Point
from ibprobe.bottleneck.deterministic import HardSolver
from ibprobe.bottleneck.joint import Joint
from ibprobe.bottleneck.problem import GONE, TINY
from ibprobe.bottleneck.tracing import Tracer

_STEPS = 5000
_SOFT = 0.02


class GeneralisedSolver:
    """From β to the best point that the iteration reaches from several starts."""

    def __init__(self, joint: Joint, alpha: float, tracer: Tracer) -> None:
        self.joint, self.alpha = joint, alpha
        self._tracer, self._hard = tracer, HardSolver(joint)
        self._last: Any = None

    def __call__(self, beta: float) -> Point:
        """The point at β; no bound on its gap is known."""
        soft, hard = self._tracer(beta / self.alpha).encoder, self._hard(beta).encoder
        # A cluster that never gets an input cannot win one: hard starts are softened.
        starts = [soft, hard, (1 - _SOFT) * hard + _SOFT / len(hard)]
        starts += [] if self._last is None else [self._last]
        ends = [self._iterated(start, beta) for start in starts]
        _, encoder, still = min(ends, key=lambda end: end[0])
        self._last = encoder
        return Point.of(self.joint, beta, encoder, np.nan, still)

    def _iterated(self, encoder: Any, beta: float) -> tuple[float, Any, bool]:
        """Objective, encoder ``(t, d)``, and whether it stood still."""
        value = self._objective(encoder, beta)
        for _ in range(_STEPS):
            encoder = self._step(encoder, beta)
            following = self._objective(encoder, beta)
            if value - following < 1e-13:
                return following, encoder, True
            value = following
        return value, encoder, False

    def _step(self, encoder: Any, beta: float) -> Any:
        together = encoder * self.joint.mass
        weight = together.sum(axis=1)
        together, weight = together[weight > GONE], weight[weight > GONE]
        given_t = together @ self.joint.rows / weight[:, None]
        found = np.log(weight)[:, None] + beta * np.log(np.clip(given_t, TINY, None)) @ self.joint.rows.T
        found = (found - found.max(axis=0)) / self.alpha
        found = np.exp(found)
        return found / found.sum(axis=0)

    def _objective(self, encoder: Any, beta: float) -> float:
        p = Point.of(self.joint, beta, encoder, np.nan, True)
        return p.h_t - self.alpha * (p.h_t - p.i_xt) - beta * p.i_ty

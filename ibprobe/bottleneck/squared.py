"""The squared Lagrangian, min I(X;T)² − β I(T;Y) (Kolchinsky, Tracey & Van Kuyk 2019, arXiv:1808.07593).

Where the curve has a straight piece, and it is nothing else when Y is a function of X, the plain Lagrangian only
reaches the ends of the piece: every point on it has the same β. The square has one optimum for each β. On the
frontier that is the point whose slope 1/β′ is 2 I(X;T)/β; it is found by bisecting β′, and where β′ jumps, by sharing
time between both sides.
"""

from __future__ import annotations

import math

import numpy as np

from ibprobe.bottleneck.curve import Point
from ibprobe.bottleneck.joint import Joint
from ibprobe.bottleneck.tracing import Tracer

_CLOSE = 1e-9


class SquaredSolver:
    """From the β of the squared Lagrangian to its optimum."""

    def __init__(self, joint: Joint, tracer: Tracer) -> None:
        self.joint = joint
        self._tracer = tracer

    def __call__(self, beta: float) -> Point:
        """The point at β, attained by one encoder; its gap is that of the frontier there, to first order."""
        low = self._tracer(self._tracer.onset)
        top = max(self._tracer.onset, 1.0)
        high = self._tracer(1.1 * top)
        while 2 * high.i_xt * high.beta < beta and high.i_ty < (1 - 1e-9) * self.joint.i_xy:
            low, high = high, self._tracer(2 * high.beta)
        while high.beta - low.beta > _CLOSE * low.beta:
            middle = self._tracer(math.sqrt(low.beta * high.beta))
            low, high = (middle, high) if 2 * middle.i_xt * middle.beta < beta else (low, middle)
        return self._between(low, high, beta)

    def largest(self) -> float:
        """The β at which the curve is saturated."""
        point = self._tracer(1.1 * self._tracer.onset)
        while point.i_ty < (1 - 1e-3) * self.joint.i_xy and point.beta < 1e6 * self._tracer.onset:
            point = self._tracer(1.6 * point.beta)
        return 2.0 * point.i_xt * point.beta

    def _between(self, low: Point, high: Point, beta: float) -> Point:
        """Of the encoders that use the one with probability 1 − share and the other with share, the best."""
        wanted = beta / (2 * high.beta)
        room = high.i_xt - low.i_xt
        share = min(1.0, max(0.0, (wanted - low.i_xt) / room)) if room > 1e-12 else 1.0
        parts = [(share, high.encoder), (1 - share, low.encoder)]
        encoder = np.concatenate([part * given for part, given in parts if part > 0])
        gap = max(low.gap, high.gap) * 2 * max(wanted, low.i_xt)
        return Point.of(self.joint, beta, encoder, gap, low.converged and high.converged)

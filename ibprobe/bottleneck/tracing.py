"""From β to points of the curve, each solved from its neighbour, and betas chosen evenly along it."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Callable
from typing import Any

import numpy as np

from ibprobe.bottleneck.curve import Point
from ibprobe.bottleneck.joint import Joint
from ibprobe.bottleneck.problem import Problem, host
from ibprobe.bottleneck.solution import Solution, solve

Solver = Callable[[float], Point]
Told = Callable[[int, int], None]
"""Called with how many points are done, and of how many."""

_SATURATED = 1e-3
_HIGHEST = 1e6
_GROWTH = 1.6
_CLOSEST = 1e-4
"""Betas nearer than this, relatively, are not told apart: between them the curve jumps."""


class Tracer:
    """Solves the bottleneck at any β, from the solution at the next lower β that it knows."""

    def __init__(self, joint: Joint, onset: float, *, tol: float, device: str | None) -> None:
        self.joint, self.onset, self.tol = joint, onset, tol
        self._problem = Problem.of(joint, device)
        self._betas: list[float] = []
        self._known: dict[float, tuple[Solution, Point]] = {}

    def __call__(self, beta: float) -> Point:
        """The optimal point at β; the trivial one, without any work, up to the onset."""
        if beta <= self.onset:
            return Point.of(self.joint, beta, np.ones((1, len(self.joint.mass))), 0.0, True)
        if beta not in self._known:
            problem = self._problem.at(beta)
            at = bisect_right(self._betas, beta)
            start = self._known[self._betas[at - 1]][0].clusters if at else problem.one_cluster()
            found = solve(problem, start, tol=self.tol)
            encoder = host(problem.encoder(found.clusters))
            point = Point.of(self.joint, beta, encoder, found.gap, found.gap <= self.tol)
            insort(self._betas, beta)
            self._known[beta] = (found, point)
        return self._known[beta][1]

    def tangents(self) -> Any:
        """β, I(X;T) − β I(T;Y) and the gap of every solution, ``(m, 3)``."""
        rows = [(p.beta, p.i_xt - p.beta * p.i_ty, p.gap) for _, p in self._known.values()]
        return np.array(sorted(rows)).reshape(-1, 3)


def evenly(solver: Solver, joint: Joint, onset: float, points: int, told: Told | None) -> tuple[list[Point], list[str]]:
    """Points from just before the onset to saturation, with steps along the curve that are as equal as jumps allow.

    Args:
        solver: from β to a point.
        joint: p(x, y).
        onset: where the curve leaves 0.
        points: at most so many.
        told: progress.

    Returns:
        The points by increasing β, and notes.
    """
    found = [solver(0.98 * onset)]
    beta, notes = 1.02 * onset, []
    while True:
        found.append(solver(beta))
        _tell(told, len(found), points)
        if found[-1].i_ty >= (1 - _SATURATED) * joint.i_xy or len(found) >= points:
            break
        if beta > _HIGHEST * onset:
            notes.append(f"not saturated at β = {beta:.3g}: some p(y|x) are nearly equal")
            break
        beta *= _GROWTH
    while len(found) < points:
        k = _widest(found, joint)
        if k is None:
            break
        found.insert(k + 1, solver(math.sqrt(found[k].beta * found[k + 1].beta)))
        _tell(told, len(found), points)
    return found, notes


def _widest(found: list[Point], joint: Joint) -> int | None:
    """Where the longest step is that can still be halved."""
    scale = np.array([max(found[-1].i_xt, 1e-12), max(joint.i_xy, 1e-12)])
    at = np.array([(p.i_xt, p.i_ty) for p in found]) / scale
    beta = np.array([p.beta for p in found])
    steps = np.hypot(*np.diff(at, axis=0).T)
    steps[beta[1:] <= beta[:-1] * (1 + _CLOSEST)] = 0
    widest = int(steps.argmax())
    return widest if steps[widest] > 1e-6 else None


def _tell(told: Told | None, done: int, of: int) -> None:
    if told is not None:
        told(done, of)

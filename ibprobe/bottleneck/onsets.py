"""Critical β: where the bottleneck's optimum first is more than nothing, and where it gains clusters."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ibprobe.bottleneck.joint import Joint
from ibprobe.bottleneck.problem import TINY, Problem
from ibprobe.bottleneck.solution import Solution, solve

if TYPE_CHECKING:
    from jaxtyping import Float

_CLIMBS, _STILL = 40, 1e-10
_FOLLOWED = 16
"""Places that are climbed from: those whose roots are lowest at first."""
_LONGEST = 100.0
_NEWTON = 60
_RTOL = 1e-3
"""Width of the bracket in which a bifurcation lies."""
_TOL = 1e-8
"""Clusters that differ by less in what they are worth are one."""


def local_onset(joint: Joint) -> float:
    """1/σ₂², σ₂ the second singular value of p(x, y)/√(p(x) p(y)): above it the trivial T is no local optimum.

    Infinite where X and Y are independent.
    """
    whitened = np.sqrt(joint.mass)[:, None] * (joint.rows - joint.p_y) / np.sqrt(joint.p_y)
    top = float(np.linalg.norm(whitened, 2)) if whitened.size else 0.0
    return 1 / top**2 if top > 1e-8 else math.inf


def onset(joint: Joint) -> float:
    """The β up to which the trivial T is optimal: 1/η_KL, η_KL the constant of the strong data-processing inequality.

    The trivial T is optimal iff E_x exp(β s(x)) ≤ 1 for all r, s(x) = Σ_y p(y|x) ln r(y)/p(y); for each r the left
    side is convex in β with one root besides 0, and the onset is the smallest root over r. Small r − p gives 1/σ₂²
    (Anantharam, Gohari, Kamath & Nair 2013, arXiv:1304.6133, on why the two differ); a smaller one is found by
    climbing from every p(y|x) and from halfway there.
    """
    local = local_onset(joint)
    if math.isinf(local):
        return math.inf
    places = np.concatenate([joint.rows, 0.5 * (joint.rows + joint.p_y)])
    # What has no probability under r could never be; a little of p keeps every logarithm finite.
    places = (1 - 1e-9) * places + 1e-9 * joint.p_y
    betas, _ = _roots(joint, places, np.full(len(places), math.inf))
    lowest = np.argsort(betas)[:_FOLLOWED]
    places, betas = places[lowest], betas[lowest]
    for _ in range(_CLIMBS):
        before = float(betas.min())
        betas, places = _climbed(joint, places, betas)
        if before - float(betas.min()) <= _STILL * before:
            break
    return max(1.0, min(local, float(betas.min())))


def _climbed(joint: Joint, places: Any, betas: Any) -> tuple[Any, Any]:
    """Two steps up in E exp(β s), at each place's own β, and one as far beyond as they foresee where that is lower."""
    _, one = _roots(joint, places, betas)
    first, two = _roots(joint, one, betas)
    logs = [np.log(np.clip(place, TINY, None)) for place in (places, one, two)]
    step, bend = logs[1] - logs[0], logs[2] - 2 * logs[1] + logs[0]
    length = np.sqrt((places * step**2).sum(axis=1) / np.clip((places * bend**2).sum(axis=1), TINY, None))
    length = np.clip(length, 1.0, _LONGEST)[:, None]
    far = logs[0] + 2 * length * step + length**2 * bend
    far = np.exp(far - far.max(axis=1, keepdims=True))
    far /= far.sum(axis=1, keepdims=True)
    reached, _ = _roots(joint, far, np.full(len(far), math.inf))
    better = reached < first
    return np.where(better, reached, first), np.where(better[:, None], far, one)


def _roots(joint: Joint, places: Any, near: Any) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, "m k"]]:
    """The positive β at which ln E exp(β s) = 0, by Newton from the right, where it rises; and one step up.

    Args:
        joint: p(x, y).
        places: ``(m, k)``.
        near: ``(m,)``: what the roots are not to the right of.
    """
    score = np.log(np.clip(places / joint.p_y, TINY, None)) @ joint.rows.T
    mass, top = joint.mass, score.max(axis=1)
    rises = top > 1e-12
    bound = -np.log(mass[score.argmax(axis=1)]) / np.where(rises, top, 1.0)
    at = np.where(rises, np.minimum(bound, near), 1.0)
    for _ in range(_NEWTON):
        lifted = at[:, None] * score
        peak = lifted.max(axis=1, keepdims=True)
        terms = mass * np.exp(lifted - peak)
        total = terms.sum(axis=1)
        value = np.log(total) + peak[:, 0]
        rate = (terms * score).sum(axis=1) / total
        move = np.where(rate > 0, value / np.where(rate > 0, rate, 1.0), 0.0)
        at = np.where(at - move > 0, at - move, at / 2)
        if (np.abs(move) <= 1e-8 * at).all():  # the next one would move by the square
            break
    return np.where(rises, at, math.inf), (terms @ joint.rows) / total[:, None]


def bifurcations(joint: Joint, first: float, most: int, *, highest: float = math.inf) -> list[float]:
    """The next betas above the onset at which the optimum gains clusters, each to a thousandth.

    They are looked for in steps of 5 %: two within one step count as one.

    Args:
        joint: p(x, y).
        first: the onset, which is not in the result.
        most: stop after so many.
        highest: stop at this β.
    """
    problem = Problem.of(joint)
    found: list[float] = []
    low = first * (1 + 2 * _RTOL)
    if not math.isfinite(first) or most < 1:
        return found
    below = solve(problem.at(low), problem.one_cluster(), tol=_TOL)
    while len(found) < most and low < highest and _clusters(below) < len(joint.mass):
        high = 1.05 * low
        above = solve(problem.at(high), below.clusters, tol=_TOL)
        if _clusters(above) > _clusters(below) > 1:
            found.append(_located(problem, (low, below), (high, above)))
        low, below = high, above
    return [beta for beta in found if beta < highest]


def _clusters(solution: Solution) -> int:
    return len(solution.clusters)


def _located(problem: Problem, low: tuple[float, Solution], high: tuple[float, Solution]) -> float:
    while high[0] - low[0] > _RTOL * low[0]:
        middle = math.sqrt(low[0] * high[0])
        found = solve(problem.at(middle), low[1].clusters, tol=_TOL)
        if _clusters(found) > _clusters(low[1]):
            high = (middle, found)
        else:
            low = (middle, found)
    return math.sqrt(low[0] * high[0])

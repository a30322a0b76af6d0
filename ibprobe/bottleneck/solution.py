"""The bottleneck at one β, with a proof of how good it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ibprobe.bottleneck.certificate import certify
from ibprobe.bottleneck.fixed_point import settle
from ibprobe.bottleneck.problem import Array, Problem, merged, normalised
from ibprobe.bottleneck.weights import best_weights

_STEPS = 60
_UNUSED = 1e-8
_LIGHT = 1e-3
_ROUNDS = 40
"""Of iterating and proving, at most."""
_MARGIN = 0.3
"""Of the tolerance, what is worked to: a climb may end a little below the top, and merging may cost the rest."""
_CLOSE = (1e-8, 1e-4, 1e-3)
"""Squared Hellinger distances within which clusters are tried as one, the narrowest first."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Clusters where the self-consistent equations stand still."""

    clusters: Array
    """``(t, k)`` p(t, y)."""
    gap: float
    """Bound on the objective's distance from its minimum over all encoders, nats."""


def solve(problem: Problem, start: Array, *, tol: float = 1e-6) -> Solution:
    """Iterate, prove, and put clusters where they are missing, until the proof holds.

    Every certificate gives a value that no encoder is below; the highest of them proves all solutions, the one with
    the fewest clusters among them. A cluster may be missing and yet worth next to nothing: then the certificate that
    counts is that of the clusters with it, before any iteration.

    Args:
        problem: the joint at one β.
        start: ``(t, k)`` clusters, such as those of a neighbouring β.
        tol: the gap that is good enough, nats.
    """
    within, clusters, lowest, proved, settled = _MARGIN * tol, start, math.inf, -math.inf, False
    best = start
    for _ in range(_ROUNDS):
        if not settled:
            clusters = settle(problem, _joined(problem, clusters, 0.01 * within), tol=within, steps=_STEPS)
        value = problem.step(clusters)[1]
        slack, missing = certify(problem, clusters, within)
        proved = max(proved, value - max(slack, 0.0))
        if value < lowest:
            best, lowest = clusters, value
        if lowest - proved <= within or not len(missing):
            break
        clusters = _with(problem, clusters, missing)
        settled = value - problem.step(clusters)[1] < within
    spare = max(0.5 * tol - (lowest - proved), 0.0)
    fewer = _needed(problem, _joined(problem, best, spare / 3), spare / 3)
    return Solution(fewer, max(problem.step(fewer)[1] - proved, 0.0))


def _with(problem: Problem, clusters: Array, missing: Array) -> Array:
    """The best weights for these clusters and for those that are missing; without what then has none."""
    xp = problem.xp
    places = xp.concatenate([normalised(clusters), missing])
    start = xp.concatenate([clusters.sum(1), 0.0 * missing.sum(1)])
    weights = best_weights(problem, places, start)
    used = weights > _UNUSED
    found = places[used] * weights[used][:, None]
    return found / found.sum()


def _needed(problem: Problem, clusters: Array, allowed: float) -> Array:
    """Without the lightest clusters, as long as that raises the free energy by no more than is allowed."""
    value = problem.step(clusters)[1]
    while len(clusters) > 1 and float(clusters.sum(1).min()) < _LIGHT:
        kept = clusters.sum(1) > clusters.sum(1).min()
        fewer, _ = problem.step(clusters[kept] / clusters[kept].sum())
        if problem.step(fewer)[1] > value + allowed:
            break
        clusters = fewer
    return clusters


def _joined(problem: Problem, clusters: Array, allowed: float) -> Array:
    """Clusters that are nearly equal become one where that raises the free energy by no more than is allowed."""
    value = None
    for within in _CLOSE:
        fewer = merged(clusters, within, problem.xp)
        if len(fewer) == len(clusters):
            continue
        value = problem.step(clusters)[1] if value is None else value
        its_value = problem.step(fewer)[1]
        if its_value > value + allowed:
            break
        clusters, value = fewer, its_value
    return clusters

"""The best weights for clusters whose p(y|t) are given: a convex problem, solved by a primal–dual interior point."""

from __future__ import annotations

from ibprobe.bottleneck.problem import Array, Problem

_GAP = 1e-9
_ITERATIONS = 60
_SHRINK = 0.1


def best_weights(problem: Problem, places: Array, start: Array) -> Array:
    """p(t) that minimises −E_x ln Σ_t p(t) exp(−β KL(p(y|x) ‖ p(y|t))).

    As in Koenker & Mizera (2014) for mixtures: with Lagrange multipliers the sum is free and p ≥ 0 stays, whose barrier
    is lowered until the duality gap is 10⁻⁹ nats.

    Args:
        problem: the joint at one β.
        places: ``(t, k)`` p(y|t), all positive where a p(y|x) is.
        start: ``(t,)``, may hold zeros.

    Returns:
        ``(t,)`` weights that sum to 1; those that are not needed are about 10⁻¹².
    """
    xp = problem.xp
    energies = problem.energies(places)
    likelihood = xp.exp(energies - xp.amax(energies, 1, keepdims=True))
    root = xp.sqrt(problem.mass)
    m = len(start)
    weights = 0.9 * start / start.sum() + 0.1 / m
    slack = xp.clip(1 - likelihood.T @ (problem.mass / (likelihood @ weights)), 0.0, None) + 1e-3 / m / weights
    for _ in range(_ITERATIONS):
        scaled = likelihood * (root / (likelihood @ weights))[:, None]
        residual = 1 - scaled.T @ root - slack
        gap = float(weights @ slack)
        if gap < _GAP and float(abs(residual).max()) < _GAP:
            break
        barrier = _SHRINK * gap / m
        hessian = scaled.T @ scaled
        hessian.reshape(-1)[:: m + 1] += slack / weights
        move = xp.linalg.solve(hessian, barrier / weights - slack - residual)
        push = barrier / weights - slack - slack / weights * move
        weights = weights + _within(weights, move) * move
        slack = slack + _within(slack, push) * push
    return weights / weights.sum()


def _within(value: Array, move: Array) -> float:
    """How much of a move leaves all values positive."""
    falling = move < 0
    return min(1.0, 0.99 * float((-value[falling] / move[falling]).min())) if bool(falling.any()) else 1.0

"""The joints that solvers are compared on, and the value that all of them should reach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ibprobe.bottleneck import ib_curve

Array = NDArray[np.float64]
SIZES = ((64, 2), (64, 10), (256, 2), (256, 10), (1024, 2), (1024, 10))
BETAS = np.linspace(0.01, 20, 50)
_EVERY = 7
_STEPS, _STILL = 20_000, 1e-13
_GRID = 20_001


def random_joint(n: int, k: int) -> Array:
    """p(x) from Dir(2), p(y|x) from Dir(1)."""
    rng = np.random.default_rng(0)
    joint: Array = rng.dirichlet(np.full(n, 2.0))[:, None] * rng.dirichlet(np.ones(k), n)
    return joint


def converged(p: Array, betas: Array) -> tuple[Array, Array]:
    """I(X;T) − β I(T;Y) of our solver at a thousandth of its tolerance, and how far that may be from the minimum."""
    curve = ib_curve(p, betas, tol=1e-9)
    return curve.objective, curve.gap


def proved(p: Array, betas: Array) -> Array:
    """For two labels, what I(X;T) − β I(T;Y) of no encoder is below, at each β.

    The bound of Lindsay (1983), see ``ibprobe.bottleneck.certificate``, with its maximum over the simplex taken over a
    grid of all of it, where the solver climbs from where it is: a place that the search misses would show.
    """
    p_x = p.sum(1)
    rows = p / p_x[:, None]
    own = (rows * np.log(rows)).sum(1)
    told = float((p * np.log(rows / p.sum(0))).sum())
    ones = np.linspace(0, 1, _GRID)[1:-1]
    grid = np.log(np.stack([ones, 1 - ones]))
    curve, found = ib_curve(p, betas, tol=1e-9), []
    for beta, encoder in zip(curve.beta, curve.encoders, strict=True):
        joint = encoder @ p
        weight = joint.sum(1)
        z = np.exp(-beta * (own[:, None] - rows @ np.log(joint / weight[:, None]).T)) @ weight
        highest = (np.exp(-beta * (own[:, None] - rows @ grid)).T @ (p_x / z)).max()
        found.append(-p_x @ np.log(z) - np.log(highest) - beta * told)
    return np.array(found)


def annealed(p: Array) -> list[tuple[float, float]]:
    """β and I(X;T) − β I(T;Y) of the textbook's iteration, with as many clusters as inputs, from high β downwards.

    It shares no code with the solver: a minimum that it reaches and the solver does not would show.
    """
    p_x = p.sum(1)
    rows = p / p_x[:, None]
    own = (rows * np.log(rows)).sum(1)
    p_y = p.sum(0)
    told = float((p * np.log(rows / p_y)).sum())
    found, clusters = [], p
    for beta in BETAS[::-_EVERY]:
        value = np.inf
        for _ in range(_STEPS):
            clusters = clusters[clusters.sum(1) > 1e-13]
            weight = clusters.sum(1)
            energy = np.log(weight) - beta * (own[:, None] - rows @ np.log(clusters / weight[:, None]).T)
            top = energy.max(1, keepdims=True)
            share = np.exp(energy - top)
            z = share.sum(1, keepdims=True)
            before, value = value, float(-p_x @ (np.log(z) + top)[:, 0])
            if before - value < _STILL:
                break
            clusters = (share * (p_x[:, None] / z)).T @ rows
        # Its free energy is I(X;T) + β (I(X;Y) − I(T;Y)).
        found.append((float(beta), value - float(beta) * told))
    return found[::-1]

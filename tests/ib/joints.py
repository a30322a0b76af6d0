"""Joint distributions whose bottleneck is known, and slow, obvious solvers.

The folder is not called ``bottleneck`` as the package is: pandas would import it in place of the library of that name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np


def binary_entropy(a: float) -> float:
    return 0.0 if a in (0.0, 1.0) else -a * math.log(a) - (1 - a) * math.log(1 - a)


def symmetric(d: float) -> np.ndarray:
    """A fair bit through a channel that flips it with probability d."""
    return 0.5 * np.array([[1 - d, d], [d, 1 - d]])


def erasing(e: float) -> np.ndarray:
    """A fair bit through a channel that erases it with probability e."""
    return 0.5 * np.array([[1 - e, e, 0.0], [0.0, e, 1 - e]])


def random_joint(n: int, k: int, seed: int = 0, noise: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(n, 2.0))[:, None] * rng.dirichlet(np.full(k, noise), n)


def labels(n: int = 40, k: int = 3, seed: int = 0) -> np.ndarray:
    """Y is a function of X."""
    rng = np.random.default_rng(seed)
    p = np.zeros((n, k))
    p[np.arange(n), np.arange(n) % k] = rng.dirichlet(np.ones(n))
    return p


def gerber(i_xt: float, d: float) -> float:
    """I(T;Y) of the best T for the symmetric channel: ln 2 − h(a ∗ d) where I(X;T) = ln 2 − h(a)."""
    low, high = 0.0, 0.5
    for _ in range(100):
        a = (low + high) / 2
        low, high = (a, high) if math.log(2) - binary_entropy(a) > i_xt else (low, a)
    return math.log(2) - binary_entropy(a * (1 - d) + (1 - a) * d)


def informations(p: np.ndarray, encoder: np.ndarray) -> tuple[float, float, float]:
    """I(X;T), I(T;Y) and H(T), term by term."""
    p = p / p.sum()
    p_x, p_y = p.sum(1), p.sum(0)
    p_t, with_y = encoder @ p_x, encoder @ p
    together = encoder * p_x

    def information(joint: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
        return sum(
            joint[i, j] * math.log(joint[i, j] / (a[i] * b[j])) for i, j in np.argwhere(joint > 0)
        )  # fmt: skip

    entropy = -sum(v * math.log(v) for v in p_t if v > 0)
    return information(together, p_t, p_x), information(with_y, p_t, p_y), entropy


def plain_iteration(p: np.ndarray, beta: float, clusters: np.ndarray, steps: int) -> tuple[float, np.ndarray]:
    """The textbook's self-consistent equations: free energy and p(t, y)."""
    p_x = p.sum(1)
    rows = p / p_x[:, None]
    own = np.sum(np.where(rows > 0, rows * np.log(np.where(rows > 0, rows, 1)), 0), axis=1)
    for _ in range(steps):
        clusters = clusters[clusters.sum(1) > 1e-12]
        weight = clusters.sum(1)
        divergence = own[:, None] - rows @ np.log(np.maximum(clusters / weight[:, None], 1e-300)).T
        unnormalised = weight * np.exp(-beta * divergence)
        z = unnormalised.sum(1)
        clusters = (unnormalised * (p_x / z)[:, None]).T @ rows
    return float(-p_x @ np.log(z)), clusters


def partitions(n: int) -> Iterator[list[int]]:
    """All clusterings of n things, as labels."""

    def grow(labels: list[int]) -> Iterator[list[int]]:
        if len(labels) == n:
            yield labels
            return
        for label in range(max(labels, default=-1) + 2):
            yield from grow([*labels, label])

    yield from grow([])


def hard_objective(p: np.ndarray, labels: list[int], beta: float) -> float:
    """H(T) − β I(T;Y) of a clustering."""
    encoder = (np.array(labels) == np.arange(max(labels) + 1)[:, None]).astype(float)
    _, i_ty, h_t = informations(p, encoder)
    return h_t - beta * i_ty

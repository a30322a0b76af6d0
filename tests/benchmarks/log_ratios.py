"""ln p(x,y)/(p(x)p(y)) of each own task, row by row: the densities written a second time, to test the truths."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from benchmarks.known_answers.own_tasks import (
    AMPLITUDE,
    ASTRAY,
    BLOB_SD,
    BLOB_WEIGHTS,
    BLOBS,
    CELLS,
    FLIP,
    GATE_SD,
    KAPPA,
    RATE,
    SCALES,
    SHAPES,
    SHIFT,
    SQUARE_SD,
    WIDTHS,
)
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


def uniform_noise(x: Array, y: Array) -> Array:
    """p(y) is the length of [0, 1] ∩ [y − w, y + w], divided by 2w; p(y|x) is 1/2w."""
    w = np.array(WIDTHS)
    return -np.log(np.minimum(1, y + w) - np.maximum(0, y - w)).sum(1)


def blobs(x: Array, y: Array) -> Array:
    px, py = (stats.norm.pdf(v, np.array(BLOBS)[:, i], BLOB_SD) for i, v in ((0, x), (1, y)))
    w = np.array(BLOB_WEIGHTS)
    return np.log((px * py) @ w) - np.log(px @ w) - np.log(py @ w)


def shared_scale(x: Array, y: Array) -> Array:
    def density(v: Array) -> Array:
        return np.stack([np.exp(stats.norm.logpdf(v, 0, s).sum(1)) for s in SCALES]).mean(0)

    return np.log(density(np.hstack([x, y]))) - np.log(density(x)) - np.log(density(y))


def sign_of_a_product(x: Array, y: Array) -> Array:
    agree = np.sign(x.prod(1)) == np.sign(y[:, 0])
    return np.log(np.where(agree, 1 - FLIP, FLIP) / 0.5)


def bits_in_noise(x: Array, y: Array) -> Array:
    both = np.logaddexp(stats.norm.logpdf(y, AMPLITUDE), stats.norm.logpdf(y, -AMPLITUDE)) - math.log(2)
    return (stats.norm.logpdf(y, AMPLITUDE * x) - both).sum(1)


def circle(x: Array, y: Array) -> Array:
    angle, seen = (np.arctan2(v[:, 1], v[:, 0]) for v in (x, y))
    return stats.vonmises.logpdf(seen - angle, KAPPA) + math.log(2 * math.pi)


def gate(x: Array, y: Array) -> Array:
    given = stats.norm.pdf(y, x, GATE_SD).mean(1)
    return np.log(given) - stats.norm.logpdf(y[:, 0], 0, math.sqrt(1 + GATE_SD**2))


def counts(x: Array, y: Array) -> Array:
    # scipy counts trials, ours counts failures before the first success.
    return (stats.poisson.logpmf(y, RATE * x) - stats.geom.logpmf(y + 1, 1 / (1 + RATE))).sum(1)


def gamma_exponential(x: Array, y: Array) -> Array:
    return (stats.expon.logpdf(y, scale=1 / x) - stats.lomax.logpdf(y, np.array(SHAPES))).sum(1)


def volatility(x: Array, y: Array) -> Array:
    return _against_mixture(y, lambda at: stats.norm.logpdf(y, 0, np.exp(at)), stats.norm.logpdf(y, 0, np.exp(x)))


def squares(x: Array, y: Array) -> Array:
    return _against_mixture(y, lambda at: stats.norm.logpdf(y, at**2, SQUARE_SD), stats.norm.logpdf(y, x**2, SQUARE_SD))


def _against_mixture(y: Array, given: Callable[[float], Array], log_given: Array) -> Array:
    """ln p(y|x) − ln p(y), p(y) the mean of ``given`` over a standard normal, by a fine sum."""
    grid = np.linspace(-6, 6, 401)
    p = sum(np.exp(given(at) + stats.norm.logpdf(at)) for at in grid) * (grid[1] - grid[0])
    return (log_given - np.log(p)).sum(1)


def shuffled_cells(x: Array, y: Array) -> Array:
    here, there = (np.minimum((v[:, 0] * len(CELLS)).astype(int), len(CELLS) - 1) for v in (x, y))
    return np.log(ASTRAY + (1 - ASTRAY) * len(CELLS) * (np.array(CELLS)[here] == there))


def two_clusters(x: Array, y: Array) -> Array:
    u, v = np.ones(10) / math.sqrt(10), np.tile([1.0, -1.0], 5) / math.sqrt(10)

    def log_density(rows: Array, centre: Array) -> Array:
        sides = [stats.norm.logpdf(rows, sign * SHIFT * centre).sum(1) for sign in (1, -1)]
        return np.logaddexp(*sides) - math.log(2)

    joint = log_density(np.hstack([x, y]), np.hstack([u, v]))
    return joint - log_density(x, u) - log_density(y, v)


def laplace_noise(x: Array, y: Array) -> Array:
    marginal = np.log1p(abs(y)) - abs(y) - math.log(4)
    return (stats.laplace.logpdf(y, x) - marginal).sum(1)


LOG_RATIOS: Mapping[str, Callable[[Array, Array], Array]] = {
    "uniform noise": uniform_noise,
    "four blobs": blobs,
    "shared scale": shared_scale,
    "sign of a product": sign_of_a_product,
    "bits in noise": bits_in_noise,
    "circle": circle,
    "gate": gate,
    "counts": counts,
    "gamma and exponential": gamma_exponential,
    "volatility": volatility,
    "shuffled cells": shuffled_cells,
    "two clusters": two_clusters,
    "squares": squares,
    "laplace noise": laplace_noise,
}

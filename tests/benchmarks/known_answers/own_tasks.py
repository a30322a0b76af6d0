"""Fourteen pairs that no monotone map of the coordinates makes Gaussian, one to ten dimensions a side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from . import own_truths
from .cases import Folders, Sample

Array = NDArray[np.float64]
Rng = np.random.Generator
Rows = tuple[Array, Array]
N = 5000

WIDTHS = (0.25, 0.5, 1.0, 2.0)
BLOBS = ((-3.0, -1.0), (-1.0, 3.0), (1.0, -3.0), (3.0, 1.0))
BLOB_WEIGHTS, BLOB_SD = (0.1, 0.2, 0.3, 0.4), 0.7
SCALES = (0.4, 1.6)
FLIP = 0.05
AMPLITUDE = 1.25
KAPPA = 8.0
GATE_SD = 0.2
RATE = 4.0
SHAPES = (0.5, 2.0)
CELLS, ASTRAY = (3, 0, 5, 1, 4, 2), 0.2
SHIFT = 1.5
SQUARE_SD = 0.5


@dataclass(frozen=True, slots=True)
class OwnTask:
    """How rows are drawn, and what they share."""

    draw: Callable[[int, Rng], Rows]
    truth: Callable[[], float]


def uniform_noise(n: int, rng: Rng) -> Rows:
    x = rng.uniform(size=(n, len(WIDTHS)))
    return x, x + rng.uniform(-1, 1, x.shape) * WIDTHS


def blobs(n: int, rng: Rng) -> Rows:
    at = np.array(BLOBS)[rng.choice(len(BLOBS), n, p=BLOB_WEIGHTS)]
    both = at + BLOB_SD * rng.standard_normal((n, 2))
    return both[:, :1], both[:, 1:]


def shared_scale(n: int, rng: Rng) -> Rows:
    s = rng.choice(SCALES, (n, 1))
    return s * rng.standard_normal((n, 5)), s * rng.standard_normal((n, 5))


def sign_of_a_product(n: int, rng: Rng) -> Rows:
    x = rng.standard_normal((n, 2))
    sign = np.sign(x.prod(1)) * np.where(rng.uniform(size=n) < FLIP, -1, 1)
    return x, (sign * abs(rng.standard_normal(n)))[:, None]


def bits_in_noise(n: int, rng: Rng) -> Rows:
    x = rng.choice([-1.0, 1.0], (n, 4))
    return x, AMPLITUDE * x + rng.standard_normal(x.shape)


def circle(n: int, rng: Rng) -> Rows:
    angle = rng.uniform(0, 2 * math.pi, n)
    seen = angle + rng.vonmises(0, KAPPA, n)
    return np.stack([np.cos(angle), np.sin(angle)], 1), np.stack([np.cos(seen), np.sin(seen)], 1)


def gate(n: int, rng: Rng) -> Rows:
    x = rng.standard_normal((n, 2))
    chosen = x[np.arange(n), rng.integers(0, 2, n)]
    return x, (chosen + GATE_SD * rng.standard_normal(n))[:, None]


def counts(n: int, rng: Rng) -> Rows:
    x = rng.exponential(size=(n, 3))
    return x, rng.poisson(RATE * x).astype(float)


def gamma_exponential(n: int, rng: Rng) -> Rows:
    x = rng.gamma(SHAPES, size=(n, 2))
    return x, rng.exponential(size=x.shape) / x


def volatility(n: int, rng: Rng) -> Rows:
    x = rng.standard_normal((n, 3))
    return x, np.exp(x) * rng.standard_normal(x.shape)


def shuffled_cells(n: int, rng: Rng) -> Rows:
    x = rng.uniform(size=n)
    there = (np.array(CELLS)[(x * len(CELLS)).astype(int)] + rng.uniform(size=n)) / len(CELLS)
    return x[:, None], np.where(rng.uniform(size=n) < ASTRAY, rng.uniform(size=n), there)[:, None]


def two_clusters(n: int, rng: Rng) -> Rows:
    """One sign, along a different diagonal on each side."""
    sign = rng.choice([-1.0, 1.0], (n, 1))
    u, v = np.ones(10) / math.sqrt(10), np.tile([1.0, -1.0], 5) / math.sqrt(10)
    return tuple(sign * SHIFT * w + rng.standard_normal((n, 10)) for w in (u, v))


def squares(n: int, rng: Rng) -> Rows:
    x = rng.standard_normal((n, 2))
    return x, x**2 + SQUARE_SD * rng.standard_normal(x.shape)


def laplace_noise(n: int, rng: Rng) -> Rows:
    x = rng.laplace(size=(n, 3))
    return x, x + rng.laplace(size=x.shape)


OWN_TASKS: Mapping[str, OwnTask] = {
    "uniform noise": OwnTask(uniform_noise, lambda: own_truths.uniform_noise(WIDTHS)),
    "four blobs": OwnTask(blobs, lambda: own_truths.blobs(BLOBS, BLOB_WEIGHTS, BLOB_SD)),
    "shared scale": OwnTask(shared_scale, lambda: own_truths.shared_scale(SCALES, 5)),
    "sign of a product": OwnTask(sign_of_a_product, lambda: own_truths.noisy_sign(FLIP)),
    "bits in noise": OwnTask(bits_in_noise, lambda: 4 * own_truths.bit_in_noise(AMPLITUDE)),
    "circle": OwnTask(circle, lambda: own_truths.circle(KAPPA)),
    "gate": OwnTask(gate, lambda: own_truths.gate(GATE_SD)),
    "counts": OwnTask(counts, lambda: 3 * own_truths.counts(RATE)),
    "gamma and exponential": OwnTask(gamma_exponential, lambda: sum(map(own_truths.gamma_exponential, SHAPES))),
    "volatility": OwnTask(volatility, lambda: 3 * own_truths.volatility()),
    "shuffled cells": OwnTask(shuffled_cells, lambda: own_truths.shuffled_cells(len(CELLS), ASTRAY)),
    "two clusters": OwnTask(two_clusters, lambda: own_truths.two_clusters(SHIFT)),
    "squares": OwnTask(squares, lambda: 2 * own_truths.squares(SQUARE_SD)),
    "laplace noise": OwnTask(laplace_noise, lambda: 3 * own_truths.laplace_noise()),
}


@cache
def truth_of(task: str) -> float:
    return OWN_TASKS[task].truth()


def own(task: str, seed: int, folders: Folders) -> Sample:
    x, y = OWN_TASKS[task].draw(N, np.random.default_rng(seed))
    return Sample(truth=truth_of(task), x=torch.from_numpy(x).float(), y=torch.from_numpy(y).float())


def own_tasks(folders: Folders) -> tuple[str, ...]:
    return tuple(OWN_TASKS)

"""Ten classes in 64 dimensions: T is clean, T̃ = T + ε; the truth I(T̃;Y) is a mean of the true posterior's logarithm.

``gaussian``: one mean a class, shared low-rank spread. ``curved``: a ring a class, in one plane, inside one another.
``clustered``: five means a class, spread over all directions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from .cases import Folders, Sample

CLASSES, D, SPREAD = 10, 64, 4
ROWS = (2048, 8192)
SIGMA = 1.0
MONTE_CARLO = 200_000
KINDS = {"gaussian": (0.0, 1.5, 3.0, 6.0), "curved": (1.0, 3.0), "clustered": (3.0, 5.0)}
"""Distance of the classes, in noise units."""


def label_tasks(folders: Folders) -> tuple[str, ...]:
    return tuple(f"{kind} {apart:g} n={n}" for n in ROWS for kind, distances in KINDS.items() for apart in distances)


def labels(task: str, seed: int, folders: Folders) -> Sample:
    kind, apart, size = task.split(" ")
    law = LAWS[kind](float(apart))
    truth, se = _truth(kind, float(apart))
    generator = torch.Generator().manual_seed(55_000 + seed)
    clean, y = law.draw(int(size.removeprefix("n=")), generator)
    noise = SIGMA * torch.randn(clean.shape, generator=generator)
    return Sample(truth=truth, truth_se=se, x=clean + noise, y=y, clean=clean, sigma=SIGMA)


@dataclass(frozen=True, slots=True)
class Law:
    """Clean rows with their classes, and the noisy rows' log-densities by class up to a common term ``(n, 10)``."""

    draw: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
    log_densities: Callable[[Tensor], Tensor]


def _means(clusters: int, apart: float, clusters_seed: int) -> Tensor:
    """Centres ``(10·clusters, 64)``, a typical distance of ``apart`` from one another."""
    centres = torch.randn(CLASSES * clusters, D, generator=torch.Generator().manual_seed(clusters_seed))
    return apart * centres / math.sqrt(2 * D)


def mixture(clusters: int, apart: float) -> Law:
    """Class k owns the centres k, k + 10, …; within a centre the rows spread in four directions."""
    means = _means(clusters, apart, 64)
    factor = torch.randn(SPREAD, D, generator=torch.Generator().manual_seed(65)) / math.sqrt(D)
    precision = torch.linalg.inv(factor.T @ factor + SIGMA**2 * torch.eye(D))

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        centre = torch.randint(len(means), (n,), generator=generator)
        return means[centre] + torch.randn(n, SPREAD, generator=generator) @ factor, centre % CLASSES

    def log_densities(t: Tensor) -> Tensor:
        linear = t @ precision @ means.T - ((means @ precision) * means).sum(1) / 2
        return linear.view(len(t), clusters, CLASSES).logsumexp(1)

    return Law(draw, log_densities)


def rings(gap: float) -> Law:
    """Ring k has radius k + 1 gaps; a noisy radius has a Rice law, and the other 62 dimensions tell nothing."""
    radii = gap * torch.arange(1, CLASSES + 1)
    plane = torch.linalg.qr(torch.randn(D, 2, generator=torch.Generator().manual_seed(66)))[0]

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = torch.randint(CLASSES, (n,), generator=generator)
        angle = 2 * math.pi * torch.rand(n, generator=generator)
        return (radii[y, None] * torch.stack([angle.cos(), angle.sin()], 1)) @ plane.T, y

    def log_densities(t: Tensor) -> Tensor:
        product = (t @ plane).norm(dim=1, keepdim=True) * radii / SIGMA**2
        return torch.special.i0e(product).log() + product - radii.square() / (2 * SIGMA**2)

    return Law(draw, log_densities)


LAWS: Mapping[str, Callable[[float], Law]] = {
    "gaussian": lambda apart: mixture(1, apart),
    "curved": rings,
    "clustered": lambda apart: mixture(5, apart),
}


@cache
def _truth(kind: str, apart: float) -> tuple[float, float]:
    """ln 10 + E ln p(y|t̃) over many rows, and its standard error."""
    if apart == 0:
        return 0.0, 0.0
    law, generator = LAWS[kind](apart), torch.Generator().manual_seed(0)
    found = []
    for _ in range(MONTE_CARLO // 20_000):
        clean, _ = law.draw(20_000, generator)
        noisy = clean + SIGMA * torch.randn(clean.shape, generator=generator)
        # Every class's posterior weighs in, not just the drawn one's: the same mean with less noise.
        log_posterior = law.log_densities(noisy).log_softmax(1)
        found.append((log_posterior.exp() * log_posterior).sum(1) + math.log(CLASSES))
    values = torch.cat(found)
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))

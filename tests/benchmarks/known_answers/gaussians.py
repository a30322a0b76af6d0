"""Gaussian pairs, and pairs that a monotone map of each coordinate makes so: the truth is −½ Σ ln(1 − ρᵢ²)."""

from __future__ import annotations

import torch
from torch import Tensor

from .cases import Folders, Sample

D = 20
WEAK = (0.02, 0.05, 0.1, 0.3)
STRONG = (1, 2, 4, 6, 8, 10)
SMALL = (0, 1, 3, 6)


def correlated(n: int, nats: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Standard normal pairs ``(n, d)`` whose coordinate i shares ``nats[i]``: I = −½ ln(1 − ρ²)."""
    rho = (-torch.expm1(-2 * nats)).sqrt()
    x, e = (torch.randn(n, len(nats), generator=generator) for _ in range(2))
    return x, rho * x + (1 - rho.square()).sqrt() * e


def independent(task: str, seed: int, folders: Folders) -> Sample:
    return _spread(0.0, 2048, D, seed)


def finite(task: str, seed: int, folders: Folders) -> Sample:
    """Truth by the task's name, on so few rows that a critic can learn them by heart."""
    return _spread(float(task.rpartition(" ")[2]), 2048, D, seed)


def weak(task: str, seed: int, folders: Folders) -> Sample:
    """``spread``: over all coordinates; ``one of 20``: in the first alone; ``d = 1``: there is no other."""
    kind, _, truth = task.rpartition(" ")
    d = 1 if kind == "d = 1" else D
    nats = torch.zeros(d)
    nats[: D if kind == "spread" else 1] = float(truth) / (d if kind == "spread" else 1)
    x, y = correlated(8192, nats, _generator(seed))
    return Sample(truth=float(truth), x=x, y=y)


def strong(task: str, seed: int, folders: Folders) -> Sample:
    """``cubic``: the same after y → y³, which leaves the truth as it is."""
    kind, _, truth = task.rpartition(" ")
    sample = _spread(float(truth), 8192, D, seed)
    y = sample.y**3 if kind == "cubic" else sample.y
    return Sample(truth=sample.truth, x=sample.x, y=y)


def _spread(truth: float, n: int, d: int, seed: int) -> Sample:
    x, y = correlated(n, torch.full((d,), truth / d), _generator(seed))
    return Sample(truth=truth, x=x, y=y)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000_003 + seed)


def weak_tasks(folders: Folders) -> tuple[str, ...]:
    return tuple(f"{kind} {truth:g}" for kind in ("spread", "one of 20", "d = 1") for truth in WEAK)


def strong_tasks(folders: Folders) -> tuple[str, ...]:
    return tuple(f"{kind} {truth}" for kind in ("gaussian", "cubic") for truth in STRONG)


def finite_tasks(folders: Folders) -> tuple[str, ...]:
    return tuple(f"truth {truth}" for truth in SMALL)


def independent_tasks(folders: Folders) -> tuple[str, ...]:
    return ("d = 20",)

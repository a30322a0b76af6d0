"""Gaussian channels from 784 dimensions: I = ½ Σ ln(1 + λᵢ/σ²), λᵢ the spectrum of the layer's covariance."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from .cases import Folders, Sample

WIDE, RANK, BACKGROUND, NARROW = 784, 16, 0.3, 32
TRUTHS, ROWS = (1, 3, 6), (2048, 8192)


def channel_tasks(folders: Folders) -> tuple[str, ...]:
    return tuple(f"n={n} truth {truth}" for n in ROWS for truth in TRUTHS)


def channel(task: str, seed: int, folders: Folders) -> Sample:
    """x has rank 16 and a background of .3 in 784 dimensions, t = Wx 32; the noise's size sets the truth."""
    size, _, truth = task.split(" ")
    factors, weight, spectrum = _law()
    generator = torch.Generator().manual_seed(31_000 + seed)
    n = int(size.removeprefix("n="))
    x = torch.randn(n, RANK, generator=generator) @ factors
    x += BACKGROUND * torch.randn(n, WIDE, generator=generator)
    clean, sigma = x @ weight, noise_for(spectrum, float(truth))
    noise = torch.randn(clean.shape, generator=generator)
    return Sample(truth=float(truth), x=x, y=clean + sigma * noise, clean=clean, sigma=sigma)


@cache
def _law() -> tuple[Tensor, Tensor, Tensor]:
    """Factors ``(16, 784)``, weight ``(784, 32)`` and the spectrum of the covariance of Wx ``(32,)``."""
    generator = torch.Generator().manual_seed(784)
    factors = torch.randn(RANK, WIDE, generator=generator)
    weight = torch.randn(WIDE, NARROW, generator=generator) / math.sqrt(WIDE)
    image = factors.double() @ weight.double()
    covariance = image.T @ image + BACKGROUND**2 * weight.double().T @ weight.double()
    return factors, weight, torch.linalg.eigvalsh(covariance)


def information(spectrum: Tensor, sigma: float) -> float:
    """Nats through Gaussian noise of ``sigma``, from the eigenvalues ``(d,)`` of the signal's covariance."""
    return 0.5 * float(torch.log1p(spectrum / sigma**2).sum())


def noise_for(spectrum: Tensor, nats: float) -> float:
    """The noise that lets ``nats`` through, by bisection on its logarithm."""
    low, high = -20.0, 20.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if information(spectrum, math.exp(middle)) > nats else (low, middle)
    return math.exp(low)

"""Seconds to a stated error: how many rows, and so how much time, an interval of that width takes."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ibprobe import Estimate, measure

INPUTS, UNITS = 32, 8


@dataclass(frozen=True, slots=True)
class Reading:
    """Medians over seeds at one number of rows; a layer of Gaussian inputs, whose truth is known."""

    rows: int
    half_width: float
    """Of the 95 % interval of I(X;T̃)."""
    error: float
    """Root mean square distance of the value from the truth."""
    truth: float
    cpu: float
    """Processor seconds of one estimate."""


def readings(estimator: str, sigma: float, rows: Sequence[int], seeds: int) -> Iterator[Reading]:
    """Estimates from ever more rows."""
    for n in rows:
        found = [_one(estimator, sigma, n, seed) for seed in range(seeds)]
        widths, misses, truths, seconds = zip(*found, strict=True)
        error = statistics.fmean(m * m for m in misses) ** 0.5
        yield Reading(n, statistics.median(widths), error, statistics.fmean(truths), statistics.median(seconds))


def _one(estimator: str, sigma: float, rows: int, seed: int) -> tuple[float, float, float, float]:
    generator = torch.Generator().manual_seed(1000 + seed)
    layer = nn.Linear(INPUTS, UNITS, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(UNITS, INPUTS, generator=generator))
    x = torch.randn(rows, INPUTS, generator=generator)
    started = time.process_time()
    records = measure(nn.Sequential(layer), x, sigma=sigma, rows=rows, estimator=estimator, seed=seed)
    cpu = time.process_time() - started
    e: Estimate = records.one(quantity="I_XT", estimator="mine" if estimator == "auto" else estimator)
    truth = _truth(layer.weight.detach().double(), e.std)
    return (e.ci_high - e.ci_low) / 2, e.nats - truth, truth, cpu


def _truth(weight: torch.Tensor, std: float) -> float:
    """I(X; Wx + std·ε) = ½ ln det(1 + WWᵀ/std²) for standard normal x."""
    return float(torch.logdet(torch.eye(len(weight), dtype=weight.dtype) + weight @ weight.T / std**2)) / 2

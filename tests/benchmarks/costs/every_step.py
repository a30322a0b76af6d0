"""What a step that is not due costs: a model so small that the probe's own hooks show."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from .models import Net
from .watchers import Watcher

WIDTH, BATCH, ROWS = 8, 64, 512
BLOCK = 20


@dataclass(frozen=True, slots=True)
class StepCost:
    """Microseconds that a step takes more."""

    layers: int
    mode: str
    extra: float
    error: float
    """Standard error of ``extra``, from the spread of blocks."""
    bare: float
    """Microseconds of the step alone."""


def small(layers: int, device: str) -> Net:
    """Linear layers of eight units on 512 rows, which a probe has seen after eight steps."""
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(layers))).to(device)
    x, y = torch.randn(ROWS, WIDTH), torch.randint(WIDTH, (ROWS,))
    return Net(model, torch.optim.SGD(model.parameters(), lr=1e-3), x.to(device), y.to(device), BATCH)


def step_cost(layers: int, mode: str, watcher: Watcher, steps: int, folder: Path, device: str) -> StepCost:
    """Two equal nets in turns, block by block; the median of the differences is what the watcher costs.

    Args:
        layers: of the model, all of them watched.
        mode: of the probe, for the record.
        watcher: what watches one of the nets.
        steps: of each net.
        folder: for the watcher.
        device: where.
    """
    bare, watched = small(layers, device), small(layers, device)
    with watcher(watched, folder, time.perf_counter):
        for net in (bare, watched):
            _block(net, 2 * ROWS // BATCH)  # rows are kept by then
        times = []
        for number in range(max(2, steps // BLOCK)):
            order = (bare, watched) if number % 2 else (watched, bare)
            took = {id(net): _block(net, BLOCK) for net in order}
            times.append((took[id(bare)], took[id(watched)]))
    differences = [with_it - without for without, with_it in times]
    # A median's standard error is 1.25 times a mean's; by quartiles, because blocks that were disturbed are far out.
    low, _, high = statistics.quantiles(differences, n=4)
    error = 1.25 * (high - low) / 1.35 / math.sqrt(len(times))
    return StepCost(layers, mode, statistics.median(differences), error, statistics.median(b for b, _ in times))


def _block(net: Net, steps: int) -> float:
    """Microseconds a step."""
    net.settled()
    start = time.perf_counter()
    for _ in range(steps):
        net.step()
    net.settled()
    return 1e6 * (time.perf_counter() - start) / steps

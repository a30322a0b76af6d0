"""Training functions that designs of the tests name; each leaves a line in a log when it begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ibprobe.lens.design import RUNS

LOG = "IBPROBE_TEST_LOG"


def tiny(watch: Any, *, seed: int, order_seed: int, scale: float = 1.0, fail: bool = False) -> None:
    """A hundred steps of a small net; ``scale`` multiplies the inputs."""
    with Path(os.environ[LOG]).open("a") as log:
        log.write(f"{seed} {order_seed} {scale}\n")
    if fail and seed == 1:
        raise RuntimeError("planned")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(300, 4, generator=generator)
    y = (x[:, 0] > 0).long()
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 2))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.manual_seed(order_seed)
    with watch(model, train=(scale * x[:200], y[:200]), held_out=(scale * x[200:], y[200:]), optimizer=optimizer):
        for rows in torch.split(torch.randperm(200).repeat(5), 10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(scale * x[rows]), y[rows]).backward()
            optimizer.step()


def forgets_to_watch(watch: Any, *, seed: int, order_seed: int, scale: float = 1.0) -> None:
    """Trains nothing."""


def leaves(watch: Any, *, seed: int, order_seed: int, scale: float = 1.0) -> None:
    """As a script that ends by itself."""
    raise SystemExit(3)


def dies(watch: Any, *, seed: int, order_seed: int, scale: float = 1.0) -> None:
    """As the first, but a run with the second seed takes its process along."""
    if seed == 1:
        os._exit(3)
    tiny(watch, seed=seed, order_seed=order_seed, scale=scale)


def dies_when_done(watch: Any, *, seed: int, order_seed: int, scale: float = 1.0) -> None:
    """As the first, but the process of a run with the second seed dies when the run is where it belongs."""
    replace = os.replace

    def replaced(source: Path, target: Path) -> None:
        replace(source, target)
        if Path(target).parent.name == RUNS:
            os._exit(3)

    if seed == 1:
        os.replace = replaced  # type: ignore[assignment]
    tiny(watch, seed=seed, order_seed=order_seed, scale=scale)

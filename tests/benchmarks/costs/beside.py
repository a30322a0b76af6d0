"""Training steps while work goes on beside them, against steps and work alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ibprobe.estimate.channel import Channel, noisy_rows
from ibprobe.estimate.critic.critics import fit_critics
from ibprobe.estimate.kernel import kernel_sums
from ibprobe.estimate.pairs import Pair
from ibprobe.runtime.places import make_place

from .models import CLASSES, Case, Net, make

ROWS, UNITS = 2048, 256
LEAST = 20
"""Steps that are timed at least."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Seconds; where both go on at once, until the work is done."""

    name: str
    step: float
    work: float
    steps: int
    both: float

    @property
    def step_beside(self) -> float:
        """Of a step while the work goes on."""
        return self.both / self.steps

    @property
    def gain(self) -> float:
        """1 where step and work take turns, 2 where neither notices the other."""
        return (self.steps * self.step + self.work) / self.both


def works(device: str) -> dict[str, Callable[[], object]]:
    """What a snapshot does of eight layers, without the replay, which training waits for."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randint(CLASSES, (ROWS,), generator=generator).to(device)
    layers = [torch.randn(ROWS, UNITS, generator=generator).to(device) for _ in range(8)]
    return {
        "brackets of 8 layers": lambda: [kernel_sums(noisy_rows(t, Channel()), y) for t in layers],
        "critics of 8 layers": lambda: critics(8, device),
    }


def critics(layers: int, device: str, rows: int = ROWS, units: int = 64, steps: int = 400) -> None:
    """Train as many critics together, from the start."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, units, generator=generator)
    noise = (torch.randn(rows, units, generator=generator) for _ in range(layers))
    pairs = [Pair(x.to(device), (x + eps).to(device), 0.0) for eps in noise]
    fit_critics(pairs, torch.arange(rows, device=device) % 2, seed=0, steps=steps)


def beside(case: Case, device: str, runtime: str, name: str, work: Callable[[], object]) -> Beside:
    """Steps alone, work alone, both at once; each was done before."""
    net, place = make(case, device), make_place(runtime, torch.device(device))

    def done() -> float:
        start = time.perf_counter()
        place.start(work)
        outcome = place.result(wait=True)
        assert outcome is not None
        if outcome.error is not None:
            raise outcome.error
        return time.perf_counter() - start

    done()
    _steps(net, LEAST)
    step, alone = _steps(net, LEAST) / LEAST, done()
    start, steps = time.perf_counter(), 0
    place.start(work)
    while place.result(wait=False) is None:
        net.step()
        net.settled()
        steps += 1
    return Beside(name, step, alone, steps, time.perf_counter() - start)


def _steps(net: Net, steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        net.step()
        net.settled()
    return time.perf_counter() - start

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
"""Steps that are timed at least, alone and beside."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Seconds; both go on at once until a piece of work is done and enough steps were taken."""

    name: str
    step: float
    work: float
    steps: int
    times: int
    """How often the work was done meanwhile."""
    both: float

    @property
    def step_beside(self) -> float:
        """Of a step while the work goes on."""
        return self.both / self.steps

    @property
    def gain(self) -> float:
        """1 where step and work take turns, 2 where neither notices the other."""
        return (self.steps * self.step + self.times * self.work) / self.both


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

    def done(*, wait: bool) -> bool:
        outcome = place.result(wait=wait)
        if outcome is not None and outcome.error is not None:
            raise outcome.error
        return outcome is not None

    def alone() -> float:
        start = time.perf_counter()
        place.start(work)
        done(wait=True)
        return time.perf_counter() - start

    alone()
    _steps(net, LEAST)
    step, of_work = _steps(net, LEAST) / LEAST, alone()
    start, steps, times = time.perf_counter(), 0, 0
    while steps < LEAST:
        place.start(work)
        while not done(wait=False):
            _steps(net, 1)
            steps += 1
        times += 1
    return Beside(name, step, of_work, steps, times, time.perf_counter() - start)


def _steps(net: Net, steps: int) -> float:
    """Their seconds; what goes on in another stream is not waited for."""
    start = time.perf_counter()
    for _ in range(steps):
        net.step()
        if net.x.is_cuda:
            torch.cuda.current_stream().synchronize()
    return time.perf_counter() - start

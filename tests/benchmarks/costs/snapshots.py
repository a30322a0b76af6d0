"""One snapshot, in parts: replay, kernel, critics."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ibprobe import measure
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.layers import select_layers
from ibprobe.capture.replay import replay

from .memory import peak

INPUTS, CLASSES = 32, 10


@dataclass(frozen=True, slots=True)
class Setting:
    """What a snapshot is taken of."""

    layers: int = 8
    rows: int = 2048
    d: int = 64

    def __str__(self) -> str:
        return f"{self.layers} layers, {self.rows:,} rows, d = {self.d:,}"


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and processor seconds, and megabytes at the peak."""

    wall: float
    cpu: float
    mb: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the parts of one snapshot cost; ``critics`` is None where they were left out."""

    setting: Setting
    collect: Cost
    """Hashing and copying the inputs, once a run."""
    replay: Cost
    brackets: Cost
    """All of ``measure``: collecting and replay included."""
    critics: Cost | None

    @property
    def kernel(self) -> tuple[float, float]:
        """Wall and processor seconds of the brackets alone."""
        parts = (self.collect, self.replay)
        return self.brackets.wall - sum(c.wall for c in parts), self.brackets.cpu - sum(c.cpu for c in parts)


class Turn(nn.Module):
    """A layer that costs next to nothing, so that replay is what ibprobe does around a forward pass."""

    def __init__(self, d: int, generator: torch.Generator) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(d, generator=generator) / 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x + self.scale * x.roll(1, 1))


def network(setting: Setting, device: str) -> nn.Sequential:
    """One projection to ``d`` units, then the layers."""
    generator = torch.Generator().manual_seed(0)
    first = nn.Linear(INPUTS, setting.d, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.randn(first.weight.shape, generator=generator) / INPUTS**0.5)
    return nn.Sequential(first, *(Turn(setting.d, generator) for _ in range(setting.layers))).to(device)


def snapshot(setting: Setting, device: str, *, critics: bool, repetitions: int) -> Snapshot:
    """Time the parts of a snapshot; the first of each is a warm-up that is not counted, but for critics."""
    model = network(setting, device)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(setting.rows, INPUTS, generator=generator)
    data = (x.to(device), torch.randint(CLASSES, (setting.rows,), generator=generator).to(device))
    layers = select_layers(model, Turn)
    batches, _ = distinct_batches(data, setting.rows)
    collect = cost(lambda: distinct_batches(data, setting.rows), device, repetitions)
    alone = cost(lambda: replay(model, layers, batches), device, repetitions)

    def whole(estimator: str) -> object:
        return measure(model, data, layers=Turn, rows=setting.rows, estimator=estimator)

    brackets = cost(lambda: whole("channel"), device, repetitions)
    trained = cost(lambda: whole("auto"), device, 1, warm_up=False) if critics else None
    beside = trained and replace(trained, wall=trained.wall - brackets.wall, cpu=trained.cpu - brackets.cpu)
    return Snapshot(setting, collect, alone, brackets, beside)


def cost(work: Callable[[], object], device: str, repetitions: int, *, warm_up: bool = True) -> Cost:
    """Medians over repetitions."""
    if warm_up:
        work()
    found = [_once(work, device) for _ in range(repetitions)]
    return Cost(*(statistics.median(values) for values in zip(*((c.wall, c.cpu, c.mb) for c in found), strict=True)))


def _once(work: Callable[[], object], device: str) -> Cost:
    with peak(device) as memory:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Cost(wall, cpu, memory.mb)


def around(
    base: Setting, layers: Sequence[int], rows: Sequence[int], widths: Sequence[int]
) -> dict[str, list[Setting]]:
    """One factor at a time."""
    return {
        "layers": [replace(base, layers=k) for k in layers],
        "rows": [replace(base, rows=n) for n in rows],
        "width": [replace(base, d=d) for d in widths],
    }

"""Long runs: nothing grows, and nothing stays behind."""

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import batches, quiet_probe
from torch import nn

from ibprobe import BadInput


class Run:
    """A small net in training with a probe that measures every 100 steps."""

    def __init__(self, **options: Any) -> None:
        self.model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.loss, self.data = nn.CrossEntropyLoss(), batches()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        settings = {"every": 100, "loss": self.loss, "optimizer": self.optimizer, **options}
        self.probe = quiet_probe(self.model, **settings)

    def go(self, steps: int) -> None:
        for step in range(steps):
            x, y = self.data[step % len(self.data)]
            self.optimizer.zero_grad()
            self.loss(self.model(x), y).backward()
            self.optimizer.step()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def held() -> tuple[int, int]:
    """Live tensors and threads."""
    gc.collect()
    return sum(issubclass(type(o), torch.Tensor) for o in gc.get_objects()), threading.active_count()


@pytest.mark.slow
@pytest.mark.parametrize("place", ["inline", "thread"])
@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_five_thousand_steps_leave_tensors_threads_and_memory_flat(mode: str, place: str) -> None:
    run = Run(mode=mode, runtime=place)
    with run.probe as probe:
        run.go(1000)
        probe.measure()
        before, bytes_before = held(), resident_bytes()
        run.go(5000)
        probe.measure()
        # Records are kept, as text would be: 50 snapshots of 2 layers × 3 values; 8 MB is far above those.
        assert all(now <= then for now, then in zip(held(), before, strict=True))  # others may let go of theirs
        assert resident_bytes() - bytes_before < 8 * 2**20
    assert len(probe.estimates.steps) > 50


@pytest.mark.parametrize("attached", [True, False])
@pytest.mark.parametrize("place", ["inline", "thread"])
@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_a_model_and_its_probe_are_freed_without_the_garbage_collector(mode: str, place: str, attached: bool) -> None:
    run = Run(mode=mode, runtime=place, every=3)
    probe = run.probe.attach()
    run.go(10)
    if not attached:
        probe.detach()
    gone = weakref.ref(run.model), weakref.ref(probe)
    gc.collect()
    gc.disable()
    try:
        del run, probe
        assert [ref() for ref in gone] == [None, None]
    finally:
        gc.enable()


def test_the_probe_of_a_model_that_is_gone_says_so() -> None:
    run = Run()
    run.optimizer, run.model = torch.optim.SGD([nn.Parameter(torch.zeros(1))]), nn.Identity()
    with pytest.raises(BadInput, match="the model that the probe was made for is gone"):
        run.probe.attach()

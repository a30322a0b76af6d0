"""The side stream finds what inline work finds; neither training nor its memory notices it."""

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import NEEDS_CUDA, batches, quiet_probe, same
from torch import nn

from ibprobe import IBProbe

pytestmark = NEEDS_CUDA

PLACES = ["inline", "thread", "cuda-stream"]


class Run:
    """A net of which the probe takes a snapshot at every twentieth step."""

    def __init__(self, place: str | None, **options: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2)).cuda()
        self.loss, self.optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(self.model.parameters(), 0.01)
        self.probe = place and quiet_probe(
            self.model, loss=self.loss, optimizer=self.optimizer, runtime=place, **{"every": 20, **options}
        )
        self.data = [(x.cuda(), y.cuda()) for x, y in batches(512)]

    def steps(self, epochs: int) -> None:
        """Sixteen an epoch."""
        for x, y in self.data * epochs:
            self.optimizer.zero_grad()
            self.loss(self.model(x), y).backward()
            self.optimizer.step()

    def whole(self) -> dict[str, Any]:
        """Train, and tell what must not depend on the probe."""
        torch.manual_seed(1)
        with self.probe or torch.enable_grad():
            self.steps(10)
        return {"model": dict(self.model.state_dict()), "random": torch.cuda.get_rng_state()}

    @property
    def found(self) -> IBProbe:
        """A probe that worked until the end."""
        assert isinstance(self.probe, IBProbe)
        assert len(self.probe.estimates.steps) >= 3
        assert not [e for e in self.probe.estimates.events if e.kind == "disarmed"]
        return self.probe


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_training_does_not_notice(place: str, mode: str) -> None:
    watched, bare = Run(place, mode=mode), Run(None)
    assert same(watched.whole(), bare.whole())
    assert watched.found


def test_a_draw_too_many_would_be_noticed() -> None:
    disturbed, bare = Run(None), Run(None)
    disturbed.model.register_forward_pre_hook(lambda *_: torch.rand(1, device="cuda") and None)
    assert not same(disturbed.whole(), bare.whole())


def test_the_side_stream_finds_what_inline_work_finds() -> None:
    inline, beside = Run("inline"), Run("cuda-stream")
    inline.whole(), beside.whole()
    known = {(e.step, e.layer, e.quantity): replace(e, seconds=0.0) for e in inline.found.estimates}
    for e in beside.found.estimates:
        # The same sums in blocks that may be cut and added in another order: float32 rounding.
        assert e.nats == pytest.approx(known[(e.step, e.layer, e.quantity)].nats, abs=1e-4)


@pytest.mark.parametrize("place", PLACES)
def test_memory_stays_flat_over_snapshots(place: str) -> None:
    run = Run(place)
    with run.probe or torch.enable_grad():
        run.steps(5)
        torch.cuda.synchronize()
        reserved, allocated = torch.cuda.memory_reserved(), torch.cuda.memory_allocated()
        run.steps(20)
        torch.cuda.synchronize()
        assert torch.cuda.memory_reserved() == reserved
        # What a snapshot under way holds may be there at either look, but once: rows of two layers.
        assert torch.cuda.memory_allocated() <= allocated + 2**20


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("place", PLACES)
def test_a_step_that_is_not_due_does_not_wait_for_the_device(place: str) -> None:
    run = Run(place, every=10**6)
    with run.probe or torch.enable_grad():
        run.steps(4)  # rows are kept, and the snapshot of step 0 is done
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            run.steps(4)
            with pytest.raises(RuntimeError, match="synchroniz"):
                torch.zeros(1, device="cuda").item()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert isinstance(run.probe, IBProbe)
    assert not [e for e in run.probe.estimates.events if e.kind == "disarmed"]


SANITIZED = """
from contextlib import contextmanager
import torch.cuda._sanitizer as sanitizer
from gpu.test_side_stream import Run
from ibprobe.runtime import places

class Seen(places.SideStream):
    # The sanitizer watches the thread that asks for it.
    @contextmanager
    def entered(self):
        with super().entered(), sanitizer.cuda_sanitizer.dispatch:
            yield

    def mark(self):
        {mark}

places.SideStream = Seen
run = Run("cuda-stream")
run.whole()
assert run.found
"""


def sanitized(mark: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TORCH_CUDA_SANITIZER": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    program = [sys.executable, "-c", SANITIZED.format(mark=mark)]
    return subprocess.run(program, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_the_sanitizer_sees_no_race_with_training() -> None:
    done = sanitized("super().mark()")
    assert done.returncode == 0, done.stderr
    assert "data race" not in done.stderr


def test_the_sanitizer_sees_rows_that_are_not_waited_for() -> None:
    assert "data race" in sanitized("pass").stderr


def test_a_graph_is_captured_around_the_taps() -> None:
    run = Run("inline", mode="stream")
    model = run.model.eval()
    x = run.data[0][0]
    with run.probe or torch.enable_grad(), torch.no_grad():
        for _ in range(3):
            model(x)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = model(x)
        expected = model(x)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y, expected)
    assert isinstance(run.probe, IBProbe)
    assert not [e for e in run.probe.estimates.events if e.kind == "disarmed"]

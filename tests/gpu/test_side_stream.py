"""The side stream finds what inline work finds; neither training nor its memory notices it."""

import gc
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from helpers import NEEDS_CUDA, batches, quiet_probe, random_states, same
from lanes import wait_for_workers
from torch import nn

from ibprobe import IBProbe

pytestmark = NEEDS_CUDA

PLACES, EVERY = ["inline", "thread", "cuda-stream"], 20


class Run:
    """A net of which the probe takes a snapshot at every twentieth step."""

    def __init__(self, place: str | None, **options: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2)).cuda()
        self.loss, self.optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(self.model.parameters(), 0.01)
        self.probe = place and quiet_probe(
            self.model, loss=self.loss, optimizer=self.optimizer, runtime=place, **{"every": EVERY, **options}
        )
        self.data = [(x.cuda(), y.cuda()) for x, y in batches(512)]
        self.taken = 0

    def steps(self, number: int) -> None:
        """Train for so many optimizer steps."""
        for _ in range(number):
            x, y = self.data[self.taken % len(self.data)]
            self.optimizer.zero_grad()
            self.loss(self.model(x), y).backward()
            self.optimizer.step()
            self.taken += 1
            if self.taken % EVERY == EVERY - 1:
                wait_for_workers()  # so that the next snapshot is not late

    def settle(self) -> None:
        """Nothing is under way, on the device or beside training; the step after one that is due."""
        wait_for_workers()
        self.steps(1)  # which collects what was found
        gc.collect()
        torch.cuda.synchronize()

    def whole(self) -> dict[str, Any]:
        """Train, and tell what must not depend on the probe."""
        torch.manual_seed(1)
        with self.probe or torch.enable_grad():
            self.steps(8 * EVERY)
        return {"model": dict(self.model.state_dict()), "random": (torch.cuda.get_rng_state(), *random_states())}

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
    def draw(*_: object) -> None:
        torch.rand(1, device="cuda")

    disturbed, bare = Run(None), Run(None)
    disturbed.model.register_forward_pre_hook(draw)
    assert not same(disturbed.whole(), bare.whole())


def test_the_side_stream_finds_what_inline_work_finds() -> None:
    inline, beside = Run("inline"), Run("cuda-stream")
    inline.whole(), beside.whole()
    known = {(e.step, e.layer, e.quantity): e.nats for e in inline.found.estimates}
    for e in beside.found.estimates:
        # The same sums in blocks that may be cut and added in another order: float32 rounding.
        assert e.nats == pytest.approx(known[e.step, e.layer, e.quantity], abs=1e-4)


@pytest.mark.parametrize("place", PLACES)
def test_memory_stays_flat_over_snapshots(place: str) -> None:
    torch.cuda.empty_cache()
    run = Run(place)
    with run.probe or torch.enable_grad():
        run.steps(4 * EVERY)
        run.settle()
        reserved, allocated = torch.cuda.memory_reserved(), torch.cuda.memory_allocated()
        run.steps(16 * EVERY - 1)
        run.settle()
        assert torch.cuda.memory_reserved() == reserved
        # Rows of two layers take half of this at one snapshot, and there were sixteen.
        assert torch.cuda.memory_allocated() <= allocated + 2**16


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("place", PLACES)
def test_a_step_that_is_not_due_does_not_wait_for_the_device(place: str) -> None:
    run = Run(place, every=10**6)
    with run.probe or torch.enable_grad():
        run.steps(EVERY)  # rows are kept, and the first snapshot has begun
        run.settle()
        torch.cuda.set_sync_debug_mode("error")
        try:
            run.steps(2 * EVERY)
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
run = Run("cuda-stream", mode="stream")  # a replay waits for the device itself, to compare what it ran twice
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
    run = Run("inline", mode="stream", rows=512)
    run.model[2].eval()  # dropout alone: what a model in eval mode computes is not looked at
    x = run.data[-1][0]
    with run.probe or torch.enable_grad(), torch.no_grad():
        for warm, _ in run.data[:3]:
            run.model(warm)
        assert isinstance(run.probe, IBProbe)
        assert run.probe.doctor().layers  # taps are at work, and would wait for the device here
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = run.model(x)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y, run.model(x))
    assert not [e for e in run.probe.estimates.events if e.kind == "disarmed"]

"""Accelerate carries a probe in its checkpoints and its trackers without an integration of ours."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState
from accelerate.tracking import GeneralTracker
from helpers import batches, quiet_probe, same
from torch import nn

from ibprobe import BadInput, IBProbe, load_run

STEPS, HALF = 24, 12


@pytest.fixture(autouse=True)
def _own_state() -> Iterator[None]:
    """Accelerate keeps settings for the process."""
    yield
    for kept in (AcceleratorState, GradientState, PartialState):
        kept._reset_state()  # type: ignore[attr-defined]


class Kept(GeneralTracker):
    """Keeps what it is given."""

    name, requires_logging_directory, tracker = "kept", False, None

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[int, dict[str, Any]] = {}

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        self.values.setdefault(step or 0, {}).update(values)


class Run:
    """A loop with dropout, whose state Accelerate saves and loads."""

    def __init__(self, folder: Path, *, watch: bool = True, accumulate: int = 1, **options: Any) -> None:
        torch.manual_seed(0)
        self.folder, self.tracker = str(folder), Kept()
        self.accelerator = Accelerator(cpu=True, log_with=self.tracker, gradient_accumulation_steps=accumulate)
        self.accelerator.init_trackers("tests")
        model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))
        self.loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), 0.01)
        self.probe: IBProbe | None = None
        if watch:
            settings = {"loss": self.loss, "optimizer": optimizer, "every": 5, "sinks": self.send, **options}
            self.probe = quiet_probe(model, **settings)
            self.accelerator.register_for_checkpointing(self.probe)
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.data = batches(384, 16)

    def send(self, values: dict[str, float], step: int) -> None:
        self.accelerator.log(values, step=step)

    def go(self, begin: int, end: int) -> None:
        for x, y in self.data[begin:end]:
            with self.accelerator.accumulate(self.model):
                self.optimizer.zero_grad()
                self.accelerator.backward(self.loss(self.model(x), y))
                self.optimizer.step()

    def watched(self, begin: int = 0, end: int = STEPS) -> IBProbe:
        assert self.probe is not None
        with self.probe:
            self.go(begin, end)
        return self.probe


def measured(probe: IBProbe) -> list[Any]:
    return [replace(e, seconds=0.0) for e in probe.estimates]


@pytest.mark.parametrize("mode", ["replay", "stream"])
@pytest.mark.slow
def test_a_resumed_run_has_the_records_of_one_that_was_never_stopped(mode: str, tmp_path: Path) -> None:
    whole = Run(tmp_path / "unused", mode=mode)
    expected = measured(whole.watched())
    first = Run(tmp_path / "saved", mode=mode)
    assert first.probe is not None
    first.probe.attach()
    first.go(0, HALF)
    first.accelerator.save_state(first.folder)
    first.go(HALF, HALF + 3)  # steps that are lost
    first.probe.detach(measure=False)
    later = Run(tmp_path / "saved", mode=mode)
    later.accelerator.load_state(later.folder)
    probe = later.watched(HALF)
    assert measured(probe) == expected
    assert same(dict(later.model.state_dict()), dict(whole.model.state_dict()))
    assert probe.run_dir == first.probe.run_dir
    assert load_run(probe.run_dir).steps == probe.estimates.steps


def test_a_watched_run_is_the_run_itself(tmp_path: Path) -> None:
    plain = Run(tmp_path, watch=False)
    plain.go(0, STEPS)
    watched = Run(tmp_path)
    watched.watched()
    assert same(dict(watched.model.state_dict()), dict(plain.model.state_dict()))


def test_a_tracker_gets_the_headline_values_at_their_steps(tmp_path: Path) -> None:
    run = Run(tmp_path)
    probe = run.watched()
    expected = {e.step: e.nats for e in probe.estimates.select(layer="3", quantity="I_TY")}
    assert {step: values["ib_I_TY/3"] for step, values in run.tracker.values.items()} == expected
    assert len(expected) >= 4


def test_with_accumulation_steps_are_those_of_the_optimizer(tmp_path: Path) -> None:
    assert Run(tmp_path, accumulate=2, every=3).watched().estimates.steps == [2, 3, 6, 9, 12]


def test_a_state_that_is_loaded_amid_training_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.probe is not None
    with run.probe:
        run.go(0, HALF)
        run.accelerator.save_state(run.folder)
        with pytest.raises(BadInput, match="before attach"):
            run.accelerator.load_state(run.folder)


def test_the_optimizer_may_be_the_one_that_accelerate_wraps() -> None:
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = nn.Sequential(nn.Linear(4, 2))
    optimizer = accelerator.prepare(torch.optim.SGD(model.parameters(), 0.1))
    probe = quiet_probe(model, loss=None, optimizer=optimizer, every=1, rows=16)
    with probe:
        for x, _ in batches(64, 16):
            with accelerator.accumulate(model):
                accelerator.backward(model(x).sum())
                optimizer.step()
    assert probe.estimates.steps[-1] == 2

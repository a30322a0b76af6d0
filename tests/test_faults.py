"""Whatever fails inside the probe, the run that it watches ends as it would have, and what was recorded is readable."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import MemorySink, hook_tables, same
from lanes import HALF, LANES, Training, trained

from ibprobe import IBProbe, load_run
from ibprobe.estimate.estimators import LayerEstimator

PLAIN = LANES[0]


class Full(MemorySink):
    """Raises at every write."""

    def write(self, *_: Any) -> None:
        raise OSError("no space left")


def broken(*_: Any) -> None:
    raise RuntimeError("the estimator broke")


def a_full_disk(folder: Path) -> dict[str, Any]:
    """Every write to the records fails as it does on a full disk."""
    folder.mkdir()
    (folder / "records.jsonl").symlink_to("/dev/full")
    return {"run_dir": folder}


def a_directory_that_cannot_be(folder: Path) -> dict[str, Any]:
    folder.write_text("a file is in the way")
    return {"run_dir": folder / "run"}


def a_sink_that_raises(folder: Path) -> dict[str, Any]:
    return {"run_dir": folder, "sinks": [Full()]}


@pytest.mark.parametrize("place", ["inline", "thread"])
@pytest.mark.parametrize("fault", [a_full_disk, a_directory_that_cannot_be, a_sink_that_raises])
def test_a_sink_that_fails_is_left_out_with_one_warning_and_measuring_goes_on(
    fault: Callable[[Path], dict[str, Any]], place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Training(PLAIN, {"runtime": place, **fault(tmp_path / "run")})
    assert run.probe is not None
    with run.probe as probe:
        run.go(HALF)
        assert probe.doctor().status == "armed"
        assert "failed and is left out" in str(probe.doctor())
        run.go(HALF)
    assert same(run.state, trained(PLAIN).state)
    (message,) = (m for m in caplog.messages if m.startswith("ibprobe"))
    assert "failed and is left out from here: " in message
    assert len(probe.estimates.steps) > 3


@pytest.mark.parametrize("place", ["inline", "thread"])
@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_an_estimator_that_raises_disarms_with_one_line_that_the_doctor_repeats(
    mode: str, place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(LayerEstimator, "brackets", broken)
    run = Training(PLAIN, {"mode": mode, "runtime": place})
    before = hook_tables(run.model, run.loss, optimizer=run.optimizer)
    assert run.probe is not None
    with run.probe as probe:
        run.go(HALF)
        assert probe.doctor().status == "disarmed: RuntimeError: the estimator broke"
        assert hook_tables(run.model, run.loss, optimizer=run.optimizer) == before
        run.go(HALF)
    assert same(run.state, trained(PLAIN).state)
    (message,) = (r.message for r in caplog.records if r.levelno >= logging.WARNING)
    assert message.endswith("training goes on: RuntimeError: the estimator broke")


def test_activations_that_are_no_numbers_are_said_and_measuring_goes_on() -> None:
    run = Training(PLAIN, {"every": 1})
    assert run.probe is not None
    with run.probe as probe:
        run.go(6)
        with torch.no_grad():
            run.model[0].weight[0, 0] = float("nan")  # type: ignore[index,union-attr,operator]
        run.go(2)
        assert probe.doctor().status == "armed"
    told = [e for e in probe.estimates.events if e.kind == "not_measured" and e.step > 6]
    assert told
    assert all("finite" in e.why for e in told)


def interrupted(run: Training, monkeypatch: pytest.MonkeyPatch, *, at: str) -> None:
    """Train until somebody presses Ctrl-C: in the user's own code, or while the probe is at work."""
    if at == "training":
        run.go(HALF)
        raise KeyboardInterrupt
    calls = LayerEstimator.brackets

    def pressed(self: LayerEstimator, rows: Any) -> Any:
        if rows.span[1] > 8:
            raise KeyboardInterrupt
        return calls(self, rows)

    monkeypatch.setattr(LayerEstimator, "brackets", pressed)
    run.go(2 * HALF)


@pytest.mark.parametrize(("at", "place"), [("training", "inline"), ("training", "thread"), ("the probe", "inline")])
def test_ctrl_c_passes_through_and_leaves_no_hook_no_thread_and_a_readable_run(
    at: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Training(PLAIN, {"runtime": place, "run_dir": tmp_path / "run"})
    before = hook_tables(run.model, run.loss, optimizer=run.optimizer)
    assert run.probe is not None
    with pytest.raises(KeyboardInterrupt), run.probe:
        interrupted(run, monkeypatch, at=at)
    assert hook_tables(run.model, run.loss, optimizer=run.optimizer) == before
    assert not [t for t in threading.enumerate() if t.name == "ibprobe"]
    assert all(m.training for m in run.model.modules())
    assert len(load_run(tmp_path / "run").steps) >= 2


def test_ctrl_c_does_not_wait_for_a_thread_that_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()

    def for_ever(self: LayerEstimator, rows: Any) -> None:
        began.set()
        while True:
            torch.ones(1).sum()

    monkeypatch.setattr(LayerEstimator, "brackets", for_ever)
    run = Training(PLAIN, {"runtime": "thread", "every": 1})
    assert run.probe is not None
    monkeypatch.setattr("lanes.wait_for_workers", lambda: None)
    with pytest.raises(KeyboardInterrupt), run.probe:
        interrupted(run, monkeypatch, at="training")
    assert began.is_set()
    assert not [t for t in threading.enumerate() if t.name == "ibprobe"]


def test_a_probe_that_was_disarmed_measures_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Training(PLAIN, {"every": lambda step: step / 0 if step == 3 else step == 1})
    assert run.probe is not None
    with run.probe as probe:
        run.go(6)
        assert not probe.measure()
    assert isinstance(probe, IBProbe)
    assert probe.doctor().status.startswith("disarmed: ZeroDivisionError")

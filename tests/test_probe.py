import gc
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import MemorySink, Setup, hook_tables, quiet_probe, small_net, unchecked
from torch import nn
from torch.nn.functional import cross_entropy

from ibprobe import BadInput, IBProbe, ProbeError, UnknownName, load_run
from ibprobe.capture.gathering import Gathering
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.runtime.snapshots import Snapshots


def broken(*_: Any) -> None:
    raise RuntimeError("the estimator broke")


@pytest.mark.parametrize("mode", ["replay", "stream"])
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_detach_leaves_exactly_the_hooks_that_were_there(mode: str, error: type[BaseException] | None) -> None:
    run = Setup()
    try:
        with run.probe(mode=mode):
            assert run.hooks() != run.before
            run.train()
            if error:
                raise error
    except (ValueError, KeyboardInterrupt):
        pass
    assert run.hooks() == run.before


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_an_error_in_the_model_passes_through_and_leaves_no_hook(mode: str) -> None:
    run = Setup()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), run.probe(mode=mode):
        run.train(d=3)
    assert run.hooks() == run.before


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_attaching_and_detaching_twice_is_the_same_as_once(mode: str, tmp_path: Path) -> None:
    run, sink = Setup(), MemorySink()
    probe = run.probe(mode=mode, run_dir=tmp_path, sinks=[sink])
    assert probe.attach() is probe
    once = [len(table) for table in run.hooks()]
    probe.attach()
    assert [len(table) for table in run.hooks()] == once
    run.train()
    probe.detach()
    probe.detach()
    assert run.hooks() == run.before
    assert len(sink.summaries) == 1


def test_a_probe_that_is_attached_again_goes_on_with_the_same_rows(tmp_path: Path) -> None:
    run = Setup()
    probe = run.probe(run_dir=tmp_path)
    for _ in range(2):
        with probe:
            run.train()
    assert probe.estimates.steps[-1] == 8
    assert load_run(tmp_path).steps == probe.estimates.steps
    assert {e.rows for e in probe.estimates} == {64}


def test_an_attached_probe_needs_no_variable() -> None:
    run, sink = Setup(), MemorySink()
    probe = weakref.ref(run.probe(sinks=[sink]).attach())
    gc.collect()
    run.train()
    probe().detach()
    assert sink.estimates
    gc.collect()
    assert probe() is None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": nn.Linear}, BadInput, "pass Linear(…), not the class"),
        ({"model": "net"}, BadInput, "is a torch.nn.Module; got str"),
        ({"model": torch.jit.ScriptModule()}, BadInput, "takes no hooks"),
        ({"layers": "9"}, UnknownName, "no layer named '9'"),
        ({"mode": "steam"}, UnknownName, "did you mean: stream"),
        ({"estimator": "kernel"}, UnknownName, "no estimator named 'kernel'"),
        ({"rows": 1}, BadInput, "rows= is a number of distinct inputs"),
        ({"loss": cross_entropy}, BadInput, "got cross_entropy; or call probe.observe(y=…)"),
        ({"optimizer": "adam"}, BadInput, "optimizer= takes"),
        ({"every": "often"}, BadInput, "every= is"),
        ({"budget": 2.0}, BadInput, "budget= is"),
        ({"sigma": -1.0}, BadInput, "sigma= is"),
        ({"on_flag": "print"}, BadInput, "on_flag= is a function that takes an Alert; got 'print'"),
        ({"sinks": "paper"}, UnknownName, "no sink named 'paper'"),
        ({"probe_set": []}, BadInput, "no rows in the data"),
        ({"mode": "stream", "probe_set": torch.ones(3, 4)}, BadInput, 'probe_set= belongs to mode="replay"'),
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_setting_that_cannot_work_is_named_and_leaves_nothing(
    options: dict[str, Any], error: type[ProbeError], words: str, tmp_path: Path
) -> None:
    model = small_net()
    before = hook_tables(model)
    settings = {"model": model, "sinks": [], "run_dir": tmp_path / "run", **options}
    with pytest.raises(error) as caught:
        unchecked(IBProbe.__init__)(object.__new__(IBProbe), **settings)
    assert words in str(caught.value)
    assert hook_tables(model) == before
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_a_failure_inside_disarms_with_one_line_and_training_goes_on(
    mode: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = Setup()
    monkeypatch.setattr(LayerEstimator, "brackets", broken)
    with run.probe(mode=mode, every=1) as probe:
        run.train()
        assert run.hooks() == run.before
        run.train()
        assert not probe.measure()
    assert run.hooks() == run.before
    (message,) = caplog.messages
    assert message.startswith("ibprobe: disarmed at step ")
    assert message.endswith("training goes on: RuntimeError: the estimator broke")
    disarmed, cost = probe.estimates.events
    assert (disarmed.kind, disarmed.why) == ("disarmed", "RuntimeError: the estimator broke")
    assert cost.kind == "cost"


class Full(MemorySink):
    def write(self, *_: Any) -> None:
        raise OSError("disk full")


@pytest.mark.parametrize(
    ("options", "words"), [({"every": broken}, "disarmed at step 0"), ({"sinks": [Full()]}, "disk full")]
)
def test_a_failing_schedule_or_sink_does_not_stop_training(
    options: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    run = Setup()
    with run.probe(**options):
        run.train()
    (message,) = caplog.messages
    assert words in message


def test_switched_off_in_the_environment_a_probe_does_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IBPROBE", "off")
    run, sink = Setup(), MemorySink()
    with run.probe(run_dir=tmp_path / "run", sinks=[sink], probe_set=iter([1 / 3])) as probe:
        assert run.hooks() == run.before
        run.train()
        probe.step()
        probe.observe(y=torch.zeros(3))
        assert not probe.measure()
    assert not (tmp_path / "run").exists()
    assert not sink.ticks
    assert not sink.summaries
    assert not probe.estimates


def test_measure_takes_a_snapshot_now_and_returns_it(caplog: pytest.LogCaptureFixture) -> None:
    run = Setup()
    with run.probe(every=1000) as probe:
        assert not probe.measure()
        assert "the model was not called in training mode" in caplog.text
        run.train(n=32)
        found = probe.measure()
        assert {(e.step, e.rows, e.split, e.mode) for e in found} == {(1, 32, "train", "replay")}
    assert probe.estimates.steps == [1]


def test_the_run_directory_holds_what_the_probe_holds(tmp_path: Path) -> None:
    run = Setup()
    with run.probe(run_dir=tmp_path, every=2, config={"lr": 0.1}) as probe:
        run.train()
    saved = load_run(tmp_path)
    assert saved.estimates == probe.estimates.estimates
    assert saved.meta["config"] == {"lr": 0.1}
    assert saved.meta["layers"] == ["1", "2"]
    assert logging.getLogger("ibprobe").handlers == []


def test_steps_that_the_loop_has_taken_before_are_counted(tmp_path: Path) -> None:
    run = Setup()
    probe = run.probe(run_dir=tmp_path / "run", every=1, budget=None)
    probe.attach(step=40)
    run.train()
    probe.detach()
    assert probe.estimates.steps
    assert min(probe.estimates.steps) > 40


def test_a_probe_that_has_its_rows_looks_at_one_forward_in_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    run, looked = Setup(), []
    see = Gathering.see_inputs

    def seen(self: Gathering, args: Any, kwargs: Any) -> None:
        looked.append(self.step)
        see(self, args, kwargs)

    monkeypatch.setattr(Gathering, "see_inputs", seen)
    with quiet_probe(run.model, loss=run.loss, optimizer=run.optimizer, rows=2, every=10**6):
        for _ in range(40):
            run.train()
    first = looked[: next(k for k, at in enumerate(looked) if at % 16 == 0 and at)]
    assert first == list(range(len(first)))  # as long as rows and labels come
    later = {at for at in looked if at not in first}
    assert len(later) > 2
    assert all(at % 16 == 0 for at in later)


def test_between_due_steps_a_step_is_only_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    run, worked, sink = Setup(), [], MemorySink()
    stepped = Snapshots._stepped

    def seen(self: Snapshots, rows: Gathering) -> None:
        stepped(self, rows)
        worked.append(rows.step)

    monkeypatch.setattr(Snapshots, "_stepped", seen)
    with run.probe(rows=2, every=50, sinks=sink) as probe:
        while not probe.estimates.steps or probe.estimates.steps[-1] < 200:
            run.train()
    assert {step for step in probe.estimates.steps[:-1] if step % 50} <= {probe.estimates.steps[0]}
    assert {50, 100, 150, 200} <= set(probe.estimates.steps)
    assert len(worked) < 60  # the first ones; later one due or looked at, and the one after it
    assert sink.ticks == len(worked)


def test_steps_are_worked_on_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibprobe.runtime.snapshots._RESTS", 0.0)
    run, sink = Setup(), MemorySink()
    with run.probe(rows=2, every=10**6, sinks=sink) as probe:
        for _ in range(10):
            run.train()
    assert sink.ticks == probe.estimates.steps[-1]


def test_a_schedule_of_ones_own_is_asked_at_every_step_when_it_comes() -> None:
    run, asked = Setup(), []

    def every(step: int) -> bool:
        asked.append((step, probe._rows.step if probe._rows else None))
        return False

    probe = run.probe(rows=2, every=every)
    with probe:
        for _ in range(10):
            run.train()
    assert [step for step, _ in asked] == list(range(len(asked)))
    assert all(step == now for step, now in asked)


def test_autocast_that_begins_amid_training_is_seen() -> None:
    run = Setup()
    with quiet_probe(run.model, loss=run.loss, optimizer=run.optimizer, rows=2, every=10**6) as probe:
        run.train()
        for _ in range(20):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                run.train()
        assert probe._rows is not None
        assert probe._rows.source._known.conditions.autocast == {"cpu": "bfloat16"}

"""A run that is stopped and resumed has the records of one that is not."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import batches, quiet_probe, same, small_net
from lanes import HALF, LANES, STEPS, Training, trained

from ibprobe import BadInput, BadRun, Records, load_run
from ibprobe.estimate.estimators import LayerEstimator

RESUMED = next(lane for lane in LANES if lane.resume)
WHOLE = LANES[0]
HELD = next(iter(batches(96, 96, seed=2)))


def told_apart_by_time(records: Records) -> list[Any]:
    """Everything but what it cost."""
    return [replace(e, seconds=0.0) for e in records]


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "replay"},
        {"mode": "stream"},
        {"probe_set": {"train": HELD, "held_out": HELD}},
        {"every": 1},
        pytest.param({"estimator": "mine", "layers": ["0"]}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_inline_and_without_a_budget_the_records_are_the_same_bit_for_bit(
    options: dict[str, Any], tmp_path: Path
) -> None:
    whole = trained(WHOLE, options).probe
    resumed = trained(RESUMED, {**options, "run_dir": tmp_path / "run"}).probe
    assert whole is not None
    assert resumed is not None
    assert told_apart_by_time(resumed.estimates) == told_apart_by_time(whole.estimates)
    on_disk = load_run(tmp_path / "run")
    assert told_apart_by_time(on_disk) == told_apart_by_time(whole.estimates)
    assert [e for e in resumed.estimates.events if e.kind not in ("cost", "skipped", "note")] == [
        e for e in whole.estimates.events if e.kind not in ("cost", "skipped")
    ]


def test_on_a_thread_the_steps_that_both_runs_measured_agree() -> None:
    whole = trained(WHOLE, {"runtime": "inline"}).probe
    resumed = trained(RESUMED, {"runtime": "thread"}).probe
    assert whole is not None
    assert resumed is not None
    values = ({(e.step, e.layer, e.quantity): e.nats for e in of.estimates} for of in (whole, resumed))
    one, other = values
    common = one.keys() & other.keys()
    assert len({step for step, _, _ in common}) >= 4
    assert all(one[key] == other[key] for key in common)


def test_what_an_interrupted_run_wrote_too_much_is_set_aside_and_not_lost(tmp_path: Path) -> None:
    resumed = trained(RESUMED, {"every": 1, "run_dir": tmp_path / "run"}).probe
    assert resumed is not None
    aside = (tmp_path / "run" / "records.superseded.jsonl").read_text().splitlines()
    assert {json.loads(line)["step"] for line in aside} == {HALF + 1, HALF + 2, HALF + 3}
    assert load_run(tmp_path / "run").steps[-1] == STEPS


def test_without_a_directory_of_its_own_a_resumed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Training(RESUMED, {})
    assert first.probe is not None
    with first.probe:
        first.go(HALF)
    later = Training(RESUMED, {})
    assert later.probe is not None
    assert later.probe.run_dir != first.probe.run_dir
    later.probe.load_state_dict(first.probe.state_dict())
    assert later.probe.run_dir == first.probe.run_dir


def test_in_a_new_directory_the_whole_history_is_written(tmp_path: Path) -> None:
    first = Training(RESUMED, {"run_dir": tmp_path / "one"})
    assert first.probe is not None
    with first.probe:
        first.go(HALF)
        first.probe.log(loss=0.5)
        state = first.probe.state_dict()
    later = Training(RESUMED, {"run_dir": tmp_path / "two"})
    assert later.probe is not None
    later.probe.load_state_dict(state)
    with later.probe:
        later.go(HALF)
    found = load_run(tmp_path / "two")
    assert found.steps == later.probe.estimates.steps
    assert found.steps[0] < HALF < found.steps[-1]
    assert [entry.values for entry in found.logged] == [{"loss": 0.5}]


def test_a_state_holds_plain_types_and_tensors_and_survives_a_file() -> None:
    run = Training(WHOLE, {"mode": "stream", "every": 10})
    assert run.probe is not None
    with run.probe as probe:
        run.go(11)  # in the midst of gathering
        state = probe.state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    assert same(torch.load(file, weights_only=True), state)


@pytest.mark.parametrize(
    ("options", "words"), [({"sigma": 0.5}, "sigma=0.25, this probe has sigma=0.5"), ({"rows": 8}, "rows=64")]
)
def test_a_state_of_another_measurement_is_refused(options: dict[str, Any], words: str) -> None:
    state = quiet_probe(small_net()).state_dict()
    with pytest.raises(BadInput, match=words):
        quiet_probe(small_net(), **options).load_state_dict(state)


def test_a_state_is_loaded_before_the_run_begins() -> None:
    model = small_net()
    probe = quiet_probe(model).attach()
    with pytest.raises(BadInput, match="before attach"):
        probe.load_state_dict(probe.state_dict())
    probe.detach()


def test_a_directory_that_holds_another_run_is_refused_when_the_run_begins(tmp_path: Path) -> None:
    model = small_net()
    with quiet_probe(model, run_dir=tmp_path / "run"):
        pass
    with pytest.raises(BadRun, match=r"already holds a run.*load_state_dict"):
        quiet_probe(model, run_dir=tmp_path / "run").attach()


def test_lines_that_a_killed_run_did_not_write_are_written_and_none_is_there_twice(tmp_path: Path) -> None:
    run = Training(WHOLE, {"run_dir": tmp_path / "run"})
    assert run.probe is not None
    run.probe.attach()
    for step in range(20):
        run.go(1)
        run.probe.log(step, loss=0.5)
    state = run.probe.state_dict()
    run.probe.detach(measure=False)
    for kept in (7, 3):  # killed twice, before the curves had reached the disk
        curves = tmp_path / "run" / "curves.jsonl"
        curves.write_text("".join(curves.read_text().splitlines(keepends=True)[:kept]) + '{"step": 9')
        later = Training(RESUMED, {"run_dir": tmp_path / "run"})
        assert later.probe is not None
        later.probe.load_state_dict(state)
        later.probe.attach()
        later.probe.detach(measure=False)
    found = load_run(tmp_path / "run")
    assert [entry.step for entry in found.logged] == list(range(20))
    assert len(found) == len(state["snapshots"]["journal"]["estimates"])


def test_two_probes_do_not_go_on_with_one_run_at_a_time(tmp_path: Path) -> None:
    first = Training(RESUMED, {"run_dir": tmp_path / "run"})
    assert first.probe is not None
    with first.probe:
        first.go(HALF)
        second = Training(RESUMED, {})
        assert second.probe is not None
        second.probe.load_state_dict(first.probe.state_dict())
        with pytest.raises(BadRun, match="is being written by another probe: give a new path"):
            second.probe.attach()
    second.probe.attach()
    second.probe.detach()


@pytest.mark.parametrize("state", [{"model": 1}, {"meta": {}}])
def test_a_state_of_something_else_is_refused(state: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"expected what probe.state_dict\(\) gave; got a mapping with 'm"):
        quiet_probe(small_net()).load_state_dict(state)


def test_a_checkpoint_does_not_wait_for_critics(monkeypatch: pytest.MonkeyPatch) -> None:
    def for_ever(self: LayerEstimator, rows: Any) -> None:
        while True:
            torch.ones(1).sum()

    monkeypatch.setattr(LayerEstimator, "critics", for_ever)
    run = Training(WHOLE, {"estimator": "mine", "runtime": "thread", "every": 1000})
    monkeypatch.setattr("lanes.wait_for_workers", lambda: None)
    assert run.probe is not None
    run.probe.attach()
    run.go(HALF)
    while not run.probe.estimates:
        run.go(1)
    assert run.probe.state_dict()["snapshots"]["journal"]["estimates"]
    run.probe.detach(measure=False)

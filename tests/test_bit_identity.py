"""The first promise: a run that is watched is, bit for bit, the run that is not, however it is trained."""

import functools
from pathlib import Path
from typing import Any

import distributed_lanes
import pytest
import torch
from helpers import same
from lanes import EVERY, LANES, STEPS, Lane, trained
from torch import nn

from ibprobe.capture.gathering import Gathering
from ibprobe.estimate.estimators import LayerEstimator

PLACES, MODES = ("inline", "thread"), ("replay", "stream")
# In eval mode nothing requires a gradient, of which reentrant checkpointing warns.
pytestmark = [
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),  # of inductor's own
]

BY_NAME = [
    pytest.param(lane, id=lane.name, marks=[pytest.mark.slow] if lane.backend == "inductor" else []) for lane in LANES
]


BY_WAY = [
    pytest.param(way, id=way, marks=[pytest.mark.slow] if "FSDP2" in way else []) for way in distributed_lanes.WAYS
]


@functools.cache
def processes_without(way: str) -> list[dict[str, Any]]:
    """The same of runs in two processes."""
    return distributed_lanes.trained(way)


@functools.cache
def without(lane: Lane) -> dict[str, Any]:
    """The run without a probe, which every other one is compared with."""
    return trained(lane).state


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lane", BY_NAME)
def test_a_watched_run_is_the_run_itself(lane: Lane, mode: str, place: str, caplog: pytest.LogCaptureFixture) -> None:
    plain = without(lane)
    run = trained(lane, {"mode": mode, "runtime": place})
    assert run.probe is not None
    records = run.probe.estimates
    assert not [e for e in records.events if e.kind == "disarmed"]
    assert len(records.steps) >= 3
    assert records.steps[-1] >= STEPS - EVERY
    if mode == "replay" or lane.same_in_stream_mode:
        assert same(run.state, plain)
    else:
        assert "the last bits of training can differ" in caplog.text


@pytest.mark.parametrize("lane", BY_NAME)
def test_the_comparison_sees_a_probe_that_draws_one_global_number(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, take = without(lane), Gathering.take

    def careless(self: Gathering) -> Any:
        torch.rand(1)
        return take(self)

    monkeypatch.setattr(Gathering, "take", careless)
    state = trained(lane, {"mode": "replay"}).state
    assert not same(state["model"], plain["model"])
    assert not same(state["random"], plain["random"])


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch about itself
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", BY_WAY)
def test_so_it_is_on_each_of_two_processes(way: str, mode: str, place: str) -> None:
    plain = processes_without(way)
    runs = distributed_lanes.trained(way, {"mode": mode, "runtime": place})
    assert not [text for run in runs for text in run["events"] if "disarmed" in text]
    assert len(runs[0]["steps"]) >= 3
    assert runs[0]["layers"] == ["2", "4"]
    assert not runs[1]["steps"]
    for run, bare in zip(runs, plain, strict=True):
        assert same(run["state"], bare["state"])


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("way", BY_WAY)
def test_the_comparison_sees_what_is_drawn_on_one_of_two_processes(way: str) -> None:
    for run, bare in zip(
        distributed_lanes.trained(way, {"mode": "replay"}, careless=True), processes_without(way), strict=True
    ):
        assert not same(run["state"]["model"], bare["state"]["model"])


def test_the_comparison_sees_a_thread_that_draws_one_global_number(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, brackets = without(LANES[0]), LayerEstimator.brackets

    def careless(self: LayerEstimator, rows: Any) -> Any:
        torch.rand(1)
        return brackets(self, rows)

    monkeypatch.setattr(LayerEstimator, "brackets", careless)
    assert not same(trained(LANES[0], {"runtime": "thread"}).state["random"], plain["random"])
    assert same(trained(LANES[0], {"runtime": "inline"}).state["random"], plain["random"])


@pytest.mark.parametrize("lane", [lane for lane in LANES if lane.resume], ids=lambda lane: lane.name)
def test_the_comparison_sees_a_gradient_that_is_left_behind(lane: Lane) -> None:
    run = trained(lane)
    next(run.model.parameters()).grad = None
    assert not same(run.state, without(lane))


@pytest.mark.parametrize("place", PLACES)
def test_so_it_is_with_two_threads_an_operation(place: str) -> None:
    """Setting threads for our own work must not reach training's sums, whose order depends on their number."""
    torch.set_num_threads(2)
    try:
        wide = Lane("wide", lambda: nn.Sequential(nn.Linear(4, 512), nn.Tanh(), nn.Linear(512, 512), nn.Linear(512, 2)))
        plain = trained(wide).state
        assert same(trained(wide, {"runtime": place}).state, plain)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)


def test_the_readme_prints_the_table() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    columns = [f"{mode}, {place}" for mode in MODES for place in PLACES]
    stream = {True: " = |", False: " warns |"}
    table = "".join(f"| {lane.name} | = | = |{2 * stream[lane.same_in_stream_mode]}\n" for lane in LANES)
    table += "".join(f"| {way} | = | = | = | = |\n" for way in distributed_lanes.WAYS)
    assert f"| training | {' | '.join(columns)} |\n|---|{':-:|' * len(columns)}\n{table}\n" in readme

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import MemorySink

from ibprobe.capture.rows import LayerRows, RowSet
from ibprobe.errors import NoRows
from ibprobe.estimate.channel import Channel
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.record.rundir import RunDir
from ibprobe.runtime import CRITICS_EVERY, InlineRuntime
from ibprobe.schedule import Budget
from ibprobe.sinks.fanout import Fanout


class Counting(LayerEstimator):
    """Counts the critics that it is asked for, and trains none."""

    asked = 0

    def critics(self, rows: RowSet) -> Any:
        self.asked += 1
        return [], []


def take() -> list[RowSet]:
    t = torch.randn(32, 3)
    return [RowSet((LayerRows(t, "fc"),), torch.arange(32) % 2, t, torch.arange(32), "train", "replay", (0, 0))]


def no_rows() -> list[RowSet]:
    raise NoRows("nothing was seen")


Running = Callable[..., tuple[InlineRuntime, Counting, MemorySink]]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Starts a runtime and ends it with the test."""
    begun: list[InlineRuntime] = []

    def begin(critics: Any, share: float | None = None) -> tuple[InlineRuntime, Counting, MemorySink]:
        estimator, sink = Counting(Channel()), MemorySink()
        runtime = InlineRuntime(estimator, critics, Budget(share), {"layers": ["fc"]})
        runtime.begin(Fanout(RunDir(tmp_path), [sink]))
        begun.append(runtime)
        return runtime, estimator, sink

    yield begin
    for runtime in begun:
        runtime.end(0, "here")


@pytest.mark.parametrize(("critics", "asked"), [("channel", 0), ("auto", 3), ("mine", 2 * CRITICS_EVERY + 1)])
def test_scheduled_critics_run_never_every_few_times_or_always(running: Running, critics: str, asked: int) -> None:
    runtime, estimator, _ = running(critics)
    for _ in range(2 * CRITICS_EVERY + 1):
        runtime.scheduled(take)
    assert estimator.asked == asked


@pytest.mark.parametrize(("critics", "asked"), [("channel", 0), ("auto", 1), ("mine", 1)])
def test_critics_always_run_on_demand_unless_they_are_off(running: Running, critics: str, asked: int) -> None:
    runtime, estimator, _ = running(critics, share=1e-9)
    runtime.demanded(take, 3)
    assert estimator.asked == asked


def test_a_spent_budget_skips_critics_and_then_snapshots_and_counts_both(running: Running) -> None:
    runtime, estimator, sink = running("mine", share=1e-9)
    assert runtime.accepts()
    runtime.scheduled(take)
    assert estimator.asked == 0
    assert not runtime.accepts()
    assert not runtime.accepts()
    runtime.end(9, "here")
    assert sink.summaries[0].startswith("measured 1 of 3 due steps")
    assert "critics skipped 1×" in sink.summaries[0]
    skipped, cost = sink.events
    assert (skipped.step, skipped.kind, skipped.why) == (9, "skipped", "2 due steps did not fit the budget")
    assert (cost.kind, sink.summaries[0]) == ("cost", f"{cost.why}; records in here")


def test_records_and_sinks_get_the_same_lines(running: Running) -> None:
    runtime, _, sink = running("channel")
    runtime.scheduled(take)
    assert [e.quantity for e in runtime.records] == ["I_XT", "I_TY", "I_XT_given_Y"]
    assert tuple(sink.estimates) == runtime.records.estimates
    assert runtime.records.meta == sink.meta == {"layers": ["fc"]}


def test_a_demand_without_rows_is_an_event_and_a_warning(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    runtime, _, sink = running("channel")
    runtime.demanded(no_rows, 5)
    assert caplog.messages == ["ibprobe: nothing measured: nothing was seen"]
    assert [(e.step, e.kind) for e in sink.events] == [(5, "skipped")]
    caplog.clear()
    runtime.scheduled(take)
    runtime.demanded(no_rows, 6)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_nothing_is_written_before_the_beginning_or_after_the_end(running: Running) -> None:
    runtime, _, sink = running("channel")
    runtime.tick()
    runtime.end(0, "here")
    runtime.end(0, "here")
    runtime.tick()
    runtime.keep()
    assert (sink.ticks, len(sink.summaries)) == (1, 1)

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import MemorySink

from ibprobe.capture.gathering import Gathering
from ibprobe.capture.rows import LayerRows, RowSet
from ibprobe.errors import NoRows
from ibprobe.estimate.channel import Channel
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.record.rundir import RunDir
from ibprobe.runtime.journal import Journal
from ibprobe.runtime.places import make_place
from ibprobe.runtime.snapshots import CRITICS_EVERY, Snapshots
from ibprobe.schedule import Budget
from ibprobe.sinks.fanout import Fanout

CPU = torch.device("cpu")


class Counting(LayerEstimator):
    """Counts the critics that it is asked for, and trains none; its brackets wait for a permit."""

    def __init__(self) -> None:
        super().__init__(Channel())
        self.asked = 0
        self.may = threading.Event()
        self.may.set()

    def brackets(self, rows: RowSet) -> Any:
        assert self.may.wait(10)
        return super().brackets(rows)

    def critics(self, rows: RowSet) -> Any:
        self.asked += 1
        return [], []


class Rows(Gathering):
    """The same rows at every step, or none."""

    def __init__(self) -> None:
        self.source: Any = self
        self.at, self.there = 0, True

    @property
    def step(self) -> int:
        return self.at

    def copying(self) -> float:
        return 0.0

    @property
    def resting(self) -> bool:
        return False

    def look_or_rest(self) -> None:
        pass

    def want(self) -> bool:
        return self.there

    def take(self) -> list[RowSet]:
        if not self.there:
            raise NoRows("nothing was seen")
        t, span = torch.randn(32, 3), (self.at, self.at)
        return [RowSet((LayerRows(t, "fc"),), torch.arange(32) % 2, t, torch.arange(32), "train", "replay", span)]


class Run:
    """Snapshots of a run, with what is around them."""

    def __init__(self, path: Path, critics: str, share: float | None, place: str) -> None:
        self.estimator, self.sink, self.rows = Counting(), MemorySink(), Rows()
        self.budget, self.journal = Budget(share), Journal({"layers": ["fc"]})
        self.snapshots = Snapshots(
            lambda step: True, self.estimator, critics, self.budget, self.journal, make_place(place, CPU)
        )
        self.budget.start()
        self.journal.open(Fanout(RunDir(path), [self.sink]))

    def steps(self, number: int) -> None:
        for _ in range(number):
            self.rows.at += 1
            self.snapshots.passed(self.rows)

    def end(self) -> None:
        self.estimator.may.set()
        self.journal.close(self.snapshots.end(self.rows.at))


Running = Callable[..., Run]


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Starts a run and ends it with the test."""
    begun: list[Run] = []

    def begin(critics: str, share: float | None = None, place: str = "inline") -> Run:
        begun.append(Run(tmp_path, critics, share, place))
        return begun[-1]

    yield begin
    for run in begun:
        run.end()


@pytest.mark.parametrize(("critics", "asked"), [("channel", 0), ("auto", 3), ("mine", 2 * CRITICS_EVERY + 1)])
def test_scheduled_critics_run_never_every_few_times_or_always(running: Running, critics: str, asked: int) -> None:
    run = running(critics)
    run.steps(2 * CRITICS_EVERY + 1)
    assert run.estimator.asked == asked


@pytest.mark.parametrize("place", ["inline", "thread"])
@pytest.mark.parametrize(("critics", "asked"), [("channel", 0), ("auto", 1), ("mine", 1)])
def test_critics_always_run_on_demand_unless_they_are_off(
    running: Running, critics: str, asked: int, place: str
) -> None:
    run = running(critics, 1e-9, place)
    run.snapshots.demanded(run.rows)
    assert run.estimator.asked == asked
    assert len(run.journal.records) == 3


def test_a_spent_budget_skips_critics_and_then_snapshots_and_counts_both(running: Running) -> None:
    run = running("mine", share=1e-9)
    run.steps(3)
    assert run.estimator.asked == 0
    assert run.journal.records.steps == [1]
    run.end()
    assert run.sink.summaries[0].startswith("measured 1 of 3 due steps")
    assert "critics skipped 1×" in run.sink.summaries[0]
    skipped, cost = run.sink.events
    assert (skipped.step, skipped.kind, skipped.why) == (3, "skipped", "2 due steps did not fit the budget")
    assert (cost.kind, cost.why) == ("cost", run.sink.summaries[0])


def test_records_and_sinks_get_the_same_lines(running: Running) -> None:
    run = running("channel")
    run.steps(1)
    assert [e.quantity for e in run.journal.records] == ["I_XT", "I_TY", "I_XT_given_Y"]
    assert tuple(run.sink.estimates) == run.journal.records.estimates
    assert run.journal.records.meta == run.sink.meta == {"layers": ["fc"]}


def test_a_demand_without_rows_is_an_event_and_a_warning(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    run = running("channel")
    run.rows.there, run.rows.at = False, 5
    run.snapshots.demanded(run.rows)
    assert caplog.messages == ["ibprobe: nothing measured: nothing was seen"]
    assert [(e.step, e.kind) for e in run.sink.events] == [(5, "skipped")]
    caplog.clear()
    run.rows.there = True
    run.steps(1)
    run.rows.there = False
    run.snapshots.demanded(run.rows)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_due_step_without_rows_is_measured_when_they_are_there(running: Running) -> None:
    run = running("channel")
    run.rows.there = False
    run.steps(3)
    run.rows.there = True
    run.steps(1)
    assert run.journal.records.steps == [4]
    assert run.budget.early == 2


def test_a_step_that_was_measured_is_not_measured_again_at_the_end(running: Running) -> None:
    run = running("channel")
    run.steps(2)
    run.snapshots.last(run.rows)
    assert run.budget.measured == 2


def test_steps_that_are_due_while_a_thread_is_at_work_are_left_out_and_counted(running: Running) -> None:
    run = running("channel", place="thread")
    run.estimator.may.clear()
    run.steps(4)
    assert not len(run.journal.records)
    run.estimator.may.set()
    run.snapshots.last(run.rows)
    assert run.journal.records.steps == [1, 4]
    run.end()
    assert "3 were due before another was done" in run.sink.summaries[0]
    assert [e.why for e in run.sink.events if e.kind == "skipped"] == [
        "3 due steps passed before another snapshot was done"
    ]


def test_records_are_kept_by_the_thread_that_trains(running: Running) -> None:
    run = running("mine", place="thread")
    threads = set()
    keep = run.journal.keep
    run.journal.keep = lambda *a, **k: (threads.add(threading.current_thread()), keep(*a, **k))  # type: ignore[method-assign,assignment,func-returns-value]
    run.steps(1)
    run.snapshots.last(run.rows)
    assert threads == {threading.main_thread()}
    assert run.estimator.asked == 1


def test_an_error_on_the_thread_is_raised_at_a_later_step(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    run = running("channel", place="thread")
    monkeypatch.setattr(run.estimator, "brackets", lambda rows: run.estimator.may.wait(0.2) or 1 / 0)
    run.estimator.may.clear()
    run.steps(1)
    with pytest.raises(ZeroDivisionError):
        run.snapshots.last(run.rows)


def test_the_end_of_a_run_drops_what_is_under_way(running: Running) -> None:
    run = running("channel", place="thread")
    run.estimator.may.clear()
    run.steps(1)
    run.estimator.may.set()
    run.end()
    assert not [t for t in threading.enumerate() if t.name == "ibprobe"]


def test_seconds_on_a_thread_are_paid_for_and_expected_the_next_time(running: Running) -> None:
    run = running("channel", share=0.5, place="thread")
    busy = LayerEstimator.brackets
    run.estimator.brackets = lambda rows: (sum(range(3_000_000)), busy(run.estimator, rows))[1]  # type: ignore[method-assign]
    run.steps(1)
    while run.snapshots._place._thread.is_alive():  # type: ignore[attr-defined]
        pass
    run.snapshots._collect()
    assert run.budget.spent > 0.02
    assert run.budget.state_dict()["costs"]["brackets"] > 0.02

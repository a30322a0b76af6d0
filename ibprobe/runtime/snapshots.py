"""What becomes of a snapshot: brackets first, critics from what the budget leaves, results when they are there."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any, Literal

import torch

from ibprobe.capture.gathering import Gathering
from ibprobe.capture.rows import RowSet
from ibprobe.errors import NoRows
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.estimate.trends import Trends
from ibprobe.record.records import Estimate, Event
from ibprobe.runtime.journal import Journal
from ibprobe.runtime.pace import Own, Pace
from ibprobe.runtime.places import Place
from ibprobe.schedule import Budget, StepTimes

log = logging.getLogger("ibprobe")

CRITICS_EVERY = 10
"""With ``critics="auto"``, critics run at every so many-th snapshot and at those that are asked for."""

_Kind = Literal["brackets", "critics"]
_Critics = Literal["no", "budget", "last", "yes"]
"""Never, if the budget allows them and more to come, if it allows them as the end of the run, or always."""
_Found = tuple[list[Estimate], list[Event]]


@dataclass(frozen=True, slots=True)
class _Task:
    """What is being worked on, and whether critics come after it."""

    kind: _Kind
    sets: Sequence[RowSet]
    critics: _Critics = "no"


class Snapshots:
    """Takes rows, has them worked on, and keeps what comes out.

    Args:
        due: which steps are to be measured.
        estimator: turns rows into estimates.
        critics: ``auto``, ``channel`` (never), or the name of an estimator (always).
        budget: keeps the cost below its share.
        journal: keeps what is found.
        place: where work is done.
        step_times: what work on a device costs the steps beside it; None where the place knows its cost.
        pace: says whether a due step is measured, where processes agree on it; by default this one does.
    """

    def __init__(
        self,
        due: Callable[[int], bool],
        estimator: LayerEstimator,
        critics: str,
        budget: Budget,
        journal: Journal,
        place: Place,
        step_times: StepTimes | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._due, self._estimator, self._critics, self._budget = due, estimator, critics, budget
        self._journal, self._place, self._step_times = journal, place, step_times
        self._pace = pace or Own()
        self._trends = Trends()
        self._task: _Task | None = None
        self._seen_waiting = self._copied = 0.0
        self._reported = (0, 0)
        self._pending = False
        """Whether a snapshot was due and waits for its rows."""
        self._judged: int | None = None
        """The last step that was asked about; a resumed run asks about it once more."""
        self._last_step: int | None = None
        """What the last records are of: streamed rows are of steps before the one that they are taken at."""

    def stepped(self, rows: Gathering) -> None:
        """An optimizer step was taken."""
        rows.stepped()
        self.passed(rows)
        self._journal.tick()

    def passed(self, rows: Gathering) -> None:
        """The run has begun or an optimizer step has passed: fetch what is done, and begin what is due."""
        self._book_copies(rows)
        self._fetch()
        self._begin_if_ready(rows)
        if self._judged != rows.step and self._due(rows.step):
            go = self._pace.agreed(rows.step, lambda: self._wants(rows))
            self._pending = self._pending or (go and self._last_step != rows.step)
            self._begin_if_ready(rows)
        self._judged = rows.step
        rows.look_or_rest()

    def _book_copies(self, rows: Gathering) -> None:
        copied = rows.source.copying()
        self._budget.book("copies", cost=0.0, spent=copied)
        self._copied += copied

    def _fetch(self) -> None:
        if self._step_times is not None:
            ours = self._budget.waited - self._seen_waiting
            self._step_times.passed(beside=self._place.busy, ours=ours)
            self._seen_waiting = self._budget.waited
        if self._task is not None:
            self._collect()

    def _wants(self, rows: Gathering) -> bool:
        if self._last_step == rows.step:
            return False
        if self._pending or (self._pace.at_once and not rows.source.want()):
            self._budget.early += 1
            return self._pending
        return self._accepts()

    def _begin_if_ready(self, rows: Gathering) -> None:
        if self._pending and not self._place.busy and rows.source.want():
            self._pending = False
            nth = self._critics == "auto" and self._budget.measured % CRITICS_EVERY == 0
            self._begin(rows, "budget" if nth or self._critics not in ("auto", "channel") else "no")
            self._collect()

    def _accepts(self) -> bool:
        """Whether a due snapshot can begin: the last one is done and it fits the budget; others are counted."""
        if self._place.busy:
            self._budget.late += 1
            return False
        fits = self._budget.allows("snapshot")
        self._budget.skipped += not fits
        return fits

    def last(self, rows: Gathering) -> None:
        """Work on the end of the run: brackets whatever the budget says, critics from what is left."""
        self._collect(wait=True)
        if self._last_step != rows.step:
            self._now(rows, "last")

    def demanded(self, rows: Gathering) -> None:
        """Work on a snapshot that the user asks for: brackets always and critics too, whatever the budget says."""
        self._collect(wait=True)
        self._now(rows, "yes")

    def finish(self) -> None:
        """Wait for brackets that are under way; critics, which take long, are given up."""
        if self._task is not None and self._task.kind == "brackets":
            self._task = replace(self._task, critics="no")
            self._collect(wait=True)
        elif self._task is not None:
            self._place.call_off()
            self._task = None
            self._budget.critics_skipped += 1

    def end(self, step: int) -> str:
        """Drop what is under way and say what was left out; one line for the run."""
        self._place.call_off()
        self._task = None
        for number, before, why in zip(
            (self._budget.skipped, self._budget.late), self._reported,
            ("due steps did not fit the budget", "due steps passed before another snapshot was done"),
            strict=True,
        ):  # fmt: skip
            if number > before:
                self._journal.keep(events=[Event(step=step, kind="skipped", why=f"{number - before} {why}")])
        self._reported = (self._budget.skipped, self._budget.late)
        cost = self._budget.summary()
        self._journal.keep(events=[Event(step=step, kind="cost", why=cost)])
        return cost

    def _now(self, rows: Gathering, critics: _Critics) -> None:
        """Without rows, say so and go on."""
        try:
            self._begin(rows, "no" if self._critics == "channel" else critics)
        except NoRows as e:
            if not len(self._journal):
                log.warning("ibprobe: nothing measured: %s", e)
                self._journal.keep(events=[Event(step=rows.step, kind="skipped", why=str(e))])
        self._collect(wait=True)

    def _begin(self, rows: Gathering, critics: _Critics) -> None:
        with self._budget.paying("rows"), torch.no_grad():
            sets = rows.take()
        self._budget.book("rows", cost=self._copied, spent=0.0)  # counted while they were gathered
        self._copied = 0.0
        self._budget.measured += 1
        self._last_step = max((of_split.span[1] for of_split in sets), default=rows.step)
        self._start(_Task("brackets", sets, critics))

    def _start(self, task: _Task) -> None:
        self._task = task
        # What is at work holds what it needs, and not the run: a run that is let go of ends.
        if task.kind == "brackets":
            work = partial(_brackets, self._estimator, self._trends, task.sets)
        else:
            work = partial(_critics, self._estimator, task.sets)
        with self._budget.paying(task.kind):
            self._place.start(work)

    def _collect(self, *, wait: bool = False) -> None:
        """Keep what is done, and go on with what comes after it.

        Args:
            wait: until there is nothing more to do.
        """
        while self._task is not None:
            started = time.perf_counter()
            outcome = self._place.result(wait=wait)
            if outcome is None:
                return
            task, self._task = self._task, None
            beside = outcome.seconds if self._step_times is None else self._step_times.lost()
            waited = time.perf_counter() - started  # is counted already, as all that keeps training waiting
            self._budget.book(task.kind, cost=beside, spent=max(beside - waited, 0.0))
            if outcome.error is not None:
                raise outcome.error
            self._journal.keep(*outcome.found)
            self._follow(task)

    def _follow(self, task: _Task) -> None:
        if task.critics == "no":
            return
        if task.critics == "yes" or self._budget.allows("critics", last=task.critics == "last"):
            self._start(_Task("critics", task.sets))
        else:
            self._budget.critics_skipped += 1

    @property
    def asked(self) -> tuple[int | None, int | None]:
        """The last step that was asked about, and the one that was measured last."""
        return self._judged, self._last_step

    @asked.setter
    def asked(self, asked: tuple[int | None, int | None]) -> None:
        self._judged, self._last_step = asked

    def state_dict(self) -> dict[str, Any]:
        """What later snapshots build on; nothing may be under way."""
        return {
            "last_step": self._last_step,
            "pending": self._pending,
            "judged": self._judged,
            "reported": list(self._reported),
            "budget": self._budget.state_dict(),
            "estimator": self._estimator.state_dict(),
            "journal": self._journal.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._journal.load_state_dict(state["journal"])
        self._budget.load_state_dict(state["budget"])
        self._last_step, self._judged = state["last_step"], state["judged"]
        self._pending = state["pending"] and not self._pace.at_once
        skipped, late = state["reported"]
        self._reported = (skipped, late)
        estimates = self._journal.records.estimates
        self._estimator.load_state_dict(state["estimator"], estimates)
        self._trends = Trends()
        for _, of_step in groupby((e for e in estimates if e.estimator == "channel"), key=lambda e: e.step):
            self._trends.marked(list(of_step))


def _brackets(estimator: LayerEstimator, trends: Trends, sets: Iterable[RowSet]) -> _Found:
    with torch.no_grad():
        found = [estimator.brackets(rows) for rows in sets]
    estimates = trends.marked([e for of_split, _ in found for e in of_split])
    return estimates, [event for _, of_split in found for event in of_split]


def _critics(estimator: LayerEstimator, sets: Iterable[RowSet]) -> _Found:
    found = [estimator.critics(rows) for rows in sets]
    return [e for some, _ in found for e in some], [event for _, some in found for event in some]

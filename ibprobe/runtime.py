"""Where a snapshot is worked on, and what of it the budget allows: brackets first, critics from what is left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from ibprobe.capture.rows import RowSet
from ibprobe.errors import NoRows
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.record.records import Estimate, Event, Records
from ibprobe.schedule import Budget
from ibprobe.sinks.fanout import Fanout

log = logging.getLogger("ibprobe")

CRITICS_EVERY = 10
"""With ``critics="auto"``, critics run at every so many-th snapshot and at those that are asked for."""


class InlineRuntime:
    """Works on a snapshot at once, on the thread that asks for it, and sends what comes out to records and sinks.

    Args:
        estimator: turns rows into estimates.
        critics: ``auto``, ``channel`` (never), or the name of an estimator (always).
        budget: keeps the cost below its share.
        meta: what is measured and how.
    """

    def __init__(
        self,
        estimator: LayerEstimator,
        critics: str,
        budget: Budget,
        meta: Mapping[str, Any],
    ) -> None:
        self._estimator, self._critics, self._budget = estimator, critics, budget
        self._sinks: Fanout | None = None
        self._reported = 0
        self.records = Records(meta=meta)

    def begin(self, sinks: Fanout) -> None:
        """Open the sinks; the run's time counts from here."""
        self._sinks = sinks
        sinks.open(self.records.meta)
        self._budget.start()

    def end(self, step: int, where: object) -> None:
        """Say what the budget left out, and close the sinks with one line for the run."""
        if self._budget.skipped > self._reported:
            why = f"{self._budget.skipped - self._reported} due steps did not fit the budget"
            self.keep(events=[Event(step=step, kind="skipped", why=why)])
            self._reported = self._budget.skipped
        if self._sinks is not None:
            self._sinks.close(f"{self._budget.summary()}; records in {where}")
        self._sinks = None

    def tick(self) -> None:
        """An optimizer step has passed."""
        if self._sinks is not None:
            self._sinks.tick()

    def accepts(self) -> bool:
        """Whether a due snapshot fits the budget; one that does not is counted."""
        fits = self._budget.allows("brackets")
        self._budget.skipped += not fits
        return fits

    def scheduled(self, take: Callable[[], list[RowSet]]) -> None:
        """Work on a snapshot that was accepted: brackets always, critics every few times from what is left."""
        nth = self._critics == "auto" and self._budget.measured % CRITICS_EVERY == 0
        sets = self._brackets(take)
        if nth or self._critics not in ("auto", "channel"):
            self._critics_within_budget(sets)

    def last(self, take: Callable[[], list[RowSet]], step: int) -> None:
        """Work on the end of the run: brackets whatever the budget says, critics from what is left."""
        sets = self._brackets_or_none(take, step)
        if sets and self._critics != "channel":
            self._critics_within_budget(sets)

    def _critics_within_budget(self, sets: Sequence[RowSet]) -> None:
        if self._budget.allows("critics"):
            self._train_critics(sets)
        else:
            self._budget.critics_skipped += 1

    def demanded(self, take: Callable[[], list[RowSet]], step: int) -> None:
        """Work on a snapshot that the user asks for: everything, whatever the budget says."""
        sets = self._brackets_or_none(take, step)
        if sets and self._critics != "channel":
            self._train_critics(sets)

    def _brackets_or_none(self, take: Callable[[], list[RowSet]], step: int) -> list[RowSet]:
        """Without rows, say so and go on."""
        try:
            return self._brackets(take)
        except NoRows as e:
            if not self.records:
                log.warning("ibprobe: nothing measured: %s", e)
                self.keep(events=[Event(step=step, kind="skipped", why=str(e))])
            return []

    def _brackets(self, take: Callable[[], list[RowSet]]) -> list[RowSet]:
        with self._budget.paying("brackets"), torch.no_grad():
            sets = take()
            for rows in sets:
                self.keep(*self._estimator.brackets(rows))
        self._budget.measured += 1
        return sets

    def _train_critics(self, sets: Sequence[RowSet]) -> None:
        with self._budget.paying("critics"):
            for rows in sets:
                self.keep(*self._estimator.critics(rows))

    def keep(self, estimates: Sequence[Estimate] = (), events: Sequence[Event] = ()) -> None:
        """Add to the records and send to the sinks."""
        self.records = self.records.plus(estimates, events)
        if self._sinks is not None:
            self._sinks.write(estimates, events)

"""Where a snapshot is worked on, and what of it the budget allows: brackets first, critics from what is left."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any

import torch

from ibprobe.capture.rows import RowSet
from ibprobe.errors import NoRows
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.estimate.trends import Trends
from ibprobe.record.alerts import Alert, AlertCallback, Alerts
from ibprobe.record.records import Estimate, Event, Logged, Records, as_number
from ibprobe.schedule import Budget
from ibprobe.sinks.fanout import Fanout

log = logging.getLogger("ibprobe")

CRITICS_EVERY = 10
"""With ``critics="auto"``, critics run at every so many-th snapshot and at those that are asked for."""


@dataclass(slots=True)
class _Kept:
    """Lists, because copying a long run at every step would cost more than measuring it."""

    estimates: list[Estimate] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    logged: list[Logged] = field(default_factory=list)
    no_numbers: set[str] = field(default_factory=set)
    """Names that were warned of."""


class InlineRuntime:
    """Works on a snapshot at once, on the thread that asks for it, and sends what comes out to records and sinks.

    Args:
        estimator: turns rows into estimates.
        critics: ``auto``, ``channel`` (never), or the name of an estimator (always).
        budget: keeps the cost below its share.
        meta: what is measured and how.
        on_flag: called with each alert; one that raises is not called again.
    """

    def __init__(
        self,
        estimator: LayerEstimator,
        critics: str,
        budget: Budget,
        meta: Mapping[str, Any],
        on_flag: AlertCallback | None = None,
    ) -> None:
        self._estimator, self._critics, self._budget = estimator, critics, budget
        self._sinks: Fanout | None = None
        self._reported = 0
        self._trends, self._alerts, self._on_flag = Trends(), Alerts(), on_flag
        self._meta, self._kept = meta, _Kept()

    @property
    def records(self) -> Records:
        """Everything measured and logged so far."""
        kept = self._kept
        return Records(tuple(kept.estimates), tuple(kept.events), self._meta, tuple(kept.logged))

    def has(self, step: int) -> bool:
        """Whether the last estimate is of this step."""
        return bool(self._kept.estimates) and self._kept.estimates[-1].step == step

    def begin(self, sinks: Fanout) -> None:
        """Open the sinks; the run's time counts from here."""
        self._sinks = sinks
        sinks.open(self._meta)
        self._budget.start()

    def end(self, step: int, where: object) -> None:
        """Say what the budget left out, and close the sinks with one line for the run."""
        if self._budget.skipped > self._reported:
            why = f"{self._budget.skipped - self._reported} due steps did not fit the budget"
            self.keep(events=[Event(step=step, kind="skipped", why=why)])
            self._reported = self._budget.skipped
        cost = self._budget.summary()
        self.keep(events=[Event(step=step, kind="cost", why=cost)])
        if self._sinks is not None:
            self._sinks.close(f"{cost}; records in {where}")
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
            if not self._kept.estimates:
                log.warning("ibprobe: nothing measured: %s", e)
                self.keep(events=[Event(step=step, kind="skipped", why=str(e))])
            return []

    def _brackets(self, take: Callable[[], list[RowSet]]) -> list[RowSet]:
        with self._budget.paying("brackets"), torch.no_grad():
            sets = take()
            found = [self._estimator.brackets(rows) for rows in sets]
            estimates = self._trends.marked([e for of_split, _ in found for e in of_split])
            self.keep(estimates, [event for _, of_split in found for event in of_split])
        self._budget.measured += 1
        return sets

    def _train_critics(self, sets: Sequence[RowSet]) -> None:
        with self._budget.paying("critics"):
            for rows in sets:
                self.keep(*self._estimator.critics(rows))

    def keep(self, estimates: Sequence[Estimate] = (), events: Sequence[Event] = ()) -> None:
        """Add to the records, send to the sinks, and alert whoever wants to know."""
        alerts = self._alerts.new(estimates, events)
        told = [*events, *(a.event for a in alerts if a.flag != "disarmed")]  # that one is an event already
        self._kept.estimates += estimates
        self._kept.events += told
        if self._sinks is not None:
            self._sinks.write(estimates, told)
        for alert in alerts:
            self._tell(alert)

    def _tell(self, alert: Alert) -> None:
        if alert.flag != "disarmed":  # that is logged where it happens
            log.warning("ibprobe: %s", alert)
        if self._sinks is not None:
            self._sinks.alert(alert)
        if self._on_flag is not None:
            try:
                self._on_flag(alert)
            except Exception as e:
                self._on_flag = None
                log.warning("ibprobe: on_flag failed and is left out from here: %s: %s", type(e).__name__, e)

    def log(self, step: Any, values: Mapping[str, Any]) -> None:
        """Keep what the user logged; what is no number is left out, with one warning."""
        with self._budget.paying("logging"):
            given = {"step": step, **values}
            numbers = {name: number for name, value in given.items() if (number := as_number(value)) is not None}
            for name in given.keys() - numbers.keys() - self._kept.no_numbers:
                log.warning("ibprobe: log(%s=…) is left out: expected a number, got %s", name, short(given[name]))
                self._kept.no_numbers.add(name)
            at = numbers.pop("step", math.nan)
            if numbers and math.isfinite(at):
                self._kept.logged.append(Logged(int(at), numbers))
                if self._sinks is not None:
                    self._sinks.log(self._kept.logged[-1])

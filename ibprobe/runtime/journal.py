"""What a run has found so far: it is kept, sent to the sinks, and said aloud where a person should look."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from reprlib import repr as short
from typing import Any

from ibprobe.errors import BadInput
from ibprobe.record.alerts import Alert, AlertCallback, Alerts
from ibprobe.record.records import Estimate, Event, Logged, Records, as_number
from ibprobe.sinks.fanout import Fanout

_SAME = (
    "layers", "mode", "rows", "noise", "sigma", "draws", "target", "view", "estimator", "passes", "train_mode", "seed",
)  # fmt: skip
"""What must not change within a run, for values of all its steps to be of one variable."""

log = logging.getLogger("ibprobe")


class Journal:
    """Everything measured and logged, in lists: copying a long run at every step would cost more than measuring it.

    Args:
        meta: what is measured and how.
        on_flag: called with each alert; one that raises is not called again.
        rank: the process whose records these are, where several train together.
    """

    def __init__(self, meta: Mapping[str, Any], on_flag: AlertCallback | None = None, rank: int | None = None) -> None:
        self.meta = dict(meta)
        """What records should say beside the numbers, once a run."""
        self._on_flag, self._rank = on_flag, rank
        self._estimates: list[Estimate] = []
        self._events: list[Event] = []
        self._logged: list[Logged] = []
        self._no_numbers: set[str] = set()
        self._alerts = Alerts()
        self._sinks: Fanout | None = None

    def __len__(self) -> int:
        """Estimates so far."""
        return len(self._estimates)

    @property
    def records(self) -> Records:
        """Everything so far."""
        return Records(tuple(self._estimates), tuple(self._events), self.meta, tuple(self._logged))

    @property
    def left_out(self) -> Sequence[str]:
        """Sinks that failed, each with the reason."""
        return () if self._sinks is None else tuple(self._sinks.left_out)

    def open(self, sinks: Fanout) -> None:
        """The run begins, or goes on."""
        self._sinks = sinks
        sinks.open(self.meta)

    def close(self, summary: str) -> None:
        """The run ends."""
        if self._sinks is not None:
            self._sinks.close(summary)
        self._sinks = None

    def tick(self) -> None:
        """An optimizer step has passed."""
        if self._sinks is not None:
            self._sinks.tick()

    def keep(self, estimates: Sequence[Estimate] = (), events: Sequence[Event] = ()) -> None:
        """Add to the records, send to the sinks, and alert whoever wants to know."""
        if self._rank is not None:
            estimates = [replace(e, rank=self._rank) for e in estimates]
            events = [replace(e, why=f"rank {self._rank}: {e.why}") for e in events] if self._rank else events
        alerts = self._alerts.new(estimates, events)
        told = [*events, *(a.event for a in alerts if a.flag != "disarmed")]  # that one is an event already
        self._estimates += estimates
        self._events += told
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
        given = {"step": step, **values}
        numbers = {name: number for name, value in given.items() if (number := as_number(value)) is not None}
        for name in given.keys() - numbers.keys() - self._no_numbers:
            log.warning("ibprobe: log(%s=…) is left out: expected a number, got %s", name, short(given[name]))
            self._no_numbers.add(name)
        at = numbers.pop("step", math.nan)
        if numbers and math.isfinite(at):
            self._logged.append(Logged(int(at), numbers))
            if self._sinks is not None:
                self._sinks.log(self._logged[-1])

    @property
    def identity(self) -> dict[str, Any]:
        """Which run this is and what it measures, as plain types."""
        return {name: self.meta[name] for name in ("run", *_SAME) if name in self.meta}

    def adopt(self, state: Mapping[str, Any]) -> None:
        """Become the run that a probe's state is of.

        Raises:
            BadInput: it is no such state, or of a run that measures something else.
        """
        identity = state.get("meta")
        if not isinstance(identity, Mapping) or "run" not in identity:
            raise BadInput(f"expected what probe.state_dict() gave; got a mapping with {', '.join(map(repr, state))}")
        differ = [name for name in _SAME if identity.get(name) != self.meta.get(name)]
        if differ:
            then, now = ({name: of.get(name) for name in differ} for of in (identity, self.meta))
            raise BadInput(
                f"the state is of a run with {_told(then)}, this probe has {_told(now)}; records of both would not "
                "compare: make the probe with the same settings, or begin a new run without the state"
            )
        self.meta["run"] = identity["run"]

    def state_dict(self) -> dict[str, Any]:
        """Records, events and curves as plain types."""
        return {
            "estimates": [e.to_dict() for e in self._estimates],
            "events": [asdict(e) for e in self._events],
            "logged": [{"step": entry.step, "values": dict(entry.values)} for entry in self._logged],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on after these records; alerts that they gave are not given again."""
        self._estimates = [Estimate.from_dict(line) for line in state["estimates"]]
        self._events = [Event.from_dict(line) for line in state["events"]]
        self._logged = [Logged(line["step"], dict(line["values"])) for line in state["logged"]]
        self._alerts = Alerts()
        self._alerts.new(self._estimates, self._events)


def _told(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={short(value)}" for name, value in settings.items())

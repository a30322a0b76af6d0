"""What deserves a person's attention while a run goes on: said once a layer, with what was seen and what to look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from ibprobe.errors import BadInput
from ibprobe.record.flags import FLAGS
from ibprobe.record.records import SYMBOLS, Estimate, Event

# What is wrong with the layer or the measurement as a whole; doubts about a single number are flags of its record.
_ALARMING = {"collapsed", "constant", "low_rank", "dead_units", "memorises", "outside_bracket"}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to look at."""

    step: int
    """Optimizer steps taken by then."""
    layer: str
    """Empty when it is about the probe itself."""
    split: str
    """Which rows."""
    flag: str
    """A name that ``ibprobe explain`` knows, or ``disarmed``."""
    seen: str
    """The numbers."""
    look_at: str
    """What to do next."""

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.layer, f"({self.split})" if self.split else "")))
        return f"step {self.step}: {what + ' ' if what else ''}{self.flag}: {self.seen}. {self.look_at}"

    @property
    def event(self) -> Event:
        """The alert as it is kept in the run directory."""
        why = f"{self.flag}: {self.seen}. {self.look_at}"
        return Event(step=self.step, kind="alert", why=why, layer=self.layer, split=self.split)


AlertCallback = Callable[[Alert], None]


def checked(on_flag: Any) -> AlertCallback | None:
    """What a user gave as a callback.

    Raises:
        BadInput: it cannot be called.
    """
    if on_flag is not None and not callable(on_flag):
        raise BadInput(f"on_flag= is a function that takes an Alert; got {on_flag!r}")
    return cast(AlertCallback | None, on_flag)


class Alerts:
    """Finds what is new in each snapshot; remembers what was said already."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str, str]] = set()
        self._first_step: dict[tuple[str, str], int] = {}

    def new(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> list[Alert]:
        """Alerts that were not given before, one for each flag, layer and kind of rows.

        Args:
            estimates: new ones.
            events: likewise.
        """
        return [alert for alert in self._found(estimates, events) if self._is_new(alert)]

    def _is_new(self, alert: Alert) -> bool:
        key = (alert.flag, alert.layer, alert.split)
        fresh = key not in self._said
        self._said.add(key)
        return fresh

    def _found(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> Iterator[Alert]:
        for e in estimates:
            first = self._first_step.setdefault((e.layer, e.split), e.step) == e.step
            for flag in sorted(e.flags):
                if flag in _ALARMING or flag.startswith("guard:"):
                    seen = _seen(flag, e, estimates) + (", from the first snapshot on" if first else "")
                    yield Alert(e.step, e.layer, e.split, flag, seen, FLAGS[flag].action)
        yield from _outliers(estimates)
        for event in events:
            if event.kind == "disarmed":
                look_at = "Training goes on unmeasured: mend the cause and attach a new probe."
                yield Alert(event.step, event.layer, event.split, "disarmed", event.why, look_at)


def _outliers(estimates: Sequence[Estimate]) -> Iterator[Alert]:
    """One alert for all layers, for the noise is chosen for all of them."""
    found = [e for e in estimates if "outlier_units" in e.flags and e.quantity == "I_XT"]
    if found:
        layers = list(dict.fromkeys(e.layer for e in found))
        shown = ", ".join(layers[:3]) + (f" and {len(layers) - 3} more layers" if len(layers) > 3 else "")
        seen = f"one unit holds more than half of the variance of {shown}"
        yield Alert(found[0].step, "", found[0].split, "outlier_units", seen, FLAGS["outlier_units"].action)


def _seen(flag: str, e: Estimate, estimates: Sequence[Estimate]) -> str:
    """The numbers behind a flag, those of other records of the snapshot among them."""
    if flag == "memorises":
        splits = [o for o in estimates if (o.layer, o.quantity) == (e.layer, e.quantity)]
        return ", ".join(f"{_value(o)} on {o.split.replace('_', '-')} rows" for o in splits)
    if flag.startswith("guard:"):
        place = (e.layer, e.split, e.estimator)
        return ", ".join(_value(o) for o in estimates if (o.layer, o.split, o.estimator) == place)
    if flag == "low_rank" and e.effective_rank is not None:
        return f"effective rank {e.effective_rank:.1f} of {e.dim} units, {_value(e)}"
    if flag == "dead_units" and e.dead_share is not None:
        return f"{100 * e.dead_share:.0f} % of {e.dim} units give every row the same value, {_value(e)}"
    return _value(e)


def _value(e: Estimate) -> str:
    return f"{SYMBOLS.get(e.quantity, e.quantity)} = {e.nats:.2f} nats [{e.ci_low:.2f}, {e.ci_high:.2f}]"

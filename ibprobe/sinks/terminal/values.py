"""What a run has shown so far: the last value of every layer, the way to it, and what is wrong with it."""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ibprobe.record.records import Estimate, Event

if TYPE_CHECKING:
    from ibprobe.record.alerts import Alert

SHOWN = ("I_XT", "I_TY")

Key = tuple[str, str]
"""Layer and split."""
Cell = dict[tuple[str, str], Estimate]
"""The last estimates of a key, by quantity and estimator."""
Note = TypeVar("Note")


class Values:
    """The state of a run as a reader of its terminal needs it."""

    def __init__(self) -> None:
        self.step = -1
        """Of the last snapshot, whether anything could be measured at it or not."""
        self.cells: dict[Key, Cell] = {}
        self.missing: list[Event] = []
        """What the last snapshot could not measure."""
        self.alerts: list[Alert] = []
        self._ways: dict[tuple[Key, str], dict[int, float]] = defaultdict(dict)
        self._steps: list[int] = []

    def take(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Take new values in."""
        step = step_of(estimates, events)
        if step is not None and step != self.step:
            self.step, self.missing = step, []
        self.missing += [e for e in _not_measured(events) if e not in self.missing]
        for e in estimates:
            self._keep(e)

    def _keep(self, e: Estimate) -> None:
        key = (e.layer, e.split)
        self.cells.setdefault(key, {})[e.quantity, e.estimator] = e
        if e.headline and math.isfinite(e.nats):
            self._ways[key, e.quantity][e.step] = e.nats
        if e.step not in self._steps:
            insort(self._steps, e.step)

    @property
    def steps(self) -> Sequence[int]:
        """Steps of the snapshots that measured something, ascending."""
        return self._steps

    @property
    def layers(self) -> list[str]:
        """Layer names in forward order."""
        return list(dict.fromkeys(layer for layer, _ in self.cells))

    @property
    def splits(self) -> list[str]:
        """Kinds of rows in the order in which they came."""
        return list(dict.fromkeys(split for _, split in self.cells))

    def curve(self, key: Key, quantity: str, points: int) -> list[float | None]:
        """The value at evenly spaced snapshots, first and last included, in nats.

        Args:
            key: of which layer and rows.
            quantity: ``I_XT`` or ``I_TY``.
            points: at most so many snapshots.

        Returns:
            One number a snapshot: the last that was known then, None before the first.
        """
        way = self._ways.get((key, quantity), {})
        known = sorted(way)
        counts = (bisect_right(known, self._steps[i]) for i in evenly(len(self._steps), points))
        return [way[known[n - 1]] if n else None for n in counts]

    def highest(self, quantity: str) -> float:
        """The largest value of any layer at any snapshot, in nats; 0 when there is none above."""
        return max((v for (_, q), way in self._ways.items() if q == quantity for v in way.values()), default=0.0)

    def change(self, layer: str) -> float:
        """How far the layer's values have moved since the first snapshot, in nats: the wider of its two coordinates."""
        ways = (list(way.values()) for ((name, _), _), way in self._ways.items() if name == layer and way)
        return max((max(way) - min(way) for way in ways), default=0.0)

    def where(self, keys: Sequence[Key], everywhere: str = " in all layers", *, names: int = 8) -> str:
        """Where a note applies, as short as it can be said.

        Args:
            keys: layers and splits that it is about.
            everywhere: what to say when it is about all there are.
            names: at most so many names.
        """
        several = len(self.splits) > 1
        for split in self.splits:
            if several and {key for key in self.cells if key[1] == split} == set(keys):
                return f"{everywhere} ({split})"
        if set(self.cells) == set(keys):
            return everywhere
        found = [layer + (f" ({split})" if several and split else "") for layer, split in keys if layer]
        more = f" and {len(found) - names} more" if len(found) > names else ""
        return f" in {', '.join(found[:names])}{more}" if found else ""


def step_of(estimates: Sequence[Estimate], events: Sequence[Event]) -> int | None:
    """Which snapshot this is; None when it is not about one."""
    steps = [*(e.step for e in estimates), *(e.step for e in _not_measured(events))]
    return max(steps, default=None)


def _not_measured(events: Sequence[Event]) -> list[Event]:
    return [e for e in events if e.kind == "not_measured"]


def evenly(total: int, wanted: int) -> list[int]:
    """``wanted`` of ``total`` positions (2 or more), the first and the last among them; all when there are not more."""
    if total <= wanted:
        return list(range(total))
    return [round(i * (total - 1) / (wanted - 1)) for i in range(wanted)]


def headline(cell: Cell, quantity: str) -> Estimate | None:
    """The value to show."""
    return next((e for (q, _), e in cell.items() if q == quantity and e.headline), None)


def flags(cell: Cell) -> set[str]:
    """What the shown values carry."""
    return {flag for e in cell.values() if e.quantity in SHOWN for flag in e.flags}


def value_text(e: Estimate | None, step: int) -> str:
    """A value in nats; one from before ``step`` says from when, an upper end that it is one."""
    if e is None:
        return "–"
    bound = "≤ " if e.bracket_high is not None and e.bracket_low is None else ""
    return f"{bound}{e.nats:.2f}" + (f" @{e.step}" if e.step < step else "")


def by_note(pairs: Iterable[tuple[Note, Key]]) -> list[tuple[Note, list[Key]]]:
    """Each note once, with everything it is about."""
    found: dict[Note, list[Key]] = defaultdict(list)
    for note, key in pairs:
        found[note].append(key)
    return list(found.items())

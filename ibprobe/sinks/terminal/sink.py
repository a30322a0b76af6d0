"""A table in the terminal: live where there is one, a line a snapshot elsewhere."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ibprobe.record.records import SYMBOLS, Estimate, Event

_SHOWN = ("I_XT", "I_TY")
_NAMES_A_NOTE = 8
_REDRAW_AFTER = 0.1
"""Seconds; drawing at every optimizer step would cost more than the eye can see."""

_Key = tuple[str, str]
_Cell = dict[tuple[str, str], Estimate]


class TerminalSink:
    """Shows the last value of every layer, and under the table what limits them.

    Args:
        live: redraw one table in place (needs a terminal); otherwise the table is printed at the end.
        header: drawn above the live table, for example a progress bar.
        console: where to write.
    """

    def __init__(
        self, *, live: bool = False, header: RenderableType | None = None, console: Console | None = None
    ) -> None:
        self._console = console or Console()
        self._header = header
        self._live = Live(console=self._console, auto_refresh=False) if live and self._console.is_terminal else None
        self._drawn = 0.0
        self._step = -1
        self._last: dict[_Key, _Cell] = {}
        self._missing: list[Event] = []

    def open(self, meta: Mapping[str, Any]) -> None:
        """Start the live display."""
        if self._live:
            self._live.start()
            self._draw()

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Take new values in."""
        missing = [e for e in events if e.kind == "not_measured"]
        step = max([*(e.step for e in estimates), *(e.step for e in missing)], default=self._step)
        if step != self._step:
            self._step, self._missing = step, []
            if estimates and self._console.is_terminal and not self._live:
                self._say(f"step {step}, {len({e.layer for e in estimates})} layers measured")
        self._missing += [e for e in missing if e not in self._missing]
        for e in estimates:
            self._last.setdefault((e.layer, e.split), {})[e.quantity, e.estimator] = e
        self._draw()

    def tick(self) -> None:
        """Redraw, if there is something to redraw on and the last time is long enough ago."""
        if self._live and time.monotonic() - self._drawn > _REDRAW_AFTER:
            self._draw()

    def close(self, summary: str) -> None:
        """Leave the last table standing, with the summary under it."""
        if self._live:
            self._draw()
            self._live.stop()
        elif self._last or self._missing:
            self._console.print(self.table())
        if summary:
            self._say(summary)

    def table(self) -> Group:
        """The current values and the notes on them."""
        step = max((e.step for cell in self._last.values() for e in cell.values()), default=0)
        several = len({split for _, split in self._last}) > 1
        beside = {e.estimator: 1 for cell in self._last.values() for e in cell.values() if e.estimator != "channel"}
        table = Table(title=f"nats at step {step}", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
        table.add_column("layer", overflow="fold")
        if several:
            table.add_column("rows", no_wrap=True)
        for quantity in _SHOWN:
            for name in (SYMBOLS[quantity], "bracket", *map(_title, beside)):
                table.add_column(name, justify="right", no_wrap=True)
        for (layer, split), cell in self._last.items():
            texts = [t for q in _SHOWN for t in _texts(cell, q, step, beside)]
            table.add_row(*map(Text, (layer, *[split] * several, *texts)))
        return Group(table, *(Padding(Text(note), (0, 0, 0, 1)) for note in self._notes()))

    def _notes(self) -> Iterator[str]:
        for text, keys in _by_value((_ceilings(cell), key) for key, cell in self._last.items()):
            yield f"ceilings{self._of(keys, '')}: {text}"
        flags = _by_value((flag, key) for key, cell in self._last.items() for flag in _flags(cell))
        for flag, keys in sorted(flags):
            yield f"{flag}{self._of(keys)}"
        if flags:
            yield "What a flag means: ibprobe explain FLAG"
        for (quantity, why), keys in _by_value(((e.quantity, e.why), (e.layer, e.split)) for e in self._missing):
            what = f"{SYMBOLS.get(quantity, quantity)} " if quantity else ""
            yield f"{what}not measured{self._of(keys)}: {why}"

    def _of(self, keys: Sequence[_Key], everywhere: str = " in all layers") -> str:
        """Where a note applies, as short as it can be said."""
        splits = {split for _, split in self._last}
        for split in splits:
            rows = {key for key in self._last if key[1] == split}
            if len(splits) > 1 and rows == set(keys):
                return f"{everywhere} ({split})"
        if set(self._last) == set(keys):
            return everywhere
        names = [layer + (f" ({split})" if len(splits) > 1 and split else "") for layer, split in keys if layer]
        more = len(names) - _NAMES_A_NOTE
        shown = ", ".join(names[:_NAMES_A_NOTE]) + (f" and {more} more" if more > 0 else "")
        return f" in {shown}" if shown else ""

    def _draw(self) -> None:
        if self._live:
            above = [self._header] if self._header is not None else []
            self._live.update(Group(*above, self.table()), refresh=True)
            self._drawn = time.monotonic()

    def _say(self, text: str) -> None:
        # A path may hold brackets, and must not be broken where it is to be copied.
        self._console.print(f"ibprobe: {text}", highlight=False, markup=False, soft_wrap=True)


def _title(estimator: str) -> str:
    return "MINE" if estimator == "mine" else estimator


def _texts(cell: _Cell, quantity: str, step: int, beside: Iterable[str]) -> tuple[str, ...]:
    """The headline, the bracket and what else there is; a value from an earlier step says which."""
    headline = next((e for (q, _), e in cell.items() if q == quantity and e.headline), None)
    channel, others = cell.get((quantity, "channel")), [cell.get((quantity, name)) for name in beside]
    return (
        "–" if headline is None else _value(headline, step),
        "" if channel is None else _bracket(channel),
        *("" if other is None else _value(other, step) for other in others),
    )


def _value(e: Estimate, step: int) -> str:
    bound = "≤ " if e.bracket_high is not None and e.bracket_low is None else ""
    return f"{bound}{e.nats:.2f}" + (f" @{e.step}" if e.step < step else "")


def _bracket(e: Estimate) -> str:
    if e.bracket_high is None:
        return ""
    low = "–" if e.bracket_low is None else f"{e.bracket_low:.2f}"
    return f"[{low}, {e.bracket_high:.2f}]" if e.bracket_high < 1000 else f"[{low}, >1000]"


def _flags(cell: _Cell) -> set[str]:
    return {flag for e in cell.values() if e.quantity in _SHOWN for flag in e.flags}


def _ceilings(cell: _Cell) -> str:
    limits = {e.quantity: f"{SYMBOLS[e.quantity]} ≤ {e.ceiling_name} = {e.ceiling:.2f}" for e in cell.values()}
    return ", ".join(limits[q] for q in _SHOWN if q in limits)


def _by_value(pairs: Iterable[tuple[Any, _Key]]) -> list[tuple[Any, list[_Key]]]:
    found: dict[Any, list[_Key]] = defaultdict(list)
    for value, key in pairs:
        found[value].append(key)
    return list(found.items())

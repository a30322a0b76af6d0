"""Terminals for tests, and what a person would see on them."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from record_factory import estimate
from rich.console import Console

from ibprobe.record.records import Estimate, Event
from ibprobe.sinks.terminal.table import picture
from ibprobe.sinks.terminal.values import Values


def console(width: int = 80, *, height: int = 20, is_terminal: bool = False, **options: Any) -> Console:
    """One that writes into memory, the same whatever runs the tests."""
    plain: dict[str, Any] = {"color_system": None, "_environ": {"TERM": "xterm"}}
    return Console(file=io.StringIO(), width=width, height=height, force_terminal=is_terminal, **plain | options)


def written(out: Console) -> str:
    """Everything, control codes included."""
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def seen(out: Console) -> list[str]:
    """The lines that stand on a terminal of endless height, after all that was drawn over is gone."""
    rows, row, column = [""], 0, 0
    for code, kind, char in re.findall(r"\x1b\[\??(\d*)([A-Za-z])|(.)", written(out), re.DOTALL):
        if kind == "A":
            row -= int(code)
        elif kind == "K":
            rows[row] = ""
        elif char == "\r":
            column = 0
        elif char == "\n":
            row, column = row + 1, 0
            rows += [""] * (row == len(rows))
        elif char:
            rows[row] = rows[row][:column].ljust(column) + char + rows[row][column + 1 :]
            column += 1
    return [line.rstrip() for line in rows]


def both(layer: str, **changes: Any) -> list[Estimate]:
    """A bracket of each coordinate."""
    labels = {"quantity": "I_TY", "nats": 1.75, "bracket_low": 1.5, "bracket_high": 2.0, "ceiling": 2.3}
    clean = {"flags": frozenset()} | changes
    return [estimate(layer=layer, **clean), estimate(layer=layer, **labels | {"ceiling_name": "H(Y)"} | clean)]


def point(layer: str, xt: float, ty: float, **changes: Any) -> list[Estimate]:
    """A layer's values of I(X;T̃) and I(T̃;Y) in nats."""
    first, second = both(layer, **changes)
    return [replace(first, nats=float(xt)), replace(second, nats=float(ty))]


def missing(layer: str = "fc1", why: str = "no targets", **changes: Any) -> Event:
    """One value that could not be had."""
    fields: dict[str, Any] = {"step": 40, "kind": "not_measured", "quantity": "I_TY", "layer": layer, "split": "train"}
    return Event(**fields | {"why": why} | changes)


def told(*snapshots: Sequence[Estimate], events: Sequence[Event] = ()) -> Values:
    """The state after some snapshots."""
    values = Values()
    for estimates in snapshots:
        values.take(estimates, events)
    return values


def table_of(values: Values, *, room: int | None = None, **options: Any) -> str:
    """The table and its notes, as printed."""
    out = console(**options)
    out.print(picture(values, out, room))
    return written(out)


def row(text: str, layer: str) -> str:
    """The first line of a layer."""
    return next(line for line in text.splitlines() if line.split()[:1] == [layer])

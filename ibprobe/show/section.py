"""What a section of the report is made from, and what it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ibprobe.record.records import Records
from ibprobe.show.cases import Case
from ibprobe.show.panels import Panel
from ibprobe.show.theme import Spec


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of a table."""

    text: str
    number: bool = False
    title: str = ""
    """What a pointer sees, such as all digits of a number."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a table."""

    cells: tuple[Cell, ...]
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table below the charts."""

    id: str
    heading: str
    columns: tuple[str, ...]
    rows: tuple[Line, ...]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture."""

    spec: Spec
    """A Vega-Lite specification (v6) with its data within, without a schema and without colours of its own: the page
    has two looks. ``"style": "ink"`` on a mark is the colour of text, ``"muted"`` a paler one."""
    panel: Panel | None = None
    """The panel whose points are its data, where they are; charts of one panel share them."""


@dataclass(frozen=True, slots=True)
class Section:
    """One section of a page: words, charts, a table."""

    heading: str
    text: str = ""
    charts: Sequence[Chart] = ()
    table: Table | None = None


@dataclass(frozen=True)
class Shown:
    """What a report is about."""

    runs: Sequence[tuple[str, Records]]
    """Name and records of each run, as it was recorded: estimates, events, the user's curves, ``meta``."""
    cases: Sequence[Case]
    """The same, where runs that differ by their seed only are one case, their mean."""
    panels: Sequence[Panel]
    """Headline values of one case, split and channel each: what may share an axis."""
    frontier: Any = None
    """The IB curve of the task (:class:`ibprobe.bottleneck.curve.IBCurve`), where the reader gave one."""


SectionMaker = Callable[[Shown], Section | None]
"""Makes a section; None where there is nothing to show."""


@dataclass(frozen=True, slots=True)
class NamedSection:
    """A section that a page may have."""

    name: str
    summary: str
    make: SectionMaker


def table_of(rows: Sequence[Mapping[str, Any]], heading: str = "") -> Table:
    """A table from plain rows: numbers with three decimals and, under the pointer, all of their digits.

    Args:
        rows: cells by column; columns come in the order in which they are met first.
        heading: what the table is called.
    """
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    lines = tuple(Line(tuple(_cell(row.get(name)) for name in columns)) for row in rows)
    return Table("-".join(heading.lower().split()), heading, columns, lines)


def _cell(value: Any) -> Cell:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell("–" if value is None else str(value))
    return Cell(f"{value:.3f}" if isinstance(value, float) else str(value), number=True, title=repr(value))

"""The values of all layers as a table, with their curves where there is room, and what limits them below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ibprobe.record.records import SYMBOLS, Estimate
from ibprobe.sinks.terminal.values import SHOWN, Cell, Values, by_note, flags, headline, value_text

_CURVE_CELLS = (12, 6)
"""Widths of a curve, the preferred first."""
_FEWEST_LAYERS = 4
"""Shown on however low a screen: without a few values, notes tell nothing."""
_FRAME = 6
"""Lines around the layers: title, head, rule, two that are blank, and the note on curves."""
_ALERTS = 4
_WHOLE = {"flatten": "as is"}
"""Two names of one view: all numbers of an output."""
_BLOCKS = "▁▂▃▄▅▆▇█"


def picture(values: Values, console: Console, height: int | None = None) -> Group:
    """The table and the notes on it.

    Args:
        values: what there is to show.
        console: decides about the width: curves are left out before a number is cut.
        height: lines that there is room for; the layers that changed most are shown then. By default all are.
    """
    layers = values.layers
    room = len(layers) if height is None else max(_FEWEST_LAYERS, _room(values, console, height))
    most = sorted(layers, key=values.change, reverse=True)[:room] if room < len(layers) else layers
    shown = [layer for layer in layers if layer in most]
    table, cells = _widest(values, console, shown)
    notes = [*_curve_notes(values, cells), *_notes(values)]
    return Group(Text(_title(values, shown)), table, *map(_indented, notes))


def _room(values: Values, console: Console, height: int) -> int:
    """Layers that fit, if each takes a line: to render them all and count would cost more than the rest."""
    notes = console.render_lines(Group(*map(_indented, _notes(values))), pad=False)
    return (height - _FRAME - len(notes)) // max(1, len(values.splits))


def _indented(note: str) -> Padding:
    return Padding(Text(note), (0, 0, 0, 1))


def _title(values: Values, layers: Sequence[str]) -> str:
    there = len(values.layers)
    some = f" · the {len(layers)} of {there} layers that changed most" if len(layers) < there else ""
    return f"nats at step {max(values.steps, default=0)}{some}"


def _widest(values: Values, console: Console, layers: Sequence[str]) -> tuple[Table, int]:
    """The table with the longest curves that fit, and their length in cells."""
    unlimited = console.options.update_width(10_000)
    for cells in _CURVE_CELLS if len(values.steps) > 1 else ():
        table = _table(values, layers, cells)
        if console.measure(table, options=unlimited).maximum <= console.width:
            return table, cells
    return _table(values, layers, 0), 0


def _table(values: Values, layers: Sequence[str], cells: int) -> Table:
    tops = {quantity: values.highest(quantity) for quantity in SHOWN} if cells else {}
    beside, several = _beside(values), len(values.splits) > 1
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold")
    if several:
        table.add_column("rows", no_wrap=True)
    for quantity in SHOWN:
        _add_columns(table, quantity, tops, cells, beside)
    for (layer, split), cell in values.cells.items():
        if layer in layers:
            curves = {q: spark(values.curve((layer, split), q, cells), top) for q, top in tops.items()}
            texts = [text for q in SHOWN for text in _coordinate(cell, q, max(values.steps), curves, beside)]
            table.add_row(*map(Text, (layer, *[split] * several, *texts)))
    return table


def _add_columns(table: Table, quantity: str, tops: Mapping[str, float], cells: int, beside: Sequence[str]) -> None:
    table.add_column(SYMBOLS[quantity], justify="right", no_wrap=True)
    if quantity in tops:
        table.add_column(f"0–{tops[quantity]:.2f}", no_wrap=True, min_width=cells)
    for name in ("bracket", *("MINE" if name == "mine" else name for name in beside)):
        table.add_column(name, justify="right", no_wrap=True)


def _beside(values: Values) -> list[str]:
    """Estimators that get a column of their own."""
    names = dict.fromkeys(e.estimator for cell in values.cells.values() for e in cell.values())
    return [name for name in names if name != "channel"]


def _coordinate(
    cell: Cell, quantity: str, step: int, curves: Mapping[str, str], beside: Sequence[str]
) -> Iterator[str]:
    """The headline, its curve, the bracket and what else there is."""
    yield value_text(headline(cell, quantity), step)
    if quantity in curves:
        yield curves[quantity]
    yield _bracket(cell.get((quantity, "channel")))
    for name in beside:
        other = cell.get((quantity, name))
        yield "" if other is None else value_text(other, step)


def spark(values: Sequence[float | None], top: float) -> str:
    """One block a value, by eighths of the way from 0 to ``top`` nats; a blank where there is none."""
    return "".join(" " if v is None else _BLOCKS[min(7, int(8 * max(v, 0.0) / top)) if top > 0 else 0] for v in values)


def _bracket(e: Estimate | None) -> str:
    if e is None or e.bracket_high is None:
        return ""
    low = "–" if e.bracket_low is None else f"{e.bracket_low:.2f}"
    return f"[{low}, {e.bracket_high:.2f}]" if e.bracket_high < 1000 else f"[{low}, >1000]"


def _curve_notes(values: Values, cells: int) -> Iterator[str]:
    if cells:
        count, first, last = len(values.steps), values.steps[0], values.steps[-1]
        yield f"curves: {min(cells, count)} of {count} snapshots, steps {first} to {last}, on the scale over the column"


def _notes(values: Values) -> Iterator[str]:
    for text, keys in by_note((_ceilings(cell), key) for key, cell in values.cells.items()):
        yield f"ceilings{values.where(keys, '')}: {text}"
    yield from _views(values)
    flagged = by_note((flag, key) for key, cell in values.cells.items() for flag in flags(cell))
    for flag, keys in sorted(flagged):
        yield f"{flag}{values.where(keys)}"
    if flagged:
        yield "What a flag means: ibprobe explain FLAG"
    for (quantity, why), keys in by_note(((e.quantity, e.why), (e.layer, e.split)) for e in values.missing):
        what = f"{SYMBOLS.get(quantity, quantity)} " if quantity else ""
        yield f"{what}not measured{values.where(keys)}: {why}"
    yield from _alerts(values)


def _ceilings(cell: Cell) -> str:
    limits = {e.quantity: f"{SYMBOLS[e.quantity]} ≤ {e.ceiling_name} = {e.ceiling:.2f}" for e in cell.values()}
    return ", ".join(limits[q] for q in SHOWN if q in limits)


def _views(values: Values) -> Iterator[str]:
    """What a row is, where that differs between layers: their values do not compare then."""
    views = {layer: _WHOLE.get(e.view, e.view) for (layer, _), cell in values.cells.items() for e in cell.values()}
    found = by_note((view, (layer, "")) for layer, view in views.items())
    if len(found) > 1:
        yield "compare layers of one view only; a row is"
        yield from (f"  {view}{values.where(keys)}" for view, keys in found)


def _alerts(values: Values) -> Iterator[str]:
    """What was alerted and when; the log has the whole of it."""
    found = by_note(((a.step, a.flag), (a.layer, a.split)) for a in values.alerts)
    for (step, flag), keys in found[-_ALERTS:]:
        yield f"alert at step {step}: {flag}{values.where(keys)}"
    if len(found) > _ALERTS:
        yield f"and {len(found) - _ALERTS} earlier alerts"

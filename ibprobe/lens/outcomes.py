"""What training functions kept of themselves (``watch.keep``) along a factor: a table, a figure with every seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ibprobe.errors import UnknownName
from ibprobe.lens.chart_effects import text_of
from ibprobe.lens.doses import Dose
from ibprobe.lens.effects import Effect
from ibprobe.lens.runs import KEPT, Run, kept_as
from ibprobe.show.section import Cell, Line, Table
from ibprobe.show.theme import Spec

_PANEL = 190


def kept_names(dose: Dose) -> list[str]:
    """Names of the values that were kept at all levels."""
    return [key.quantity for key in dose.means if key.how == KEPT]


def outcome_table(dose: Dose, titles: Mapping[str, str]) -> Table:
    """One row a level, in each column the mean over seeds and the half-width of its 95 % interval.

    Args:
        dose: of :func:`ibprobe.lens.doses.dose`.
        titles: of the columns, by name of the value.

    Raises:
        UnknownName: a name that the runs did not keep.
    """
    columns = [_means(dose, name) for name in titles]
    rows = [
        Line((Cell(text_of(level)), Cell(str(max(e.seeds for e in at)), number=True), *map(_cell, at)))
        for level, *at in zip(dose.levels, *columns, strict=True)
    ]
    text = "Mean over seeds, and the half-width of its 95 % interval."
    head = (dose.factor, "seeds", *titles.values())
    return Table(f"outcomes-{dose.factor}", f"Values along {dose.factor}", head, tuple(rows), text)


def outcome_figure(runs: Sequence[Run], dose: Dose, titles: Mapping[str, str]) -> Spec:
    """One panel a value: a point a seed, means with their 95 % intervals; a Vega-Lite specification.

    Args:
        runs: whose values ``dose`` is of.
        dose: of :func:`ibprobe.lens.doses.dose`.
        titles: of the panels, by name of the value.

    Raises:
        UnknownName: a name that the runs did not keep.
    """
    panels = [_panel(runs, dose, name, title) for name, title in titles.items()]
    return {"concat": panels, "columns": 4, "bounds": "flush", "spacing": {"row": 84, "column": 58}}


def _panel(runs: Sequence[Run], dose: Dose, name: str, title: str) -> Spec:
    key, levels = kept_as(name), [text_of(level) for level in dose.levels]
    x = {
        "field": "level",
        "type": "ordinal",
        "title": dose.factor,
        "sort": levels,
        "axis": {"labelAngle": 0, "aria": False},
    }
    seeds = [
        {"level": text_of(run.settings[dose.factor]), "value": run.values[key]}
        for run in runs
        if key in run.values and dose.factor in run.settings and not run.order
    ]
    means = [{"level": at, "value": e.mean, **_ends(e)} for at, e in zip(levels, _means(dose, name), strict=True)]
    y = {"type": "quantitative", "title": None, "scale": {"zero": False}, "axis": {"tickCount": 4, "aria": False}}
    value = {"x": x, "y": {"field": "value", **y}}
    span = {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}}
    # Descriptions of each mark would make most of a file.
    mark = {"style": "ink", "aria": False}
    dot = {**mark, "type": "point", "shape": "square", "size": 18, "opacity": 0.5, "style": "muted"}
    return {
        "title": {"text": title, "frame": "group"},
        "width": _PANEL,
        "height": _PANEL * 2 // 3,
        "layer": [
            {"data": {"values": seeds}, "mark": dot, "encoding": value},
            {"data": {"values": means}, "mark": {**mark, "type": "rule"}, "encoding": span},
            {"data": {"values": means}, "mark": {**mark, "type": "line", "style": "bracket"}, "encoding": value},
            {
                "data": {"values": means},
                "mark": {**mark, "type": "point", "filled": True, "opacity": 1},
                "encoding": value,
            },
        ],
    }


def _means(dose: Dose, name: str) -> Sequence[Effect]:
    if kept_as(name) not in dose.means:
        raise UnknownName("value", name, kept_names(dose))
    return dose.means[kept_as(name)]


def _ends(e: Effect) -> dict[str, float]:
    """One seed has no interval that could be drawn."""
    return {"low": e.low, "high": e.high} if math.isfinite(e.high) else {"low": e.mean, "high": e.mean}


def _cell(e: Effect) -> Cell:
    digits = 4 if abs(e.mean) < 0.1 else 2
    return Cell(f"{e.mean:.{digits}f} ± {e.high - e.mean:.{digits}f}", number=True, title=repr(e.mean))

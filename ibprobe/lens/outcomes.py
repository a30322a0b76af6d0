"""What training functions kept of themselves (``watch.keep``), over seeds: a table and a figure along one factor."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ibprobe.errors import BadInput, UnknownName
from ibprobe.lens.design import PLACEBO, RUNS
from ibprobe.lens.effects import Effect, paired
from ibprobe.lens.watch import OUTCOME
from ibprobe.show.files import write_file
from ibprobe.show.pictures import write_pictures
from ibprobe.show.theme import Spec

Outcome = Mapping[str, Any]
_PANEL = 190


def outcomes(folder: str | Path) -> list[Outcome]:
    """All whole runs of a design's folder, without those of the placebo.

    Raises:
        BadInput: there is none.
    """
    paths = sorted((Path(folder) / RUNS).glob(f"*/{OUTCOME}"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    if not found:
        raise BadInput(f"{folder} holds no whole run: expected {RUNS}/…/{OUTCOME}, as run_design writes them")
    return [outcome for outcome in found if not outcome["config"][PLACEBO]]


def write_outcomes(folder: str | Path, factor: str, columns: Mapping[str, str]) -> str:
    """Write ``table.md`` and ``figure.svg`` into a design's folder.

    Returns:
        The table.

    Raises:
        BadInput: there is no whole run, or a file cannot be written.
        UnknownName: a factor or column that the runs do not have.
        MissingExtra: scipy, or the packages of the ``report`` extra, are not installed.
    """
    found = outcomes(folder)
    words = table(found, factor, columns)
    write_file(Path(folder) / "table.md", words + "\n")
    write_pictures({"figure": figure(found, factor, columns)}, folder, "svg")
    return words


def table(found: Sequence[Outcome], factor: str, columns: Mapping[str, str]) -> str:
    """Markdown: one row a level, in each column the mean over seeds and the half-width of its 95 % interval.

    Args:
        found: of :func:`outcomes`.
        factor: a name of the configuration.
        columns: titles by name of the outcome.

    Raises:
        UnknownName: a factor or column that the runs do not have.
        MissingExtra: scipy is not installed.
    """
    effects = {
        level: {name: _effect(found, factor, level, name) for name in columns} for level in _levels(found, factor)
    }
    lines = [f"| {factor} | seeds | {' | '.join(columns.values())} |", "|---" * (len(columns) + 2) + "|"]
    for level, by_name in effects.items():
        cells = [_shown(e) for e in by_name.values()]
        seeds = max(e.seeds for e in by_name.values())
        lines.append(f"| {level:g} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(found: Sequence[Outcome], factor: str, columns: Mapping[str, str]) -> Spec:
    """One panel a column along the factor: a point a seed, means with their 95 % intervals; a Vega-Lite specification.

    Raises:
        UnknownName: a factor or column that the runs do not have.
        MissingExtra: scipy is not installed.
    """
    x = {"field": "level", "type": "ordinal", "title": factor, "axis": {"labelAngle": 0}}
    made = []
    for name, title in columns.items():
        effects = {level: _effect(found, factor, level, name) for level in _levels(found, factor)}
        seeds = [{"level": o["config"][factor], "value": o[name]} for o in found]
        means = [{"level": v, "value": e.mean, **_ends(e)} for v, e in effects.items()]
        y = {"type": "quantitative", "title": None, "scale": {"zero": False}}
        span = {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}}
        made.append({
            "title": title, "width": _PANEL, "height": _PANEL * 2 // 3,
            "layer": [
                {"data": {"values": seeds}, "mark": {"type": "point", "size": 22, "opacity": 0.5, "style": "muted"},
                 "encoding": {"x": x, "y": {"field": "value", **y}}},
                {"data": {"values": means}, "mark": {"type": "rule", "style": "ink"}, "encoding": span},
                {"data": {"values": means}, "mark": {"type": "line", "style": "bracket"},
                 "encoding": {"x": x, "y": {"field": "value", **y}}},
                {"data": {"values": means}, "mark": {"type": "point", "filled": True, "opacity": 1, "style": "ink"},
                 "encoding": {"x": x, "y": {"field": "value", **y}}},
            ],
        })  # fmt: skip
    return {"concat": made, "columns": 4, "spacing": 24}


def _levels(found: Sequence[Outcome], factor: str) -> list[float]:
    for outcome in found:
        if factor not in outcome["config"]:
            raise UnknownName("factor", factor, outcome["config"])
    return sorted({outcome["config"][factor] for outcome in found})


def _effect(found: Sequence[Outcome], factor: str, level: float, name: str) -> Effect:
    own = [outcome for outcome in found if outcome["config"][factor] == level]
    for outcome in own:
        if name not in outcome:
            raise UnknownName("column", name, outcome)
    return paired([outcome[name] for outcome in own])


def _ends(e: Effect) -> dict[str, float]:
    """One seed has no interval that could be drawn."""
    return {"low": e.low, "high": e.high} if e.seeds > 1 else {"low": e.mean, "high": e.mean}


def _shown(e: Effect) -> str:
    digits = 4 if abs(e.mean) < 0.1 else 2
    return f"{e.mean:.{digits}f} ± {e.high - e.mean:.{digits}f}"

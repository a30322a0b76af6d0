"""Runs as points and lines, as Vega-Lite specifications: a record against an outcome, all axes side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ibprobe.lens.chart_effects import SMALL, WIDTH, text_of
from ibprobe.lens.design import Setting
from ibprobe.lens.runs import GAP, HELD_OUT, NAMES, SHIFTED, Key, Run
from ibprobe.show.theme import Spec


def scatter(runs: Sequence[Run], split: str, quantity: str, outcome: Key, baseline: Mapping[str, Setting]) -> Spec:
    """One point a run: a record of each layer against an outcome; empty where no run has both.

    Colour tells in which factor a run differs from the baseline.
    """
    rows: list[dict[str, Any]] = [
        {"layer": key.layer, "record": value, "outcome": run.values[outcome], "run": _differs(run, baseline),
         "seed": run.seed, "factor": _differs(run, baseline, names_only=True)}
        for run in runs
        if outcome in run.values and not run.order
        for key, value in run.values.items()
        if (key.how, key.split, key.quantity) == ("training", split, quantity)
    ]  # fmt: skip
    if not rows:
        return {}
    layers, of_what = list(dict.fromkeys(r["layer"] for r in rows)), f"{outcome.split.replace('_', ' ')} rows"
    axis = {"type": "quantitative", "scale": {"zero": False}, "axis": {"tickCount": 4}}
    told = (
        "{'title': datum.run + ', seed ' + datum.seed, 'record': format(datum.record, '.3f') + ' nats', "
        "'outcome': format(datum.outcome, '.3f')}"
    )
    colour = {"field": "factor", "type": "nominal", "title": None, "legend": {"orient": "bottom", "labelLimit": WIDTH}}
    title = f"{NAMES.get(quantity, quantity)}, nats"
    return {
        "title": f"{NAMES.get(quantity, quantity)} against {NAMES[outcome.quantity]}, {of_what}",
        "data": {"values": rows},
        "facet": {"column": {"field": "layer", "type": "nominal", "sort": layers, "title": None}},
        "spec": {
            "width": SMALL * 1.1,
            "height": SMALL * 1.1,
            "mark": {"type": "point", "filled": True, "size": 38, "opacity": 0.8, "tooltip": {"expr": told}},
            "encoding": {
                "x": {"field": "record", **axis, "title": title},
                "y": {"field": "outcome", **axis, "title": f"{NAMES[outcome.quantity]}, {of_what}"},
                "color": colour,
            },
        },
        "resolve": {"scale": {"x": "independent"}},
    }


def _differs(run: Run, baseline: Mapping[str, Setting], *, names_only: bool = False) -> str:
    other = {name: run.settings.get(name) for name, level in baseline.items() if run.settings.get(name) != level}
    return ", ".join(other if names_only else (f"{k} = {v}" for k, v in other.items())) or "baseline"


def parallel(runs: Sequence[Run], split: str, baseline: Mapping[str, Setting]) -> Spec:
    """Parallel coordinates: a line a run through its levels, what each layer keeps, and its accuracies.

    Each axis goes from the smallest to the largest value that a run has, which are written at its ends.
    """
    planned = [run for run in runs if not run.order]
    axes = {name: {run.name: run.settings.get(name) for run in planned} for name in baseline}
    axes |= {
        f"{NAMES[key.quantity]} of {key.layer}": {run.name: run.values.get(key) for run in planned}
        for key in dict.fromkeys(key for run in planned for key in run.values)
        if (key.how, key.split, key.quantity) == ("training", split, "I_XT")
    }
    axes |= {_AXES[key]: {run.name: run.values.get(key) for run in planned} for key in _AXES}
    drawn = {name: of for name, of in axes.items() if len({v for v in of.values() if v is not None}) > 1}
    if len(drawn) < len(baseline) + 2:
        return {}
    rows = [row for name, of in drawn.items() for row in _along(name, of, planned, baseline)]
    ends = [{"axis": name, "at": at, "text": text_of(v)} for name, of in drawn.items() for at, v in _ends_of(of)]
    x = {"field": "axis", "type": "nominal", "sort": list(drawn), "title": None, "axis": {"labelAngle": -20}}
    y = {"field": "at", "type": "quantitative", "axis": None, "scale": {"domain": [-0.08, 1.08]}}
    colour = {"field": "factor", "type": "nominal", "title": None, "legend": {"orient": "bottom", "labelLimit": WIDTH}}
    told = "{'title': datum.run + ', seed ' + datum.seed, 'value': datum.value}"
    return {
        "title": "One line a run",
        "width": 90 * len(drawn),
        "height": 220,
        "layer": [
            {
                "data": {"values": rows},
                "mark": {"type": "line", "opacity": 0.45, "strokeWidth": 1.2},
                "encoding": {"x": x, "y": y, "color": colour, "detail": [{"field": "name"}]},
            },
            {
                "data": {"values": rows},
                "mark": {"type": "point", "filled": True, "size": 18, "opacity": 0.7, "tooltip": {"expr": told}},
                "encoding": {"x": x, "y": y, "color": colour},
            },
            {
                "data": {"values": ends},
                "mark": {"type": "text", "style": "ceiling-name", "dy": {"expr": "datum.at > 0.5 ? -9 : 10"}},
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
        ],
    }


_AXES = {GAP: "generalisation gap", HELD_OUT: "held-out accuracy", SHIFTED: "accuracy on shifted rows"}


def _rank(of: Mapping[str, Any]) -> dict[Any, float]:
    """Where each value stands on its axis: words in order, numbers in proportion."""
    values = sorted({v for v in of.values() if v is not None}, key=lambda v: (isinstance(v, str), v))
    if any(isinstance(v, str) for v in values):
        return {v: n / (len(values) - 1) for n, v in enumerate(values)}
    return {v: (v - values[0]) / (values[-1] - values[0]) for v in values}


def _ends_of(of: Mapping[str, Any]) -> list[tuple[float, Any]]:
    return [(at, value) for value, at in _rank(of).items() if at in (0.0, 1.0)]


def _along(name: str, of: Mapping[str, Any], runs: Sequence[Run], baseline: Mapping[str, Setting]) -> list[Spec]:
    rank = _rank(of)
    return [
        {"axis": name, "at": rank[of[run.name]], "name": run.name, "seed": run.seed, "value": text_of(of[run.name]),
         "run": _differs(run, baseline), "factor": _differs(run, baseline, names_only=True)}
        for run in runs
        if of[run.name] is not None
    ]  # fmt: skip

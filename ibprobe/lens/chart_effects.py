"""What levels do, as Vega-Lite specifications: differences, dose–response."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ibprobe.lens.compare import Comparison
from ibprobe.lens.design import PLACEBO, Setting
from ibprobe.lens.doses import Dose
from ibprobe.lens.effects import NEGLIGIBLE, Effect
from ibprobe.lens.runs import NAMES
from ibprobe.show.theme import SHAPES, Spec

WIDTH, _ROW, SMALL = 420, 17, 130
"""Pixels: width of a chart, height of a level in it, side of a small multiple."""


def forest(comparisons: Sequence[Comparison], how: str, split: str, quantity: str, title: str) -> Spec:
    """Paired differences of a factor's levels with 95 % intervals, one row a layer and level; empty without any.

    Points are full where an effect was found, hollow where none was or nothing is decided.
    """
    rows: list[dict[str, Any]] = [
        {"layer": layer, "level": _name(c), **_ends(e), "verdict": e.verdict, "found": e.verdict in ("more", "less"),
         "higher": f"{e.higher} of {e.seeds}"}
        for c in comparisons
        for layer, e in c.select(how, split, quantity).items()
        if math.isfinite(e.mean)
    ]  # fmt: skip
    if not rows:
        return {}
    layers, levels = list(dict.fromkeys(r["layer"] for r in rows)), [_name(c) for c in comparisons]
    beside = {"yOffset": {"field": "level", "type": "nominal", "sort": levels}} if len(levels) > 1 else {}
    axis = {"grid": True, "tickBand": "center"}
    y = {"y": {"field": "layer", "type": "nominal", "sort": layers, "title": None, "axis": axis}, **beside}
    x = {
        "type": "quantitative",
        "title": f"difference of {NAMES.get(quantity, quantity)}, nats",
        "axis": {"tickCount": 6},
    }
    shape = {
        "field": "level", "type": "nominal", "title": None, "scale": {"domain": levels, "range": list(SHAPES)},
        "legend": {"orient": "bottom", "columns": 1, "labelLimit": WIDTH},
    }  # fmt: skip
    line = NEGLIGIBLE.get(quantity, 0.0)
    point: Spec = {
        "type": "point",
        "style": "ink",
        "size": 55,
        "strokeWidth": 1.6,
        "opacity": 1,
        "tooltip": {"expr": _TOLD},
    }
    parts = {True: [r for r in rows if r["found"]], False: [r for r in rows if not r["found"]]}
    marks: list[Spec] = [
        {
            "data": {"values": part},
            "mark": {**point, "filled": full},
            "encoding": {**y, "x": {"field": "mean", **x}, "shape": shape},
        }
        for full, part in parts.items()
        if part
    ]
    return {
        "title": title,
        "width": WIDTH,
        "height": max(_ROW * len(layers) * len(levels), 60),
        "data": {"values": rows},
        "layer": [
            {
                "data": {"values": [{"at": at} for at in (-line, 0, line)]},
                "mark": {"type": "rule", "style": "ceiling"},
                "encoding": {"x": {"field": "at", **x}},
            },
            {
                "mark": {"type": "rule", "style": "muted", "strokeWidth": 2},
                "encoding": {**y, "x": {"field": "low", **x}, "x2": {"field": "high"}},
            },
            *marks,
        ],
    }


def _name(comparison: Comparison) -> str:
    """A level, as a legend shows it."""
    if comparison.factor == PLACEBO:
        return "another order"
    return f"{comparison.factor} = {comparison.level}"


_TOLD = (
    "{'title': datum.layer + ', ' + datum.level, 'difference': format(datum.mean, '+.3f'), "
    "'95 % interval': '[' + format(datum.low, '+.3f') + ', ' + format(datum.high, '+.3f') + ']', "
    "'seeds higher': datum.higher, 'verdict': datum.verdict}"
)


def _ends(e: Effect) -> dict[str, float]:
    """An interval that is infinite cannot be drawn; it then ends at the value."""
    finite = math.isfinite(e.low) and math.isfinite(e.high)
    return {"mean": e.mean, "low": e.low if finite else e.mean, "high": e.high if finite else e.mean}


def responses(dose: Dose, split: str, quantities: Sequence[str]) -> Spec:
    """Small multiples: one column a layer, one row a quantity, its mean over seeds at each level; empty without any."""
    rows: list[dict[str, Any]] = [
        {"layer": key.layer, "quantity": quantity, "level": text_of(level), **_ends(e)}
        for quantity in quantities
        for key, means in dose.means.items()
        if (key.how, key.split, key.quantity) == ("training", split, quantity)
        for level, e in zip(dose.levels, means, strict=True)
    ]
    if not rows:
        return {}
    layers = list(dict.fromkeys(r["layer"] for r in rows))
    x = {"field": "level", "type": "ordinal", "sort": [text_of(v) for v in dose.levels], "title": None,
         "axis": {"labelAngle": 0}}  # fmt: skip
    return {
        "title": f"along {dose.factor}",
        "data": {"values": rows},
        "vconcat": [_one_row(rows, q, layers, x) for q in quantities if any(r["quantity"] == q for r in rows)],
    }


def _one_row(rows: Sequence[Mapping[str, Any]], quantity: str, layers: Sequence[str], x: Spec) -> Spec:
    y = {"type": "quantitative", "title": f"{NAMES.get(quantity, quantity)}, nats", "scale": {"zero": False},
         "axis": {"tickCount": 4}}  # fmt: skip
    told = "{'title': datum.layer + ' at ' + datum.level, 'mean': format(datum.mean, '.3f') + ' nats'}"
    return {
        "transform": [{"filter": {"field": "quantity", "equal": quantity}}],
        "facet": {"column": {"field": "layer", "type": "nominal", "sort": list(layers), "title": None}},
        "spec": {
            "width": SMALL,
            "height": SMALL * 0.7,
            "layer": [
                {"mark": {"type": "line", "style": "muted"}, "encoding": {"x": x, "y": {"field": "mean", **y}}},
                {
                    "mark": {"type": "rule", "style": "muted", "strokeWidth": 2},
                    "encoding": {"x": x, "y": {"field": "low", **y}, "y2": {"field": "high"}},
                },
                {
                    "mark": {"type": "point", "filled": True, "style": "ink", "opacity": 1, "tooltip": {"expr": told}},
                    "encoding": {"x": x, "y": {"field": "mean", **y}},
                },
            ],
        },
    }


def text_of(level: Setting) -> str:
    """A level or value, as charts show it."""
    return f"{level:.3g}" if isinstance(level, float) else str(level)

"""Charts against the training step, as Vega-Lite specifications: one coordinate, and the user's own curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from ibprobe.record.records import Logged
from ibprobe.show.labels import spread, standing_free
from ibprobe.show.layers import FEW_LAYERS, depth_colour, layer_shape, picked, unless_picked
from ibprobe.show.panels import Panel, comparable, last_rows
from ibprobe.show.theme import Spec
from ibprobe.show.tooltip import of_quantities

WIDTH, HEIGHT = 500, 260
_POINTS = 2000
"""More of them could not be told apart in a curve of this width, and would fill the page."""
_LINE = 14.0
"""Pixels that a name takes."""
WHAT = {"I_XT": "Kept of the input", "I_TY": "Kept of the target"}


def lines(panel: Panel, quantity: Literal["I_XT", "I_TY"], *, beside: Sequence[Panel] = ()) -> Spec:
    """One coordinate of every layer against the training step, with its 95 % interval as a band and its ceiling.

    Args:
        panel: values of one channel.
        quantity: which coordinate.
        beside: panels shown next to it; those that are comparable get the same axis.

    Returns:
        A Vega-Lite specification without colours of its own, whose points are under ``datasets``.
    """
    q = quantity[2:].lower()
    ranges = [_range(p, quantity) for p in (panel, *comparable(panel, beside))]
    low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
    value = {"field": f"{q}_nats", **_height(panel.axis(quantity), low, high)}
    # A critic's interval may have no upper end.
    ends = {end: f"isNumber(datum.{q}_ci_{end}) ? datum.{q}_ci_{end} : datum.{q}_nats" for end in ("low", "high")}
    return {
        "title": f"{WHAT[quantity]} · {panel.title}",
        "width": WIDTH,
        "height": HEIGHT,
        "params": [picked(panel.layers, "points_of_lines", legend=False)],
        "data": {"name": "points"},
        "datasets": {"points": panel.rows},
        "transform": [
            {"filter": f"isNumber(datum.{q}_nats)"},
            *({"calculate": text, "as": f"{q}_{end}"} for end, text in ends.items()),
        ],
        "layer": [
            *_ceiling(panel, quantity, low, high),
            *_marks(panel, q, step_axis(panel.steps), value),
            *_names(panel, q, (low, high)),
        ],
    }


def _marks(panel: Panel, q: str, at: Spec, value: Spec) -> list[Spec]:
    """A band, a line and points for every layer; hollow points are flagged."""
    few = len(panel.layers) <= FEW_LAYERS
    shared = {"x": at, "color": depth_colour(panel.layers), "detail": {"field": "layer"}}
    band = {"y": value | {"field": f"{q}_low"}, "y2": {"field": f"{q}_high"}}
    hollow = {"condition": {"test": "datum.flagged", "value": 0}, "value": 0.9}
    filled = {"fill": shared["color"], "fillOpacity": hollow, "shape": layer_shape(panel.layers, legend=False)}
    tooltip = {"expr": of_quantities(q)}
    return [
        {
            "mark": {"type": "area", "clip": True},
            "encoding": {**shared, **band, "opacity": unless_picked(0.16 if few else 0.05)},
        },
        {
            "mark": {"type": "line", "strokeWidth": 1.6},
            "encoding": {**shared, "y": value, "opacity": unless_picked(1.0)},
        },
        {
            "name": "points_of_lines",
            "mark": {"type": "point", "size": 34 if few else 8, "tooltip": tooltip},
            "encoding": {**shared, **filled, "y": value, "opacity": unless_picked(1.0)},
        },
    ]


def step_axis(steps: Sequence[int]) -> Spec:
    """The step axis, from the first measured step to the last: a logarithm that shows step 0, too."""
    last = max([*steps, 1])
    decades = [10**k for k in range(len(str(last))) if 10**k < last / 2]
    return {
        "field": "step", "type": "quantitative", "title": "optimizer step",
        "scale": {"type": "symlog", "constant": 1, "domain": [0, last], "nice": False},
        "axis": {"grid": False, "values": [0, *decades, last]},
    }  # fmt: skip


def _height(title: str, low: float, high: float) -> Spec:
    scale = {"domain": [low, high], "nice": False, "zero": False}
    return {"type": "quantitative", "title": title, "scale": scale, "axis": {"tickCount": 6}}


def _range(panel: Panel, quantity: str) -> tuple[float, float]:
    values = [e for e in (panel.xt if quantity == "I_XT" else panel.ty) if math.isfinite(e.nats)]
    ends = [min(e.ci_high, e.ceiling + 0.3) for e in values]
    top = max([*(end for end in ends if math.isfinite(end)), *(e.nats for e in values), 0.1])
    limit = panel.ceiling(quantity)
    if limit and limit[0] <= 1.4 * top:
        top = max(top, limit[0])
    return min([0.0, *(e.nats for e in values)]), 1.06 * top


def _ceiling(panel: Panel, quantity: str, low: float, high: float) -> list[Spec]:
    limit = panel.ceiling(quantity)
    if not limit or limit[0] > high:
        return []
    data = {"values": [{"at": limit[0], "name": f"{limit[1]} = {limit[0]:.2f}"}]}
    at = {"y": {"field": "at", **_height(panel.axis(quantity), low, high)}}
    text = {"type": "text", "style": "ceiling-name", "dy": -7, "align": "left", "x": 6}
    return [
        {"data": data, "mark": {"type": "rule", "style": "ceiling"}, "encoding": at},
        {"data": data, "mark": text, "encoding": {**at, "text": {"field": "name"}}},
    ]


def _names(panel: Panel, q: str, domain: tuple[float, float]) -> list[Spec]:
    """Names at the right of the last points: a few are moved apart, of many those that stand free are shown."""
    last = last_rows([r for r in panel.rows if isinstance(r[f"{q}_nats"], float)])
    wanted: list[float] = [HEIGHT * (1 - (r[f"{q}_nats"] - domain[0]) / (domain[1] - domain[0])) for r in last]
    few = len(last) <= FEW_LAYERS
    heights = spread(wanted, _LINE, 0, HEIGHT) if few else wanted
    shown = range(len(last)) if few else standing_free(wanted, _LINE)
    names = [{"text": last[i]["layer"], "at": heights[i]} for i in shown]
    at: dict[str, Any] = {"field": "at", "type": "quantitative", "scale": None}
    text = {"type": "text", "align": "left", "baseline": "middle", "x": WIDTH + 8, "style": "ink"}
    return [{"data": {"values": names}, "mark": text, "encoding": {"y": at, "text": {"field": "text"}}}]


def curves(logged: Sequence[Logged], name: str, title: str) -> Spec:
    """A curve of the user's own, on the same step axis; of a long one every k-th point is drawn."""
    found = [(entry.step, entry.values[name]) for entry in logged if name in entry.values]
    found = found[:: -(-len(found) // _POINTS)] if found else found
    # A loss that is no longer finite is a gap.
    rows = [{"step": step, "value": value if math.isfinite(value) else None} for step, value in found]
    return {
        "title": title,
        "width": WIDTH,
        "height": 120,
        "data": {"values": rows},
        "mark": {"type": "line", "style": "ink", "strokeWidth": 1.4, "clip": True},
        "encoding": {
            "x": step_axis([entry.step for entry in logged]),
            "y": {"field": "value", "type": "quantitative", "title": name, "scale": {"zero": False}},
        },
    }

"""The information plane as a Vega-Lite specification."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from ibprobe.bottleneck.curve import IBCurve
from ibprobe.show.labels import place_labels
from ibprobe.show.layers import FEW_LAYERS, layer_shape, picked, step_colour, unless_picked
from ibprobe.show.panels import Panel, comparable, last_rows
from ibprobe.show.theme import Spec
from ibprobe.show.tooltip import of_quantities

WIDTH, HEIGHT = 500, 400
# A ceiling further away than this, in units of the largest value, would squeeze all points into a corner.
_NEAR = 1.6
# What the bracket says, or the interval where there is none; a void lower end reaches down to 0.
_ENDS = {
    "low": "isNumber(datum.{q}_bracket_high) ? (isNumber(datum.{q}_bracket_low) ? datum.{q}_bracket_low : 0)"
    " : datum.{q}_ci_low",
    "high": "isNumber(datum.{q}_bracket_high) ? datum.{q}_bracket_high"
    " : (isNumber(datum.{q}_ci_high) ? datum.{q}_ci_high : datum.{q}_ceiling)",
}
_LAST = [
    {"joinaggregate": [{"op": "max", "field": "step", "as": "last_step"}], "groupby": ["layer"]},
    {"filter": "datum.step == datum.last_step"},
]

Domain = tuple[float, float]
Points = Sequence[tuple[float, float]]


def plane(panel: Panel, *, beside: Sequence[Panel] = (), frontier: Points = ()) -> Spec:
    """One trajectory a layer, coloured by training step, with brackets, ceilings and a step slider.

    Args:
        panel: values of one channel, so that they may share the axes.
        beside: panels shown next to it; those that are comparable get the same axes.
        frontier: points (I(X;T), I(T;Y)) in nats of the IB curve, drawn as a line.

    Returns:
        A Vega-Lite specification without colours of its own, whose points are under ``datasets``.
    """
    axes = _Axes.of(panel, beside, frontier)
    last = len(panel.steps) - 1
    slider = {"input": "range", "min": 0, "max": max(last, 1), "step": 1, "name": "snapshot "}
    return {
        "title": {"text": panel.title, "subtitle": _how_to_read(panel, frontier)},
        "width": WIDTH,
        "height": HEIGHT,
        "params": [{"name": "snapshot", "value": last, "bind": slider}, picked(panel.layers, "points_of_layers")],
        "data": {"name": "points"},
        "datasets": {"points": panel.rows},
        "transform": [
            {"filter": "isNumber(datum.ty_nats) && isNumber(datum.xt_nats) && datum.snapshot <= snapshot"},
            *({"calculate": text.format(q=q), "as": f"{q}_{end}"} for q in ("xt", "ty") for end, text in _ENDS.items()),
            *_LAST[:1],
        ],
        "layer": [
            *_limits(panel, axes),
            *([_curve(frontier, axes, "ink", "IB curve")] if frontier else []),
            _trajectories(panel, axes),
            *_whiskers(panel, axes),
            *_rates(panel, axes),
            _points(panel, axes),
            *_names(panel, axes),
        ],
    }


def along(curve: IBCurve | None, panel: Panel) -> Points:
    """The frontier as far to the right as the panel's values go; nothing without a curve."""
    values = [e.nats for e in panel.xt if math.isfinite(e.nats)]
    return curve.reaching(max(values, default=0.0)) if curve else ()


def _how_to_read(panel: Panel, frontier: Points) -> str:
    limit = " · solid: the IB curve, likewise" if frontier else ""
    limit += " · dotted: up to the rate, an upper bound" if panel.rates else ""
    whiskers = "brackets" if panel.seeds == 1 else f"95 % over {panel.seeds} seeds"
    return f"whiskers: {whiskers} · hollow: flagged · dashed: what no point may pass{limit}"


@dataclass(frozen=True, slots=True)
class _Axes:
    """What both coordinates are, from where to where."""

    titles: tuple[str, str]
    x_domain: Domain
    y_domain: Domain

    @classmethod
    def of(cls, panel: Panel, beside: Sequence[Panel], frontier: Points) -> _Axes:
        same = [panel, *comparable(panel, beside)]
        return cls(
            (panel.axis("I_XT"), panel.axis("I_TY")),
            _domain(same, "I_XT", [p[0] for p in frontier]),
            _domain(same, "I_TY", [p[1] for p in frontier]),
        )

    def x(self, field: str) -> Spec:
        return _coordinate(field, self.titles[0], self.x_domain)

    def y(self, field: str) -> Spec:
        return _coordinate(field, self.titles[1], self.y_domain)

    def pixel(self, x: float, y: float) -> tuple[float, float]:
        return WIDTH * _share(x, self.x_domain), HEIGHT * (1 - _share(y, self.y_domain))


def _coordinate(field: str, title: str, domain: Domain) -> Spec:
    scale = {"domain": list(domain), "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": {"tickCount": 7}}


def _share(value: float, domain: Domain) -> float:
    return (value - domain[0]) / (domain[1] - domain[0])


def _domain(panels: Sequence[Panel], quantity: str, also: Iterable[float]) -> Domain:
    """From the smallest to the largest end, from 0 where that is near, up to the ceiling where that is near."""
    estimates = [e for panel in panels for e in (panel.xt if quantity == "I_XT" else panel.ty)]
    ends = [*also]
    for e in estimates:
        high = e.ci_high if e.bracket_high is None else e.bracket_high
        own = (e.nats, e.bracket_low, min(high, 1.5 * e.ceiling + 1))
        ends += [v for v in own if v is not None and math.isfinite(v)]
    limit = max((e.ceiling for e in estimates), default=0.0)
    ends += [rate for panel in panels for rate in panel.rates.values() if quantity == "I_XT" and rate < 1.5 * limit + 1]
    top = max([*ends, 0.1])
    top = max([top, *(e.ceiling for e in estimates if e.ceiling <= _NEAR * top)])
    low = min([*ends, top])
    # All values may be one and the same, such as H(Y).
    margin = max(0.06 * (top - min(low, 0.0) if low < top / 4 else top - low), 0.01)
    return (min(0.0, low) if low < top / 4 else low - margin, top + margin)


def _limits(panel: Panel, axes: _Axes) -> list[Spec]:
    """Named lines that no point may pass."""
    found: list[Spec] = []
    for quantity, channel, domain in (("I_XT", "x", axes.x_domain), ("I_TY", "y", axes.y_domain)):
        limit = panel.ceiling(quantity)
        if limit and domain[0] <= limit[0] <= domain[1]:
            found += _named_line(f"{limit[1]} = {limit[0]:.2f}", channel, limit[0], axes, _right_of_names(panel, axes))
    low, high = max(axes.x_domain[0], axes.y_domain[0]), min(axes.x_domain[1], axes.y_domain[1])
    return [*found, *_diagonal(low, high, axes)] if low < high else found


def _diagonal(low: float, high: float, axes: _Axes) -> list[Spec]:
    """No layer tells more of the target than it keeps of the input."""
    name, at = "I(T;Y) = I(X;T)", low + 0.8 * (high - low)
    # On the left of the line, where no point can be, if there is room.
    left = axes.pixel(at, at)[0] > 105
    mark = {"type": "text", "style": "ceiling-name", "align": "right" if left else "left", "dx": -7 if left else 7}
    where = {"x": axes.x("at"), "y": axes.y("at"), "text": {"field": "name"}}
    return [
        _curve([(low, low), (high, high)], axes, "ceiling", name),
        {"data": {"values": [{"at": at, "name": name}]}, "mark": mark, "encoding": where},
    ]


def _right_of_names(panel: Panel, axes: _Axes) -> float:
    """Where the name of H(Y) may end: left of the ceiling of I(X;T̃)."""
    limit = panel.ceiling("I_XT")
    return min(WIDTH - 6.0, axes.pixel(limit[0], 0.0)[0] - 8) if limit else WIDTH - 6.0


def _named_line(name: str, channel: str, value: float, axes: _Axes, right: float) -> list[Spec]:
    data = {"values": [{"at": value, "name": name}]}
    at = axes.x("at") if channel == "x" else axes.y("at")
    upright = {"angle": 270, "dx": 0, "dy": -8, "align": "left", "baseline": "middle", "y": HEIGHT - 6}
    text = {
        "type": "text",
        "style": "ceiling-name",
        **(upright if channel == "x" else {"dy": -7, "align": "right", "x": right}),
    }
    return [
        {"data": data, "mark": {"type": "rule", "style": "ceiling"}, "encoding": {channel: at}},
        {"data": data, "mark": text, "encoding": {channel: at, "text": {"field": "name"}}},
    ]  # fmt: skip


def _curve(points: Points, axes: _Axes, style: str, name: str) -> Spec:
    data = {"values": [{"x": x, "y": y} for x, y in points]}
    mark = {"type": "line", "style": style, "clip": True, "tooltip": name}
    return {"data": data, "mark": mark, "encoding": {"x": axes.x("x"), "y": axes.y("y")}}


def _trajectories(panel: Panel, axes: _Axes) -> Spec:
    """From each point to the one before it, in the colour of its step."""
    before = [{"op": "lag", "field": f, "as": f"{f}_before"} for f in ("xt_nats", "ty_nats")]
    return {
        "transform": [
            {"window": before, "groupby": ["layer"], "sort": [{"field": "step"}]},
            {"filter": "isValid(datum.xt_nats_before)"},
        ],
        "mark": {"type": "rule", "strokeWidth": 1.5, "clip": True},
        "encoding": {
            "x": axes.x("xt_nats"), "y": axes.y("ty_nats"), "x2": {"field": "xt_nats_before"},
            "y2": {"field": "ty_nats_before"}, "color": step_colour(panel.steps), "opacity": unless_picked(0.5),
        },
    }  # fmt: skip


def _whiskers(panel: Panel, axes: _Axes) -> list[Spec]:
    """Brackets; of many layers, only those of the last points."""
    shown = [] if len(panel.layers) <= FEW_LAYERS else _LAST[1:]
    across = {"x": axes.x("xt_low"), "x2": {"field": "xt_high"}, "y": axes.y("ty_nats")}
    up = {"y": axes.y("ty_low"), "y2": {"field": "ty_high"}, "x": axes.x("xt_nats")}
    look = {"color": step_colour(panel.steps), "opacity": unless_picked(0.45)}
    mark = {"type": "rule", "strokeWidth": 1.5, "clip": True}
    return [{"transform": shown, "mark": mark, "encoding": at | look} for at in (across, up)]


def _rates(panel: Panel, axes: _Axes) -> list[Spec]:
    """Of a layer that draws a code, from the last point to the variational upper bound on I(X;Z)."""
    if not panel.rates:
        return []
    drawn = [*_LAST[1:], {"filter": "isNumber(datum.rate)"}]
    at = {"y": axes.y("ty_nats"), "color": step_colour(panel.steps), "opacity": unless_picked(1.0)}
    told = {"expr": "{'title': datum.layer + ', step ' + datum.step, 'rate': format(datum.rate, '.3f') + ' nats'}"}
    line = {"type": "rule", "strokeWidth": 1.2, "strokeDash": [1, 3], "clip": True}
    tick = {"type": "tick", "orient": "vertical", "size": 16, "thickness": 2, "clip": True, "tooltip": told}
    return [
        {"transform": drawn, "mark": line, "encoding": {"x": axes.x("xt_nats"), "x2": {"field": "rate"}, **at}},
        {"transform": drawn, "mark": tick, "encoding": {"x": axes.x("rate"), **at}},
    ]


def _points(panel: Panel, axes: _Axes) -> Spec:
    colour = step_colour(panel.steps)
    sizes = (110, 34) if len(panel.layers) <= FEW_LAYERS else (70, 6)
    return {
        "name": "points_of_layers",
        "mark": {"type": "point", "strokeWidth": 1.6, "clip": True, "tooltip": {"expr": of_quantities("xt", "ty")}},
        "encoding": {
            "x": axes.x("xt_nats"), "y": axes.y("ty_nats"), "color": colour, "fill": colour,
            "shape": layer_shape(panel.layers), "opacity": unless_picked(1.0),
            # Hollow: do not trust this one without reading why.
            "fillOpacity": {"condition": {"test": "datum.flagged", "value": 0}, "value": 0.9},
            "size": {"condition": {"test": "datum.step == datum.last_step", "value": sizes[0]}, "value": sizes[1]},
        },
    }  # fmt: skip


def _names(panel: Panel, axes: _Axes) -> list[Spec]:
    """Names beside the last points, on a halo of the background's colour."""
    lookup = {"data": {"values": _labels(panel, axes)}, "key": "text", "fields": ["text", "dx", "dy", "align"]}
    place = {"dx": {"expr": "datum.dx"}, "dy": {"expr": "datum.dy"}, "align": {"expr": "datum.align"}}
    at = {"x": axes.x("xt_nats"), "y": axes.y("ty_nats"), "text": {"field": "text"}, "opacity": unless_picked(1.0)}
    return [
        {
            "transform": [*_LAST[1:], {"lookup": "layer", "from": lookup}, {"filter": "isValid(datum.text)"}],
            "mark": {"type": "text", "baseline": "middle", "style": style, **place},
            "encoding": at,
        }
        for style in ("halo", "ink")
    ]


def _labels(panel: Panel, axes: _Axes) -> list[Spec]:
    drawn = [r for r in panel.rows if isinstance(r["ty_nats"], float) and isinstance(r["xt_nats"], float)]
    last = [(row["layer"], *axes.pixel(row["xt_nats"], row["ty_nats"])) for row in last_rows(drawn)]
    crowd = [axes.pixel(r["xt_nats"], r["ty_nats"]) for r in drawn] if len(panel.layers) <= FEW_LAYERS else []
    return [asdict(label) for label in place_labels(last, crowd, WIDTH, HEIGHT)]

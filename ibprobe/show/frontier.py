"""The IB curve as a chart, layers' distances to it as a table, and both as a page of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ibprobe.bottleneck.curve import IBCurve
from ibprobe.record.records import Estimate
from ibprobe.show.files import write_file
from ibprobe.show.labels import place_labels
from ibprobe.show.page import Page
from ibprobe.show.panels import Panel, shown_name
from ibprobe.show.section import Cell, Line, Table
from ibprobe.show.theme import SHAPES, Spec

WIDTH, HEIGHT = 500, 400
_BETA = {"type": "log", "nice": False}


class Mark(NamedTuple):
    """A layer's place on the plane, nats."""

    net: str
    layer: str
    i_xt: float
    i_ty: float


def frontier_chart(
    curve: IBCurve, marks: Sequence[Mark] = (), title: str = "The information bottleneck's curve"
) -> Spec:
    """I(T;Y) over I(X;T): the frontier, its solutions by β, and layers beside it.

    Args:
        curve: the solutions.
        marks: layers; each net has a shape of its own.
        title: of the chart.
    """
    right = 1.06 * max([curve.i_xt.max(), *(m.i_xt for m in marks), 0.01])
    top = 1.1 * max([curve.i_xy, *(m.i_ty for m in marks), 0.01])
    x = _axis("x", "I(X;T), nats", right)
    y = _axis("y", "I(T;Y), nats", top)
    line = [{"x": a, "y": b} for a, b in curve.reaching(right)]
    corner = min(right, top)
    limits = [
        _line([{"x": 0.0, "y": 0.0}, {"x": corner, "y": corner}], x, y, "ceiling"),
        _line([{"x": 0.0, "y": curve.i_xy}, {"x": right, "y": curve.i_xy}], x, y, "ceiling"),
        {
            "data": {"values": [{"x": right, "y": curve.i_xy, "name": f"I(X;Y) = {curve.i_xy:.3f}"}]},
            "mark": {"type": "text", "style": "ceiling-name", "align": "right", "dy": -7, "dx": -4},
            "encoding": {"x": x, "y": y, "text": {"field": "name"}},
        },
    ]
    return {
        "title": {"text": title, "subtitle": "no representation of X lies above the line · dashed: I(T;Y) = I(X;T)"},
        "width": WIDTH,
        "height": HEIGHT,
        "layer": [
            *limits,
            _line(line, x, y, "ink"),
            _solutions(curve, x, y, bool(marks)),
            *_layers(marks, x, y, right, top),
        ],
    }


def _axis(field: str, title: str, high: float) -> Spec:
    scale = {"domain": [0, high], "nice": False}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, "axis": {"tickCount": 7}}


def _line(values: Sequence[dict[str, float]], x: Spec, y: Spec, style: str) -> Spec:
    mark = {"type": "line", "style": style, "clip": True}
    return {"data": {"values": list(values)}, "mark": mark, "encoding": {"x": x, "y": y}}


def _solutions(curve: IBCurve, x: Spec, y: Spec, small: bool) -> Spec:
    names = ("beta", "x", "y", "clusters")
    columns = (curve.beta, curve.i_xt, curve.i_ty, curve.clusters)
    rows = [dict(zip(names, map(_plain, row), strict=True)) for row in zip(*columns, strict=True) if row[0] > 0]
    tips = [{"field": name, "type": "quantitative", "format": ".5g"} for name in names]
    colour = {"field": "beta", "type": "quantitative", "scale": {**_BETA, "range": "ramp"}, "title": "β"}
    return {
        "data": {"values": rows},
        "mark": {"type": "point", "filled": True, "size": 12 if small else 45, "opacity": 0.9},
        "encoding": {"x": x, "y": y, "color": colour, "tooltip": tips},
    }


def _layers(marks: Sequence[Mark], x: Spec, y: Spec, right: float, top: float) -> list[Spec]:
    if not marks:
        return []
    nets = list(dict.fromkeys(m.net for m in marks))
    rows = [{"net": m.net, "layer": m.layer, "x": m.i_xt, "y": m.i_ty} for m in marks]
    shape = {"field": "net", "type": "nominal", "title": "network", "scale": {"domain": nets, "range": list(SHAPES)}}
    ways = {"field": "net", "type": "nominal", "legend": None, "scale": {"domain": nets}}
    at = {"x": x, "y": y}
    beside = _names(marks, right, top)
    place = {name: {"expr": f"datum.{name}"} for name in ("dx", "dy", "align")}
    return [
        {
            "data": {"values": rows},
            "mark": {"type": "line", "style": "muted", "strokeWidth": 1, "opacity": 0.6},
            "encoding": {**at, "detail": ways, "order": {"field": "layer"}},
        },
        {
            "data": {"values": rows},
            "mark": {"type": "point", "size": 90, "style": "ink", "strokeWidth": 1.6, "filled": False},
            "encoding": {**at, "shape": shape, "tooltip": [{"field": f} for f in ("net", "layer", "x", "y")]},
        },
        {
            "data": {"values": beside},
            "mark": {"type": "text", "style": "ink", "fontSize": 11, "baseline": "middle", **place},
            "encoding": {**at, "text": {"field": "text"}},
        },
    ]


def _names(marks: Sequence[Mark], right: float, top: float) -> list[dict[str, Any]]:
    """Where the layers' names stand so that none covers another."""
    where = {f"{m.net} {m.layer}": (m.i_xt, m.i_ty) for m in marks}
    pixels = [(name, WIDTH * x / right, HEIGHT * (1 - y / top)) for name, (x, y) in where.items()]
    found = place_labels(pixels, (), WIDTH, HEIGHT)
    return [{**asdict(label), "x": where[label.text][0], "y": where[label.text][1]} for label in found]


def distance_table(panels: Sequence[Panel], curve: IBCurve) -> list[Table]:
    """How far below the frontier each layer's last point lies, with what its brackets leave open."""
    several = len({p.title for p in panels}) > 1
    rows = []
    for panel in panels:
        last = {(e.quantity, shown_name(e.layer)): e for e in (*panel.xt, *panel.ty)}
        for name in panel.layers:
            xt, ty = last["I_XT", name], last.get(("I_TY", name))
            if ty is not None:
                of = [Cell(panel.title)] * several
                rows.append(Line((Cell(name), *of, *_distance(xt, ty, curve)), _impossible(xt, ty, curve)))
    text = (
        "Nats of I(T;Y) below the IB curve of the given p(x, y), at the layer's I(X;T); in brackets, at the ends of"
        " both values. ◦ marks points above it, where no layer of that task can be: another task's curve, or a fault."
    )
    columns = ("layer", *["of"] * several, "I(X;T̃)", "I(T̃;Y)", "frontier", "below by", "between")
    return [Table("frontier", "Distance to the IB curve", columns, tuple(rows), text)] if rows else []


def _distance(xt: Estimate, ty: Estimate, curve: IBCurve) -> list[Cell]:
    (x_low, x_high), (y_low, y_high) = _ends(xt), _ends(ty)
    at = float(curve.attained(xt.nats))
    near, far = float(curve.attained(x_low)) - y_high, float(curve.attained(x_high)) - y_low
    found = [_number(v) for v in (xt.nats, ty.nats, at, at - ty.nats)]
    return [*found, Cell(f"[{near:.3f}, {far:.3f}]", number=True)]


def _impossible(xt: Estimate, ty: Estimate, curve: IBCurve) -> bool:
    return _ends(ty)[0] > float(curve.bound(_ends(xt)[1])) + 1e-6


def _ends(e: Estimate) -> tuple[float, float]:
    """Bracket, or interval where there is none, as far as it is finite."""
    low = e.ci_low if e.bracket_low is None else e.bracket_low
    high = e.ci_high if e.bracket_high is None else e.bracket_high
    return max(0.0, low if math.isfinite(low) else 0.0), high if math.isfinite(high) else e.ceiling


def write_curve_page(curve: IBCurve, path: str | Path, title: str) -> Path:
    """One self-contained HTML page about a curve.

    Raises:
        BadInput: the page cannot be written.
        MissingExtra: the packages of the ``report`` extra are not installed.
    """
    page = Page(
        f"IB curve of {title}", f"H(X) = {curve.h_x:.4f}, H(Y) = {curve.h_y:.4f}, I(X;Y) = {curve.i_xy:.4f} nats"
    )
    specs = [frontier_chart(curve), *([_against_beta(curve)] if len(curve) > 1 else [])]
    text = "Every point is the best there is at its β, up to its gap; between points, time sharing attains the line."
    page.add_charts("The frontier", text, specs)
    page.add_tables([_facts(curve), _points(curve)])
    return write_file(path, page.html())


def _against_beta(curve: IBCurve) -> Spec:
    names = (("I(X;T)", curve.i_xt), ("I(T;Y)", curve.i_ty), ("ln |T|", np.log(curve.clusters)))
    rows = [
        {"beta": float(b), "nats": float(v), "of": name}
        for name, values in names for b, v in zip(curve.beta, values, strict=True) if b > 0
    ]  # fmt: skip
    marks = [{"beta": float(b)} for b in curve.critical_betas]
    x = {"field": "beta", "type": "quantitative", "title": "β", "scale": _BETA}
    dash = {"field": "of", "type": "nominal", "title": None}
    y = {"field": "nats", "type": "quantitative", "title": "nats"}
    return {
        "title": {"text": "Against β", "subtitle": "upright: onset, and bifurcations that were located"},
        "width": WIDTH,
        "height": HEIGHT,
        "layer": [
            {"data": {"values": marks}, "mark": {"type": "rule", "style": "ceiling"}, "encoding": {"x": x}},
            {
                "data": {"values": rows},
                "mark": {"type": "line", "style": "ink"},
                "encoding": {"x": x, "y": y, "strokeDash": dash},
            },
        ],
    }


def _facts(curve: IBCurve) -> Table:
    critical = ", ".join(f"{b:.4g}" for b in curve.critical_betas[1:])
    facts = [
        ("objective", {"ib": "I(X;T) − β I(T;Y)", "dib": "H(T) − β I(T;Y)"}.get(curve.kind, f"α = {curve.alpha:g}")),
        ("form", curve.form),
        ("onset: the least β with I(X;T) > 0", f"{curve.onset:.6g}"),
        ("local onset, 1/σ₂²", f"{curve.local_onset:.6g}"),
        ("next bifurcations", critical or "not located"),
        *(("note", note) for note in curve.notes),
    ]
    return Table("facts", "What is known of it", ("", ""), tuple(Line((Cell(a), Cell(b))) for a, b in facts))


def _points(curve: IBCurve) -> Table:
    columns = (curve.beta, curve.i_xt, curve.i_ty, curve.h_t, curve.clusters, curve.gap)
    rows = tuple(
        Line(tuple(_number(v) for v in row), not good)
        for *row, good in zip(*columns, curve.converged, strict=True)
    )  # fmt: skip
    names = ("β", "I(X;T)", "I(T;Y)", "H(T)", "|T|", "gap ≤")
    return Table("points", "The points", names, rows, "Nats; ◦ marks points that did not converge.")


def _plain(value: Any) -> float | int:
    return value if isinstance(value, int) else float(value)


def _number(value: Any) -> Cell:
    text = str(value) if isinstance(value, int) else f"{value:.2g}" if abs(value) < 1e-4 else f"{value:.4f}"
    return Cell(text, number=True, title=repr(_plain(value)))

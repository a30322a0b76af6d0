"""Charts with one mark a layer, as Vega-Lite specifications: compression, critics beside brackets, the σ-sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

from ibprobe.errors import BadInput
from ibprobe.record.records import SYMBOLS, Estimate, Records
from ibprobe.show.changes import Change, changes
from ibprobe.show.labels import standing_free
from ibprobe.show.layers import depth_colour
from ibprobe.show.panels import Panel, shown_name
from ibprobe.show.theme import SHAPES, Spec

WIDTH, _ROW, _SWEEP = 500, 22, 280
"""Pixels: width of a chart, height of a layer in it, height of the σ-sweep."""


def compression(panels: Sequence[Panel]) -> Spec:
    """How far each layer's I(X;T̃) fell from its peak, with 95 % intervals; one symbol a panel.

    Args:
        panels: comparable ones.

    Returns:
        A Vega-Lite specification without colours of its own.
    """
    rows = [_bar(panel.title, change) for panel in panels for change in changes(panel, "I_XT").values()]
    names, titles = list(dict.fromkeys(row["layer"] for row in rows)), [panel.title for panel in panels]
    beside = {"yOffset": {"field": "panel", "type": "nominal", "sort": titles}} if len(titles) > 1 else {}
    at, fall = (
        {"y": _layer_axis(names), **beside},
        {"type": "quantitative", "title": "peak minus final I(X; T+ε), nats"},
    )
    of_panel = {
        "field": "panel", "type": "nominal", "title": None, "scale": {"domain": titles, "range": list(SHAPES)},
        "legend": {"orient": "bottom", "columns": 1, "labelLimit": WIDTH} if len(titles) > 1 else None,
    }  # fmt: skip
    zero = {"data": {"values": [{"at": 0}]}, "mark": {"type": "rule", "style": "ceiling"}}
    return {
        "title": {"text": "How far each layer fell from its peak", **({"subtitle": titles[0]} if not beside else {})},
        "width": WIDTH,
        "height": _ROW * len(names) * max(1.0, 0.7 * len(titles)),
        "data": {"values": rows},
        "layer": [
            {**zero, "encoding": {"x": {"field": "at", **fall}}},
            _span("muted", at, "low", "high", fall),
            *_dots(rows, {**at, "x": {"field": "nats", **fall}, "shape": of_panel}, _FALL),
        ],
    }


def _nats(title: str) -> Spec:
    return {"type": "quantitative", "title": title, "axis": {"tickCount": 8}}


def _layer_axis(names: Sequence[str]) -> Spec:
    axis = {"grid": True, "tickBand": "center"}
    return {"field": "layer", "type": "nominal", "sort": list(names), "title": None, "axis": axis}


def _span(style: str, at: Spec, low: str, high: str, scale: Spec) -> Spec:
    mark = {"type": "rule", "style": style, "strokeWidth": 2}
    return {"mark": mark, "encoding": {**at, "x": {"field": low, **scale}, "x2": {"field": high}}}


def _dots(rows: Sequence[Spec], encoding: Spec, tooltip: str) -> list[Spec]:
    """Points with their tooltip: full ones, and hollow ones where they are flagged."""
    look = {"type": "point", "style": "ink", "size": 60, "strokeWidth": 1.6, "opacity": 1, "tooltip": {"expr": tooltip}}
    parts = {True: [r for r in rows if not r["flags"]], False: [r for r in rows if r["flags"]]}
    return [
        {"data": {"values": part}, "mark": {**look, "filled": full}, "encoding": encoding}
        for full, part in parts.items()
        if part
    ]


_FALL = (
    "{'title': datum.layer + ', ' + datum.panel, 'fell by': format(datum.nats, '.3f') + ' nats', "
    "'95 % interval': '[' + format(datum.low, '.3f') + ', ' + format(datum.high, '.3f') + ']', "
    "'from the peak at step': datum.since, 'to step': datum.until, 'flags': datum.flags || 'none'}"
)


def _bar(panel: str, change: Change) -> dict[str, Any]:
    return {
        "panel": panel, "layer": change.layer, "nats": change.nats,
        "low": _end(change.low, change.nats), "high": _end(change.high, change.nats),
        "since": change.since, "until": change.until, "flags": ", ".join(change.flags),
    }  # fmt: skip


def critics(panel: Panel, quantity: Literal["I_XT", "I_TY"]) -> Spec | None:
    """What critics read beside the brackets, at the last step where both are; None where there are none.

    A healthy critic lies within the bar or a little below it. The rate of a layer that samples a
    code is an upper bound, drawn with its own error.
    """
    pairs = _beside_brackets(panel.records, quantity)
    if not pairs:
        return None
    others = {critic.estimator for _, critic in pairs}
    several = len(others) > 1 or "rate" in others
    said = [_OF_CRITICS] * bool(others - {"rate"}) + [_OF_RATES] * ("rate" in others)
    rows = [_pair(bracket, critic, several) for bracket, critic in pairs]
    at = {"y": _layer_axis([row["layer"] for row in rows])}
    nats = _nats(panel.axis(quantity))
    bracket = {"x": {"field": "low", **nats}, "x2": {"field": "high"}}
    return {
        "title": {"text": panel.title, "subtitle": " · ".join(["bar: bracket", *said])},
        "width": WIDTH,
        "height": _ROW * len(rows),
        "data": {"values": rows},
        "layer": [
            {
                "mark": {"type": "bar", "height": 11, "opacity": 0.7, "style": "bracket"},
                "encoding": {**at, **bracket},
            },
            _span("ink", at, "ci_low", "ci_high", nats),
            *_dots(rows, {**at, "x": {"field": "nats", **nats}}, _CRITIC),
        ],
    }


_OF_CRITICS = "point, line: critic on unseen rows, 95 % interval"
_OF_RATES = "rate: an upper bound"
_CRITIC = (
    "{'title': datum.layer + ', step ' + datum.step, 'critic': format(datum.nats, '.3f') + ' nats', "
    "'bracket': '[' + format(datum.low, '.3f') + ', ' + format(datum.high, '.3f') + ']', "
    "'read by': datum.bound, 'effective samples': isNumber(datum.ess) ? format(datum.ess, '.0f') : '–', "
    "'flags': datum.flags || 'none'}"
)


def _beside_brackets(records: Records, quantity: str) -> list[tuple[Estimate, Estimate]]:
    brackets = {
        (e.layer, e.step): e
        for e in records
        if e.estimator == "channel" and e.quantity == quantity and e.bracket_low is not None
    }
    beside = [e for e in records if e.estimator != "channel" and e.quantity == quantity]
    last = {(e.layer, e.estimator): e for e in beside if (e.layer, e.step) in brackets}
    return [(brackets[(e.layer, e.step)], e) for e in last.values()]


def _pair(bracket: Estimate, critic: Estimate, several: bool) -> dict[str, Any]:
    name = shown_name(critic.layer) + (f", {critic.estimator}" if several else "")
    # An upper bound has an error, and no interval below it.
    low = 2 * critic.nats - critic.ci_high if critic.bound == "upper end" else critic.ci_low
    return {
        "layer": name, "step": critic.step, "nats": critic.nats,
        "low": _end(bracket.bracket_low, bracket.nats), "high": _end(bracket.bracket_high, bracket.nats),
        "ci_low": _end(low, critic.nats), "ci_high": _end(critic.ci_high, critic.nats),
        "bound": critic.bound, "ess": critic.ess, "flags": ", ".join(sorted(critic.flags)),
    }  # fmt: skip


def _end(value: float | None, nats: float) -> float:
    """The end of an interval; an infinite one cannot be drawn, the interval then ends at the value."""
    return value if value is not None and math.isfinite(value) else nats


def sweep(records: Records, quantity: Literal["I_XT", "I_TY"]) -> Spec:
    """A coordinate of every layer against the noise size, with brackets as bands: of :func:`ibprobe.sigma_sweep`.

    Args:
        records: at several σ.
        quantity: which coordinate.

    Raises:
        BadInput: there is no value of it.
    """
    # A logarithmic axis has no place for σ = 0.
    found = [e for e in records if e.quantity == quantity and e.headline and math.isfinite(e.nats) and e.sigma > 0]
    if not found:
        raise BadInput(f"there is nothing to draw: the records hold no headline value of {SYMBOLS[quantity]}")
    order = {name: i for i, name in enumerate(dict.fromkeys(shown_name(e.layer) for e in found))}
    colour = depth_colour(list(order))
    scale = {"type": "log", "nice": False, "padding": 24}
    kind = found[0].noise.replace("_", " ")
    sigma = {"field": "sigma", "type": "quantitative", "title": f"σ ({kind} noise)", "scale": scale}
    what = "I(X; T+ε)" if quantity == "I_XT" else "I(T+ε; Y)"
    value = {"field": "nats", "type": "quantitative", "title": f"{what}, nats"}
    name = {"type": "text", "align": "right", "dx": -7, "style": "ink"}
    return {
        "title": f"{what} at every noise size",
        "width": WIDTH,
        "height": _SWEEP,
        "data": {"values": [_at_sigma(e, order) for e in found]},
        "encoding": {"x": sigma, "detail": {"field": "layer"}},
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.18},
                "encoding": {"y": value | {"field": "low"}, "y2": {"field": "high"}, "color": colour},
            },
            {"mark": {"type": "line", "strokeWidth": 1.6}, "encoding": {"y": value, "color": colour}},
            {
                "mark": {"type": "point", "size": 34, "tooltip": {"expr": _SIGMA}},
                "encoding": {
                    "y": value, "color": colour, "fill": colour,
                    "fillOpacity": {"condition": {"test": "datum.flags != ''", "value": 0}, "value": 1},
                },
            },
            {
                "transform": [{"filter": {"field": "layer", "oneOf": _free_names(found)}}, _at_the_smallest(found)],
                "mark": name,
                "encoding": {"y": value, "text": {"field": "layer"}},
            },
        ],
    }  # fmt: skip


def _at_the_smallest(found: Sequence[Estimate]) -> Spec:
    """Where lines stand furthest apart."""
    return {"filter": f"datum.sigma == {min(e.sigma for e in found)}"}


def _free_names(found: Sequence[Estimate]) -> list[str]:
    """Names that do not cover each other at the smallest σ."""
    smallest, top = min(e.sigma for e in found), max(e.nats for e in found)
    there = [e for e in found if e.sigma == smallest]
    heights = [_SWEEP * e.nats / max(top, 1e-9) for e in there]
    return [shown_name(there[i].layer) for i in standing_free(heights, 14.0)]


_SIGMA = (
    "{'title': datum.layer + ', σ = ' + datum.sigma, 'value': format(datum.nats, '.3f') + ' nats', "
    "'bracket': '[' + format(datum.low, '.3f') + ', ' + format(datum.high, '.3f') + ']', "
    "'flags': datum.flags || 'none'}"
)


def _at_sigma(e: Estimate, order: dict[str, int]) -> dict[str, Any]:
    name = shown_name(e.layer)
    low = e.ci_low if e.bracket_low is None else e.bracket_low
    high = e.ci_high if e.bracket_high is None else e.bracket_high
    return {"layer": name, "order": order[name], "sigma": e.sigma, "nats": e.nats, "low": _end(low, e.nats),
            "high": _end(min(high, e.ceiling + 1), e.nats), "flags": ", ".join(sorted(e.flags))}  # fmt: skip

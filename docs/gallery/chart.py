"""The one kind of chart of the gallery: what was read against what was varied, with ends as whiskers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

COLOURS = ("#38588c", "#c2571a", "#1e9b8a", "#8a3ffc")
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Axis:
    """A title, and how numbers lie along it."""

    title: str
    log: bool = False
    domain: tuple[float, float] | None = None

    def spec(self) -> dict[str, Any]:
        """As Vega-Lite names it."""
        scale: dict[str, Any] = {"type": "log", "base": 2} if self.log else {"zero": False}
        if self.domain is not None:
            scale |= {"domain": list(self.domain), "clamp": True}
        return {"title": self.title, "scale": scale, "axis": {"tickCount": 7, "grid": False}}


def point(series: str, x: float, y: float, low: float | None = None, high: float | None = None) -> Row:
    """One reading; ``low`` and ``high`` are the ends of its whisker."""
    return {"series": series, "x": x, "y": y, "low": y if low is None else low, "high": y if high is None else high}


def chart(points: Sequence[Row], truth: Sequence[Row], x: Axis, y: Axis, *, drawn: bool = True) -> dict[str, Any]:
    """A specification that stands alone.

    Args:
        points: what was read, from :func:`point`; series get colours in the order in which they first occur.
        truth: dashed lines, from :func:`point`; their series is the text at one of their ends.
        x: what was varied.
        y: what was read.
        drawn: whether lines join the points of a series.
    """
    names = list(dict.fromkeys(row["series"] for row in points))
    colour = {
        "field": "series", "title": None,
        "legend": {"orient": "top", "direction": "vertical", "symbolOpacity": 1, "labelLimit": 400},
        "scale": {"domain": names, "range": list(COLOURS[: len(names)])},
    }  # fmt: skip
    place = {"x": {"field": "x", "type": "quantitative", **x.spec()}}
    height = {"field": "y", "type": "quantitative", **y.spec()}
    ends = {**place, "y": {**height, "field": "low"}, "y2": {"field": "high"}, "color": {**colour, "type": "nominal"}}
    marks = {**place, "y": height, "color": {**colour, "type": "nominal"}}
    read = [{"mark": {"type": "rule", "strokeWidth": 2, "opacity": 0.55}, "encoding": ends}]
    read += [{"mark": {"type": "line", "strokeWidth": 1.5}, "encoding": marks}] if drawn else []
    read += [{"mark": {"type": "point", "filled": True, "size": 42, "opacity": 1}, "encoding": marks}]
    dashed = {**place, "y": height, "detail": {"field": "series"}}
    known = [{"data": {"values": list(truth)}, "mark": {"type": "line", "style": "ceiling"}, "encoding": dashed}]
    text = {**place, "y": height, "text": {"field": "series"}}
    known += [
        {"data": {"values": [at]}, "mark": {"type": "text", "style": "ceiling-name", **side}, "encoding": text}
        for at, side in map(named, lines(truth))
    ]
    layers = [*known, *({"data": {"values": list(points)}, **layer} for layer in read)] if truth else read
    return {"width": 430, "height": 230, "layer": [{"data": {"values": list(points)}, **one} for one in layers]}


def lines(truth: Sequence[Row]) -> list[list[Row]]:
    """Points line by line."""
    return [[row for row in truth if row["series"] == name] for name in dict.fromkeys(row["series"] for row in truth)]


def named(line: list[Row]) -> tuple[Row, dict[str, Any]]:
    """Where a line's name stands: over its first point where it is level, else over its last."""
    if line[0]["y"] == line[-1]["y"]:
        return line[0], {"align": "left", "dx": 8, "dy": -7}
    return line[-1], {"align": "right", "dx": -8, "dy": -7}

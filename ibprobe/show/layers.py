"""How a chart shows which step and which layer a mark is of."""

from __future__ import annotations

from collections.abc import Sequence

from ibprobe.show.theme import SHAPES, Spec

FEW_LAYERS = 12
"""Up to so many layers, every bracket is drawn and a legend names every layer."""


def step_colour(steps: Sequence[int]) -> Spec:
    """Colour by training step, early and late steps equally well told apart."""
    if len(steps) == 1:
        return {"field": "step", "type": "quantitative", "scale": {"domain": [steps[0] - 1, steps[0]]}, "legend": None}
    last = max([*steps, 1])
    decades = [10**k for k in range(1, len(str(last))) if 10**k < last / 2]
    return {
        "field": "step", "type": "quantitative", "scale": {"type": "symlog", "domain": [0, last]},
        "legend": {"title": "step", "gradientLength": 130, "values": [0, *decades, last]},
    }  # fmt: skip


def layer_shape(layers: Sequence[str], *, legend: bool = True) -> Spec:
    """Shapes by layer, repeated where there are more layers than shapes."""
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(layers))]
    return {
        "field": "layer", "type": "nominal", "scale": {"domain": list(layers), "range": shapes},
        "legend": {"title": "layer"} if legend and len(layers) <= FEW_LAYERS else None,
    }  # fmt: skip


def depth_colour(layers: Sequence[str]) -> Spec:
    """Colour by layer, from the input to the output."""
    return {
        "field": "order", "type": "quantitative", "scale": {"domain": [0, max(len(layers) - 1, 1)]}, "legend": None,
    }  # fmt: skip


def picked(layers: Sequence[str], view: str, *, legend: bool = True) -> Spec:
    """The layer that was clicked on, among the points of a view or in the legend."""
    bound = {"bind": "legend"} if legend and len(layers) <= FEW_LAYERS else {}
    return {"name": "picked", "select": {"type": "point", "fields": ["layer"]}, "views": [view], **bound}


def unless_picked(opacity: float) -> Spec:
    """Faint where another layer is picked."""
    return {"condition": {"param": "picked", "value": opacity, "empty": True}, "value": 0.06}

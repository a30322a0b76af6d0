"""What all charts share: two looks, the colours of steps and of depth, and the shapes of layers."""

from __future__ import annotations

from typing import Any, Literal

Look = Literal["light", "dark"]
Spec = dict[str, Any]

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
FONT = "Inter, system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")

# Viridis (perceptually uniform, told apart under every common colour blindness, and monotone in grey) without the end
# that the background would swallow; late is what stands out most.
_RAMPS = {
    "light": (
        "#c2df23", "#86d549", "#52c569", "#2ab07f", "#1e9b8a", "#25858e", "#2d708e", "#38588c", "#433e85", "#440154",
    ),
    "dark": (
        "#3b528b", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#a8db34", "#d2e21b", "#fde725",
    ),
}  # fmt: skip
_INKS = {
    "light": {"ink": "#1f2328", "muted": "#59636e", "grid": "#e3e6ea", "background": "#ffffff"},
    "dark": {"ink": "#e6edf3", "muted": "#9aa4af", "grid": "#2a313c", "background": "#0f141b"},
}


def config(look: Look = "light") -> Spec:
    """The ``config`` of a specification in one look; the specifications themselves name no colour."""
    of = _INKS[look]
    text = {"labelColor": of["ink"], "titleColor": of["ink"], "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": of["background"],
        "font": FONT,
        "range": {"ramp": list(_RAMPS[look])},
        "view": {"stroke": None},
        "axis": {
            **text, "gridColor": of["grid"], "domainColor": of["grid"], "tickColor": of["grid"],
            "titleFontWeight": "normal", "titlePadding": 8,
        },
        "legend": {**text, "titleFontWeight": "normal", "labelLimit": 220, "symbolStrokeColor": of["ink"],
                   "symbolBaseFillColor": of["ink"], "symbolBaseStrokeColor": of["ink"]},
        "header": text,
        "title": {"color": of["ink"], "subtitleColor": of["muted"], "anchor": "start", "fontSize": 14, "offset": 12},
        "text": {"color": of["ink"], "fontSize": 12},
        "style": {
            "ceiling": {"color": of["muted"], "strokeDash": [5, 4], "strokeWidth": 1},
            "ceiling-name": {"color": of["muted"], "fontSize": 11},
            "ink": {"color": of["ink"]},
            "bracket": {"color": _RAMPS[look][4]},
            "halo": {"color": of["background"], "stroke": of["background"], "strokeWidth": 4, "strokeJoin": "round"},
            "muted": {"color": of["muted"]},
        },
    }  # fmt: skip


def themed(spec: Spec, look: Look = "light") -> Spec:
    """The specification with its colours, to be shown by itself."""
    return {"$schema": SCHEMA, **spec, "config": config(look), "padding": 12}

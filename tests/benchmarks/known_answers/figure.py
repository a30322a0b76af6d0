"""The first rows as one picture: the truth on x, what is reported on y; ours with intervals, beside the peers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import altair as alt

from .cases import Result
from .goals import doubted

Rows = list[dict[str, Any]]
OURS = "ibprobe, with its 95 % interval"
NAMES = {
    "mine": OURS,
    "textbook MINE": "textbook MINE",
    "torch-mist-mine": "torch-mist MINE",
    "torch-mist-smile": "torch-mist SMILE",
    "SMILE": "SMILE",
    "KSG": "nearest neighbours (KSG)",
}
COLOURS = ("#0b5fa5", "#c8442e", "#e08a1e", "#b79b00", "#7a8c3c", "#7d7f87")
SHAPES = ("circle", "square", "triangle-up", "triangle-down", "diamond", "cross")
PANELS: Mapping[str, tuple[str, Sequence[str]]] = {
    "finite": ("20 dimensions, 2,048 rows", ()),
    "strong": ("20 dimensions, 8,192 rows", ("gaussian",)),
}
"""Row: title, and how its tasks begin."""
TITLE = alt.Title(
    "What is reported where the truth is known", subtitle="dashed: the truth · hollow: flagged by ibprobe"
)
INK, FAINT = "#24292f", "#d9dce1"


def draw(results: Iterable[Result], path: Path) -> None:
    """Draw to an ``.svg`` or ``.png``, whichever the path ends with.

    Args:
        results: all that were kept; the newest code of each estimator is drawn.
        path: the file to write.
    """
    drawn = list(results)
    points = {title: _points(drawn, row, kinds) for row, (title, kinds) in PANELS.items()}
    present = {p["estimator"] for panel in points.values() for p in panel}
    names = [name for name in NAMES.values() if name in present]
    panels = [_panel(title, panel, names) for title, panel in points.items()]
    whole = alt.hconcat(*panels, spacing=36, title=TITLE).resolve_scale(color="shared", shape="shared")
    path.parent.mkdir(parents=True, exist_ok=True)
    _styled(whole).save(str(path), **({"scale_factor": 2} if path.suffix == ".png" else {}))


def _points(results: Iterable[Result], row: str, kinds: Sequence[str]) -> Rows:
    """Means over seeds, one a truth and estimator."""
    cells: dict[tuple[str, float], list[Result]] = defaultdict(list)
    for r in results:
        if r.row == row and not r.error and r.estimator in NAMES and (not kinds or r.task.startswith(tuple(kinds))):
            cells[r.estimator, r.truth].append(r)
    return [_point(estimator, truth, cell) for (estimator, truth), cell in sorted(cells.items())]


def _point(estimator: str, truth: float, cell: Sequence[Result]) -> dict[str, Any]:
    newest = [r for r in cell if r.code == cell[-1].code]
    point: dict[str, Any] = {"estimator": NAMES[estimator], "truth": truth, "nats": fmean(r.nats for r in newest)}
    point["flagged"] = fmean(doubted(r) for r in newest) > 0.5
    if newest[0].ci_low is not None:
        point["low"] = fmean(r.ci_low or 0 for r in newest)
        point["high"] = fmean(r.ci_high or 0 for r in newest)
    return point


def _panel(title: str, points: Rows, names: Sequence[str]) -> alt.LayerChart:
    top = max([p["truth"] for p in points], default=1.0)
    at = alt.X("truth:Q", title="truth, nats", scale=alt.Scale(domain=[-0.04 * top, 1.06 * top], nice=False))
    height = alt.Scale(domain=[-0.06 * top, 1.3 * top], nice=False)
    said = alt.Y("nats:Q", title="reported, nats", scale=height)
    look = {name: i for i, name in enumerate(NAMES.values())}
    colours, shapes = ([of[look[name]] for name in names] for of in (COLOURS, SHAPES))
    colour = alt.Color("estimator:N", scale=alt.Scale(domain=names, range=colours), title=None, sort=names)
    shape = alt.Shape("estimator:N", scale=alt.Scale(domain=names, range=shapes), title=None, sort=names)
    where = {"x": at, "y": said, "color": colour}
    data = alt.Chart(alt.Data(values=points))
    peers, ours = (data.transform_filter(f"datum.estimator {sign} '{OURS}'") for sign in ("!=", "=="))
    hollow = alt.condition("datum.flagged", alt.value("white"), colour)
    ends = alt.Chart(alt.Data(values=[{"truth": v, "nats": v} for v in (0, 1.06 * top)]))
    layers = [
        ends.mark_line(color=INK, strokeDash=[4, 4], strokeWidth=1, clip=True).encode(x=at, y=said),
        peers.mark_line(strokeWidth=1.5, opacity=0.5, clip=True).encode(**where),
        peers.mark_point(filled=True, size=60, opacity=1, clip=True).encode(**where, shape=shape),
        ours.mark_rule(strokeWidth=3, clip=True).encode(x=at, y=alt.Y("low:Q"), y2="high:Q", color=colour),
        ours.mark_point(size=75, opacity=1, strokeWidth=2, clip=True).encode(**where, shape=shape, fill=hollow),
    ]
    return alt.layer(*layers).properties(width=340, height=340, title=title)


def _styled(chart: alt.HConcatChart) -> alt.HConcatChart:
    chart = chart.properties(background="white", padding=12).configure(font="Inter, Helvetica, Arial, sans-serif")
    chart = chart.configure_view(stroke=None).configure_axis(
        gridColor=FAINT, domainColor=FAINT, tickColor=FAINT, labelColor=INK, titleColor=INK, labelFontSize=12,
        titleFontSize=12, titleFontWeight="normal", tickCount=6,
    )  # fmt: skip
    chart = chart.configure_title(
        fontSize=14, subtitleFontSize=12, color=INK, subtitleColor=INK, anchor="start", fontWeight="bold", offset=10
    )
    return chart.configure_legend(
        orient="bottom", labelFontSize=12, symbolSize=80, columns=3, symbolOpacity=1, labelColor=INK, labelLimit=300
    )

"""Records in a notebook: one chart, and a table that needs no packages."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

from ibprobe.errors import BadInput, MissingExtra, UnknownName
from ibprobe.record.records import Records
from ibprobe.show.cases import cases
from ibprobe.show.lines import lines
from ibprobe.show.panels import Panel, panels
from ibprobe.show.plane import plane
from ibprobe.show.summaries import compression, sweep
from ibprobe.show.tables import finals_table
from ibprobe.show.theme import Look, Spec, themed

if TYPE_CHECKING:
    import altair as alt


def chart(records: Records, kind: str, split: str | None, look: Look) -> alt.LayerChart:
    """One picture of the records as an Altair chart, to be shown, changed or saved.

    Raises:
        BadInput: there is nothing to draw, or several channels of which one must be selected first.
        UnknownName: no such kind or split.
        MissingExtra: altair is not installed.
    """
    try:
        import altair as alt
    except ImportError as e:
        raise MissingExtra("plot", "altair", "report") from e
    spec = themed(_spec(records, kind, split), look)
    points = spec.pop("datasets", None)
    drawn: alt.LayerChart = alt.LayerChart.from_dict(spec, validate=False)
    if points:
        # Altair matches a specification with its schema, number by number; data it leaves alone.
        drawn.data = {"values": points["points"]}
    return drawn


def _spec(records: Records, kind: str, split: str | None) -> Spec:
    if kind == "sigma":
        return sweep(records.select(split=split) if split else records, "I_XT")
    known: dict[str, Callable[[Panel], Spec]] = {
        "plane": plane,
        "I_XT": lambda panel: lines(panel, "I_XT"),
        "I_TY": lambda panel: lines(panel, "I_TY"),
        "compression": lambda panel: compression([panel]),
    }
    if kind not in known:
        raise UnknownName("kind of chart", kind, [*known, "sigma"])
    panel = _panel(records, split)
    if kind in ("plane", "I_TY") and not panel.ty:
        raise BadInput(f"plot({kind!r}) needs I(T̃;Y), which was not measured; plot('I_XT') shows what was")
    if kind == "compression" and len(panel.steps) == 1:
        raise BadInput("plot('compression') needs two snapshots; there is one")
    return known[kind](panel)


def _panel(records: Records, split: str | None) -> Panel:
    found = panels(cases([("", records)]))
    if not found:
        raise BadInput("there is nothing to draw: the records hold no headline value of I(X;T̃)")
    names = list(dict.fromkeys(panel.split for panel in found))
    wanted = split or ("held_out" if "held_out" in names else names[0])
    if wanted not in names:
        raise UnknownName("split", wanted, names)
    own = [panel for panel in found if panel.split == wanted]
    if len(own) > 1:
        sizes = ", ".join(f"{p.xt[0].noise} σ = {p.xt[0].sigma:g}" for p in own)
        raise BadInput(
            f"values at {sizes} are different quantities: select(sigma=…) one of them, or plot('sigma') for a sweep"
        )
    return own[0]


def table_html(records: Records) -> str:
    """The last value of every layer as a table, flags and all."""
    found = panels(cases([("", records)]))
    if not found:
        return f"<pre>{escape(str(records))}</pre>"
    [table] = finals_table(found)
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = "".join(
        "<tr>" + "".join(f'<td title="{escape(c.title)}">{escape(c.text)}</td>' for c in row.cells) + "</tr>"
        for row in table.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"

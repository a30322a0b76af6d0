"""One self-contained HTML page: words, charts that need no network, tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from ibprobe.bottleneck.curve import IBCurve
from ibprobe.errors import MissingExtra
from ibprobe.record.records import Records
from ibprobe.show.cases import Case, cases
from ibprobe.show.packing import columns, deflate
from ibprobe.show.panels import Panel, panels
from ibprobe.show.plane import along, plane
from ibprobe.show.section import Chart, Section, Table
from ibprobe.show.theme import SCHEMA, Spec, config
from ibprobe.show.verdict import Verdict, verdict
from ibprobe.version import __version__


@dataclass(frozen=True, slots=True)
class Placed:
    """A section as the page has it."""

    heading: str
    text: str
    charts: Sequence[str] = ()
    """What its charts are called in the payload."""
    table: Table | None = None


@dataclass
class Page:
    """What goes on the page, first things first."""

    title: str
    subtitle: str = ""
    cases: list[dict[str, Any]] = field(default_factory=list)
    sections: list[Placed] = field(default_factory=list)
    _charts: dict[str, Spec] = field(default_factory=dict)
    _panels: dict[int, Panel] = field(default_factory=dict)

    def add_case(
        self, case: Case, own: Sequence[Panel], beside: Sequence[Panel], frontier: IBCurve | None = None
    ) -> None:
        """The verdict and the planes of a case, with the IB curve of its task where that is known."""
        ids = [self._add(plane(p, beside=beside, frontier=along(frontier, p)), p, steps=p.steps) for p in own if p.ty]
        self.cases.append({"name": case.name, "verdict": _boxes(verdict(own, case.records.events)), "planes": ids})

    def add_words(self, boxes: Sequence[tuple[str, str, Sequence[str]]]) -> None:
        """A verdict in words alone: heading, kind (``good``, ``doubt``, ``neutral``) and sentences of each box."""
        self.cases.append({"name": "", "verdict": [box for box in boxes if box[2]], "planes": []})

    def add_planes(self, heading: str, text: str, found: Sequence[Panel]) -> None:
        """Planes under a heading, on axes that they share; nothing where there are none."""
        drawn = [p for p in found if p.ty]
        if drawn:
            charts = [self._add(plane(p, beside=drawn), p, steps=p.steps) for p in drawn]
            self.sections.append(Placed(heading, text, charts))

    def add_charts(self, heading: str, text: str, specs: Iterable[Spec]) -> None:
        """Charts under a heading; nothing where there are none."""
        if charts := [Chart(spec) for spec in specs]:
            self.add(Section(heading, text, charts))

    def add(self, section: Section) -> None:
        """A section.

        Raises:
            ValueError: a specification that is no JSON; the page is as it was.
            TypeError: likewise.
        """
        for chart in section.charts:
            json.dumps({k: v for k, v in chart.spec.items() if k != "datasets"}, allow_nan=False)
        charts = [self._add(chart.spec, chart.panel) for chart in section.charts]
        self.sections.append(Placed(section.heading, section.text, charts, section.table))

    def add_tables(self, tables: Iterable[Table]) -> None:
        """Tables, each under its heading."""
        self.sections += [Placed(table.heading, table.text, table=table) for table in tables]

    def _add(self, spec: Spec, panel: Panel | None, steps: Sequence[int] | None = None) -> str:
        """Keep a chart without its points, which all charts of a panel share."""
        name = f"chart{len(self._charts)}"
        if panel is not None:
            self._panels.setdefault(id(panel), panel)
        bare = {"$schema": SCHEMA, **{k: v for k, v in spec.items() if k != "datasets"}}
        points = None if panel is None else list(self._panels).index(id(panel))
        self._charts[name] = {"spec": bare, "points": points, "steps": steps}
        return name

    def html(self) -> str:
        """The page.

        Raises:
            MissingExtra: the packages of the ``report`` extra are not installed.
        """
        payload = {
            "charts": self._charts,
            "datasets": [columns(panel.rows) for panel in self._panels.values()],
            "looks": {"light": config("light"), "dark": config("dark")},
        }
        template = _environment().from_string(_file("page.html"))
        made: str = template.render(
            title=self.title, subtitle=self.subtitle, cases=self.cases, sections=self.sections,
            version=__version__, css=_safe(_file("page.css")), script=_safe(_file("page.js")),
            payload=_safe(deflate(payload)), bundle=_safe(_bundle()),
        )  # fmt: skip
        return made


def plane_html(records: Records) -> str:
    """A page with the verdict and the planes of one run only.

    Raises:
        MissingExtra: the packages of the ``report`` extra are not installed.
    """
    page = Page("Information plane")
    [case] = cases([("", records)])
    found = panels([case])
    page.add_case(case, found, found)
    return page.html()


def _boxes(said: Verdict) -> list[tuple[str, str, tuple[str, ...]]]:
    boxes = [
        ("What fitted", "good", said.fitted),
        ("What compressed", "good", said.compressed),
        ("Layers to look at", "doubt", said.layers),
        ("Numbers not to trust", "doubt", said.doubtful),
        ("What cannot be said", "neutral", said.unknown),
    ]
    return [box for box in boxes if box[2]]


def _file(name: str) -> str:
    return resources.files("ibprobe.show").joinpath(name).read_text(encoding="utf-8")


def _environment() -> Any:
    try:
        from jinja2 import Environment
    except ImportError as e:
        raise MissingExtra("the report", "jinja2", "report") from e
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _safe(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    try:
        import vl_convert
    except ImportError as e:
        raise MissingExtra("the report", "vl-convert-python", "report") from e
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", r"<\/script")

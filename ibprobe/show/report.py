"""The report: verdict and planes, then sections, ours and those of plugins; where one fails, its place says so."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ibprobe.bottleneck.curve import IBCurve
from ibprobe.errors import BadInput
from ibprobe.record.records import Records
from ibprobe.show.cases import Case, measured_cases
from ibprobe.show.files import write_file
from ibprobe.show.frontier import distance_table
from ibprobe.show.page import Page
from ibprobe.show.panels import panels
from ibprobe.show.section import NamedSection, Section, Shown, Table
from ibprobe.show.series import along_steps, at_every_noise, compressed, critics_beside, is_sweep
from ibprobe.show.tables import events_table, finals_table, flags_table, measurement_table

log = logging.getLogger("ibprobe")

OURS = (
    NamedSection("steps", "both coordinates and your own curves against the training step", along_steps),
    NamedSection("compression", "how far each layer fell from its peak", compressed),
    NamedSection("critics", "critics beside brackets", critics_beside),
    NamedSection("sweeps", "a coordinate at every noise size", at_every_noise),
    NamedSection(
        "distances",
        "how far layers lie from the IB curve",
        lambda s: _of(distance_table(s.panels, s.frontier) if s.frontier else []),
    ),
    NamedSection("finals", "the last value of every layer", lambda s: _of(finals_table(s.panels))),
    NamedSection("flags", "every flag that occurs, explained", lambda s: _of(flags_table(s.panels))),
    NamedSection("measurement", "how it was measured", lambda s: _of(measurement_table(s.cases))),
    NamedSection("events", "what was left out, and why", lambda s: _of(events_table(s.cases))),
)
"""What a page has below the planes, in this order."""


def write_report(
    runs: Sequence[tuple[str, Records]],
    path: str | Path,
    *,
    average: bool | None = None,
    frontier: IBCurve | None = None,
    sections: Sequence[NamedSection] = OURS,
) -> Path:
    """Write one self-contained HTML page about one or more runs.

    Args:
        runs: name and records of each.
        path: the page to write.
        average: whether runs of the same settings are shown as their mean, with its interval over seeds; by default,
            where their recorded seeds differ.
        frontier: the IB curve of the task's p(x, y), drawn on the planes, with each layer's distance to it.
        sections: what comes below the planes; :class:`ibprobe.plugins.Plugins` finds sections by name.

    Returns:
        The path.

    Raises:
        BadInput: no run holds an estimate, or the page cannot be written.
        MissingExtra: the packages of the ``report`` extra are not installed.
    """
    return write_file(path, page_of(runs, average, frontier, sections).html())


def page_of(
    runs: Sequence[tuple[str, Records]],
    average: bool | None = None,
    frontier: IBCurve | None = None,
    sections: Sequence[NamedSection] = OURS,
) -> Page:
    """What goes on the page; see :func:`write_report`."""
    shown = shown_of(runs, average, frontier)
    page = Page(_title(runs), _subtitle(shown.cases))
    for case in shown.cases:
        if not is_sweep(case.records):
            own = [panel for panel in shown.panels if panel.case == case.name]
            page.add_case(case, own, shown.panels, frontier)
    for section in sections:
        _add(page, section, shown)
    return page


def shown_of(
    runs: Sequence[tuple[str, Records]], average: bool | None = None, frontier: IBCurve | None = None
) -> Shown:
    """What sections are made from; see :func:`write_report`."""
    found = measured_cases(runs, average=average)
    return Shown(runs, found, panels(found), frontier)


def _add(page: Page, named: NamedSection, shown: Shown) -> None:
    """A section, or why there is none in its place: a page is not lost for one of its parts."""
    try:
        section = named.make(shown)
        if section is not None and not isinstance(section, Section):
            raise BadInput(f"expected a Section or None, got {type(section).__name__}")
        if section is not None:
            page.add(section)
    except Exception as e:
        why = f"This section could not be made: {type(e).__name__}: {e}"
        log.warning("ibprobe: section %r of the report could not be made: %s: %s", named.name, type(e).__name__, e)
        page.add(Section(named.name, why))


def _of(found: Sequence[Table]) -> Section | None:
    """A table under its own heading, if there is one."""
    return Section(found[0].heading, found[0].text, table=found[0]) if found else None


def _title(runs: Sequence[tuple[str, Records]]) -> str:
    return f"Information plane of {runs[0][0]}" if len(runs) == 1 else f"Information planes of {len(runs)} runs"


def _subtitle(found: Sequence[Case]) -> str:
    meta = found[0].records.meta
    model = [str(meta["model"])] if meta.get("model") else []
    started = [str(meta["started"]).replace("T", " ").rstrip("Z") + " UTC"] if meta.get("started") else []
    return " · ".join([*model, *started])

"""What every section of the report promises."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

from ibprobe.errors import MissingExtra
from ibprobe.record.records import Estimate, Event, Logged, Records
from ibprobe.show.report import page_of, shown_of
from ibprobe.show.section import Chart, NamedSection, Section, SectionMaker, Table
from ibprobe.show.theme import themed
from ibprobe.testing.built import built
from ibprobe.testing.stream import META, STEPS, parts
from ibprobe.testing.untouched import untouched

Runs = list[tuple[str, Records]]


def check_section(build: Callable[[], SectionMaker]) -> dict[str, Any]:
    """Check a section on several pages: a run, one snapshot of it, two runs, seeds of one setting, no I(T̃;Y), a sweep.

    It must give a ``Section`` on one of them at least, and None where it has nothing to show. Its words are text, its
    charts specifications that are JSON and that Vega-Lite compiles (where vl-convert-python is installed), its table
    as wide as its head. The same runs give the same section; records and global random generators are left as they are.

    Args:
        build: makes the section's function, as a plugin's ``build``.

    Returns:
        The section of each page, or None.

    Raises:
        AssertionError: a promise is broken; the message says what was expected and what came.
    """
    make = built(build)
    assert callable(make), f"build(): expected a function of what is shown, got {make!r}"
    found = {name: _made(name, make, runs) for name, runs in pages().items()}
    assert any(found.values()), f"expected a Section on one page at least; it gave None on all of {', '.join(found)}"
    return found


def pages() -> Mapping[str, Runs]:
    """Runs to make pages of, by what is special about them."""
    first = [e for part in parts() for e in part.estimates]
    events = [e for part in parts() for e in part.events]
    curves = tuple(Logged(step, {"loss": 1 / (1 + step)}) for step in STEPS)
    whole = _run(first, events, curves)
    sweep = [_at(e, sigma) for sigma in (0.125, 0.25, 0.5) for e in first if e.step == STEPS[-1]]
    return {
        "a run": [("run", whole)],
        "one snapshot": [("run", _run([e for e in first if e.step == STEPS[-1]], []))],
        "two runs": [("one", whole), ("other", _run(first, events, config={"lr": 1e-2}))],
        "seeds of one setting": [(f"seed {seed}", _run(first, events, seed=seed)) for seed in range(3)],
        "a run without I(T̃;Y)": [("run", _run([e for e in first if e.quantity == "I_XT"], events))],
        "a sweep over noise sizes": [("sweep", _run(sweep, []))],
    }


def _run(estimates: list[Estimate], events: list[Event], curves: tuple[Logged, ...] = (), **meta: Any) -> Records:
    return Records(tuple(estimates), tuple(events), {**META, **meta}, curves)


def _at(e: Estimate, sigma: float) -> Estimate:
    return Estimate.from_dict({**e.to_dict(), "sigma": sigma})


def _made(name: str, make: Any, runs: Runs) -> Any:
    where, shown = f"on a page of {name}", shown_of(runs)
    before = repr(shown)
    try:
        with untouched("the section", {}):
            first, second = make(shown), make(shown)
    except Exception as e:
        raise AssertionError(f"{where}: expected a Section or None, got {type(e).__name__}: {e}") from e
    assert repr(shown) == before, f"{where}: expected what is shown to be left as it is; it was changed"
    assert first == second, f"{where}: expected the same section of the same runs, got {first} and {second}"
    if first is not None:
        _check(first, where)
        _check_page(first, runs, where)
    return first


def _check(section: Any, where: str) -> None:
    assert isinstance(section, Section), f"{where}: expected a Section or None, got {section!r}"
    words = isinstance(section.heading, str) and section.heading and isinstance(section.text, str)
    assert words, f"{where}: expected a heading and a text, got {section.heading!r} and {section.text!r}"
    assert section.text or section.charts or section.table, f"{where}: expected words, charts or a table; got none"
    for chart in section.charts:
        assert isinstance(chart, Chart), f"{where}: expected charts to be Chart(spec), got {chart!r}"
        _check_chart(chart, where)
    table = section.table
    assert table is None or isinstance(table, Table), (
        f"{where}: expected a Table, as table_of() makes it, got {table!r}"
    )
    for line in table.rows if table else ():
        wide = len(line.cells) == len(table.columns) if table else True
        assert wide, f"{where}: expected {len(table.columns) if table else 0} cells in a row, got {len(line.cells)}"


def _check_chart(chart: Chart, where: str) -> None:
    try:
        json.dumps(chart.spec, allow_nan=False)
    except (TypeError, ValueError) as e:
        raise AssertionError(f"{where}: expected a specification that is JSON, got {type(e).__name__}: {e}") from e
    try:
        import vl_convert
    except ImportError:
        return
    try:
        vl_convert.vegalite_to_vega(themed(chart.spec))
    except ValueError as e:
        raise AssertionError(f"{where}: expected a Vega-Lite specification; {e}") from e


def _check_page(section: Section, runs: Runs, where: str) -> None:
    try:
        html = page_of(runs, sections=[NamedSection("checked", "", lambda shown: section)]).html()
    except MissingExtra:
        return
    assert f"<h2>{escape(section.heading)}</h2>" in html, f"{where}: expected the section on the page; it is not there"

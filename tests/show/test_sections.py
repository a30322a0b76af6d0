"""Sections of plugins stand on the page beside ours; one that fails leaves the page, and says so in its place."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import unchecked
from show.scenes import training_run
from show.unpacked import Tables, payload_of

from ibprobe.show.page import Page
from ibprobe.show.report import OURS, page_of, write_report
from ibprobe.show.section import Chart, NamedSection, Section, Shown, table_of

RUN = training_run(layers=2, snapshots=3)
BAR = {"data": {"values": [{"a": "x", "b": 1.5}]}, "mark": "bar", "encoding": {"x": {"field": "b"}}}


def unchecked_section(*args: Any, **given: Any) -> Section:
    """Without the checks of types that only tests have."""
    made = object.__new__(Section)
    unchecked(Section.__init__)(made, *args, **given)
    return made


def page(make: Callable[[Shown], Any], *after: NamedSection) -> Page:
    return page_of([("run", RUN)], sections=[*OURS[:1], NamedSection("own", "mine", make), *after])


def test_a_section_has_words_charts_and_a_table_in_its_place() -> None:
    table = table_of([{"layer": "a", "nats": 1 / 3, "rows": 7}, {"layer": "b", "flag": True}], "Numbers of mine")
    made = page(lambda shown: Section("Mine", "words", [Chart(BAR)], table), OURS[-1])
    assert [s.heading for s in made.sections] == ["Against the training step", "Mine", "What was left out, and why"]
    html = made.html()
    assert re.search(r"<h2>Mine</h2>\s*<p class=\"muted\">words</p>\s*<div class=\"charts\"><figure", html)
    assert [[text for text, _ in row] for row in Tables(html).tables["numbers-of-mine"]] == [
        ["layer", "nats", "rows", "flag"], ["a", "0.333", "7", "–"], ["b", "–", "–", "True"],
    ]  # fmt: skip
    assert Tables(html).tables["numbers-of-mine"][1][1] == ("0.333", repr(1 / 3))
    charts = payload_of(html)["charts"]
    assert BAR["data"] in [chart["spec"].get("data") for chart in charts.values()]


def test_a_section_is_made_from_the_runs_as_they_were_recorded() -> None:
    seen: list[Shown] = []
    page(seen.append)
    assert [(name, records) for name, records in seen[0].runs] == [("run", RUN)]
    assert [p.split for p in seen[0].panels] == ["train", "held_out"]
    assert [case.name for case in seen[0].cases] == ["run"]


def test_a_section_with_nothing_to_show_is_not_there() -> None:
    assert [s.heading for s in page(lambda shown: None).sections] == ["Against the training step"]


def raises(shown: Shown) -> Any:
    raise KeyError("no <such> layer")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (raises, "KeyError: 'no &lt;such&gt; layer'"),
        (lambda shown: "words", "BadInput: expected a Section or None, got str"),
        (lambda shown: Section("Mine", charts=[Chart({"mark": "bar", "height": float("nan")})]), "ValueError: "),
        (lambda shown: Section("Mine", charts=[Chart({"mark": object()})]), "TypeError: Object of type object is not"),
        (lambda shown: unchecked_section("Mine", charts=[Chart(BAR), 3]), "AttributeError: 'int' object has no"),
    ],
    ids=["raises", "no section", "not a number", "no JSON", "no chart"],
)
def test_a_section_that_fails_leaves_the_page_and_says_so_in_its_place(
    make: Callable[[Shown], Any], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    html = page(make, OURS[-1]).html()
    headings = re.findall(r"<h2>(.*?)</h2>", html.partition("</main>")[0])
    assert headings[headings.index("Against the training step") + 1 :] == ["own", "What was left out, and why"]
    said = rf"<h2>own</h2>\s*<p class=\"muted\">This section could not be made: {why}"
    assert re.search(said, html.replace("&#39;", "'"))
    [line] = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert line.getMessage().startswith("ibprobe: section 'own' of the report could not be made: ")


def test_a_page_of_the_named_sections_only(tmp_path: Path) -> None:
    finals = [section for section in OURS if section.name == "finals"]
    html = write_report([("run", RUN)], tmp_path / "page.html", sections=finals).read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", html.partition("</main>")[0]) == ["Final values"]

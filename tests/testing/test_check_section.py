"""The contract of sections lets ours pass, and says of a broken one what was expected and what came."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ibprobe.plugins import Plugins
from ibprobe.show.report import OURS
from ibprobe.show.section import Chart, Line, Section, table_of
from ibprobe.testing import check_section

# The distances need an IB curve, which a reader of one task gives.
OURS_CHECKED = [section.name for section in OURS if section.name != "distances"]


@pytest.fixture(autouse=True)
def quick_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts that draw are the same on every page."""
    monkeypatch.setattr("ibprobe.show.page._bundle", lambda: "")


@pytest.mark.parametrize("name", OURS_CHECKED)
def test_ours_pass(name: str) -> None:
    found = check_section(Plugins([]).offers("section")[name].plugin.build)
    assert (found["a sweep over noise sizes"] is not None) == (
        name not in ("steps", "compression", "critics", "events")
    )


def of(section: Any) -> Callable[[Any], Any]:
    return lambda shown: section


GOOD = Section("Mine", "words", [Chart({"data": {"values": [{"a": 1}]}, "mark": "bar", "encoding": {}})])
TABLE = table_of([{"a": 1, "b": 2}])


def by_chance(shown: Any) -> Section:
    return Section("Mine", f"{next(counting)}")


counting = iter(range(100))


def draws(shown: Any) -> Section:
    random.random()
    return GOOD


def takes(shown: Any) -> Section:
    shown.runs.pop()
    return GOOD


def last_step(shown: Any) -> Section:
    return Section("Mine", str(max(e.step for _, run in shown.runs for e in run if e.quantity == "I_TY")))


def test_a_good_one_passes() -> None:
    assert set(check_section(lambda: of(GOOD))) == {
        "a run", "one snapshot", "two runs", "seeds of one setting", "a run without I(T̃;Y)",
        "a sweep over noise sizes",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (of(None), "expected a Section on one page at least"),
        (of("words"), "on a page of a run: expected a Section or None, got 'words'"),
        (of(Section("")), "expected a heading and a text"),
        (of(Section("Mine")), "expected words, charts or a table; got none"),
        (of(Section("Mine", charts=[Chart({"mark": "bar", "height": float("inf")})])), "specification that is JSON"),
        (of(Section("Mine", charts=[Chart({"no": "chart"})])), "expected a Vega-Lite specification"),
        (of(Section("Mine", table=replace(TABLE, rows=(Line(()),)))), "expected 2 cells in a row, got 0"),
        (by_chance, "expected the same section of the same runs"),
        (draws, "the global generator of random was drawn from"),
        (takes, "on a page of a run: expected .*"),
        (last_step, r"on a page of a run without I\(T̃;Y\): expected a Section or None, got ValueError"),
        (3, "expected a function of what is shown, got 3"),
    ],
)
def test_a_broken_one_is_told(make: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_section(lambda: make)


def test_the_kit_imports_no_pytest() -> None:
    code = "import ibprobe.testing, sys; sys.exit('pytest' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""A report opened from disk in Chromium, with the network off: what a person would see and do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lens.planted import design, key
from show.scenes import training_run

from ibprobe.lens import findings
from ibprobe.lens import write_report as write_lens
from ibprobe.lens.runs import HELD_OUT, SHIFTED
from ibprobe.show.report import write_report

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.browser

SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
SEEN = "figure => figure.view"
COUNT = """(figure) => {
  let found = 0;
  const visit = (node) => {
    if (node.name === "points_of_layers_marks") found += node.items.length;
    (node.items ?? []).forEach(visit);
  };
  visit(figure.view.scenegraph().root);
  return found;
}"""
"""Points that are drawn in a plane."""
PLACE = """(figure, wanted) => {
  let place = null;
  const visit = (node) => {
    for (const item of node.items ?? []) {
      if (node.name === "points_of_layers_marks" && item.datum.layer === wanted[0] && item.datum.step === wanted[1]) {
        place = [item.x, item.y];
      }
      visit(item);
    }
  };
  visit(figure.view.scenegraph().root);
  const canvas = figure.querySelector("canvas").getBoundingClientRect();
  const [left, top] = figure.view.origin();
  const padding = figure.view.padding();
  return [canvas.x + padding.left + left + place[0], canvas.y + padding.top + top + place[1]];
}"""
"""Where a point is on the screen."""


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


class Reader:
    """A page, and everything that it complained about."""

    def __init__(self, browser: playwright.Browser, path: Path, look: str = "light") -> None:
        context = browser.new_context(viewport={"width": 1440, "height": 900}, color_scheme=look, offline=True)
        self.page = context.new_page()
        self.complaints: list[str] = []
        self.asked_for: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked_for.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_function("document.querySelector('figure')?.view")

    def count(self, number: int = 0) -> int:
        """Points drawn in a plane."""
        return self.page.locator("figure").nth(number).evaluate(COUNT)

    def hover(self, layer: str, step: int) -> str:
        """Point at a point; what the tooltip says."""
        x, y = self.page.locator("figure").first.evaluate(PLACE, [layer, step])
        self.page.mouse.move(x, y)
        self.page.wait_for_selector("#vg-tooltip-element.visible")
        return self.page.inner_text("#vg-tooltip-element")

    def scroll_through(self) -> None:
        """Bring every chart into view, for they are drawn when they come there."""
        for figure in self.page.locator("figure").all():
            figure.scroll_into_view_if_needed()
            handle = figure.element_handle()
            self.page.wait_for_function(SEEN, arg=handle)
        self.page.evaluate("scrollTo(0, 0)")

    def keep(self, name: str) -> None:
        """A screenshot for people to look at."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report([("few", training_run())], tmp_path_factory.mktemp("page") / "few.html")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    records = training_run(layers=50, snapshots=200, splits=("train",), last_step=100_000)
    return write_report([("many", records)], tmp_path_factory.mktemp("page") / "many.html")


def test_every_point_is_drawn_without_a_network_and_without_a_complaint(browser, few):
    reader = Reader(browser, few)
    reader.scroll_through()
    assert [reader.count(0), reader.count(1)] == [5 * 12, 5 * 12]
    assert reader.complaints == []
    assert [url for url in reader.asked_for if not url.startswith(("file:", "data:", "blob:"))] == []


def test_the_slider_goes_back_to_the_first_step(browser, few):
    reader = Reader(browser, few)
    reader.page.locator("#snapshot").fill("0")
    reader.page.wait_for_function("document.querySelector('#step').value.startsWith('0 of')")
    reader.page.wait_for_timeout(200)
    assert reader.count() == 5
    assert reader.complaints == []


def test_a_tooltip_holds_both_records_and_what_the_flags_advise(browser, few):
    text = Reader(browser, few).hover("block2", 1000)
    [last] = [e for e in training_run().select(layer="block2", step=1000, split="train", quantity="I_XT")]
    assert f"{last.nats:.3f} nats" in text
    assert f"[{last.bracket_low:.3f}, {last.bracket_high:.3f}]" in text
    assert "I(T̃;Y)" in text
    assert "at_ceiling" in text
    assert "Measure with a larger sigma" in text


def test_the_step_axis_can_be_linear_and_the_look_dark(browser, few):
    reader = Reader(browser, few)
    reader.scroll_through()
    reader.page.select_option("#scale", "linear")
    reader.page.select_option("#look", "dark")
    reader.page.wait_for_timeout(500)
    assert reader.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 27)"
    kinds = "figure => figure.view.scale('x').type"
    assert reader.page.locator("figure").nth(2).evaluate(kinds) == "linear"
    assert reader.complaints == []


@pytest.mark.parametrize("look", ["light", "dark"])
def test_pictures_are_kept_for_people_to_look_at(browser, few, many, look):
    for name, path in (("5-layers", few), ("50-layers", many)):
        reader = Reader(browser, path, look)
        reader.scroll_through()
        reader.keep(f"{name}-{look}")
        assert reader.complaints == []


def test_fifty_layers_at_two_hundred_snapshots_are_all_drawn(browser, many):
    reader = Reader(browser, many)
    assert reader.count() == 50 * 200
    assert many.stat().st_size < 5e6
    assert reader.complaints == []


def test_the_lens_is_drawn_whole_in_both_looks_without_a_complaint(browser, tmp_path):
    runs = design(np.random.default_rng(1), effect=-0.4)
    for number, run in enumerate(runs):
        run.values |= {HELD_OUT: 0.9, SHIFTED: 0.5 + 0.01 * number, key("late", "fall"): 0.1 * number}
    for look in ("light", "dark"):
        reader = Reader(browser, write_lens(findings(runs), tmp_path / "lens.html"), look)
        reader.scroll_through()
        assert reader.page.locator("figure canvas").count() == reader.page.locator("figure").count() == 5
        assert "dropout = 0.5 against 0.0: less of X in early, middle, late" in reader.page.inner_text("dl")
        assert reader.complaints == []
        reader.keep(f"lens-{look}")

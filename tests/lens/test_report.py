"""Page, Markdown and JSON say the same: verdict first, then numbers, and what is not decided is called so."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from lens.planted import design, key, many_settings

from ibprobe.errors import BadInput
from ibprobe.lens import findings, write_report
from ibprobe.lens.chart_effects import forest, responses
from ibprobe.lens.chart_runs import parallel, scatter
from ibprobe.lens.commands import lens
from ibprobe.lens.design import Design
from ibprobe.lens.findings import Findings
from ibprobe.lens.markdown import markdown
from ibprobe.lens.report import page
from ibprobe.lens.runs import HELD_OUT, SHIFTED
from ibprobe.lens.words import limits, placebo, verdict
from ibprobe.show.pictures import rendered
from ibprobe.show.theme import themed


@pytest.fixture
def found() -> Findings:
    """A design in which dropout does something."""
    runs = design(np.random.default_rng(1), effect=-0.4)
    for run in runs:
        run.values |= {key("early", split="held_out", quantity="I_TY"): 1.5, HELD_OUT: 0.9, SHIFTED: 0.5}
    return findings(runs, design=Design("a.b:train", {"dropout": (0.0, 0.25, 0.5)}, tuple(range(8))))


def test_the_verdict_names_direction_and_layers(found: Findings) -> None:
    (quarter, half) = found.comparisons["dropout"]
    assert verdict(half, found) == "dropout = 0.5 against 0.0: less of X in early, middle, late"
    assert verdict(quarter, found).startswith("dropout = 0.25 against 0.0: less of X in ")
    assert placebo(found).startswith("The placebo shows an effect in 0 of ")


def test_few_seeds_show_the_difference_without_a_verdict() -> None:
    few = findings(design(np.random.default_rng(1), effect=-0.4, seeds=3))
    said = verdict(few.comparisons["dropout"][-1], few)
    assert said.startswith("dropout = 0.5 against 0.0: not decided, for 3 seeds are too few (8 are asked for); largest")
    assert "largest difference of I(X;T̃), in nats, in " in said
    assert "0 of 3 seeds higher" in said


def test_what_absolute_noise_alone_shows_is_called_scale() -> None:
    runs = design(np.random.default_rng(1), noise=0.02)
    for run in runs:
        run.values |= {
            k._replace(how="absolute"): v - 2 * float(run.settings["dropout"]) for k, v in run.values.items()
        }
    of = findings(runs)
    said = verdict(of.comparisons["dropout"][-1], of)
    assert said.endswith("no effect in early, middle, late; a matter of scale only in early, middle, late")


def test_every_form_is_written_and_holds_every_effect(found: Findings, tmp_path: Path) -> None:
    written = [write_report(found, tmp_path / f"lens.{ending}") for ending in ("md", "json", "html")]
    text, told, html = (path.read_text(encoding="utf-8") for path in written)
    effects = json.loads(told)["effects"]
    assert len(effects) == sum(len(c.effects) for of in found.comparisons.values() for c in of)
    late = next(e for e in effects if e["level"] == 0.5 and e["layer"] == "late" and e["quantity"] == "I_XT")
    for shown in (text, html):
        assert f"{late['mean']:+.2f} [{late['low']:+.2f}, {late['high']:+.2f}], 0/8: less" in shown
        assert "Dropout compresses." in shown
        assert "placebo" in shown
    assert "a.b:train" in html


def test_the_page_has_verdicts_differences_and_dose_response(found: Findings) -> None:
    made = page(found)
    boxes = {name: texts for name, _, texts in made.cases[0]["verdict"]}
    assert len(boxes["What changes the layers"]) == 2
    assert len(boxes["Placebo"]) == 2
    assert [section.heading for section in made.sections][:2] == ["dropout", "Placebo: another order of the data"]
    assert {section.table.id for section in made.sections if section.table} >= {
        "claims",
        "effects-dropout",
        "outcomes",
        "design",
    }


def test_every_chart_can_be_drawn(found: Findings) -> None:
    specs = [
        forest(found.comparisons["dropout"], "training", "train", "I_XT", "title"),
        responses(found.doses["dropout"], "train", ("I_XT",)),
        scatter(many_settings(np.random.default_rng(0)), "train", "I_XT", SHIFTED, {"setting": 0}),
    ]
    specs.append(parallel(many_settings(np.random.default_rng(0)), "train", {"setting": 0}))
    for spec in specs:
        assert rendered(themed(spec), "svg").startswith(b"<svg")
    assert forest(found.comparisons["dropout"], "sampled", "train", "I_XT", "title") == {}


def test_another_ending_is_refused(found: Findings, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"expected a name that ends in .html, .md, .json; got '.pdf'"):
        write_report(found, tmp_path / "lens.pdf")


def test_markdown_of_one_factor_leaves_out_what_is_of_all(found: Findings) -> None:
    text = "\n".join(markdown(found, ["dropout"]))
    assert "### Along dropout, change a level" in text
    assert "Claims" not in text
    assert "placebo" not in text


def test_limits_are_said_once(found: Findings) -> None:
    for factors in ([], ["dropout"]):
        assert "\n".join(markdown(found, factors)).count(limits(found)) == 1


def test_a_folder_without_runs_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(lens, ["report", str(tmp_path), "-o", str(tmp_path / "lens.md")])
    assert isinstance(done.exception, BadInput)
    assert "no run could be read" in str(done.exception)

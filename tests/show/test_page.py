"""A whole page: every number on it is the record's, and it needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from record_factory import critic, estimate, interval
from show.scenes import training_run
from show.unpacked import Tables, payload_of, rows_of

from ibprobe.errors import BadInput
from ibprobe.record.records import Estimate, Event, Logged, Records
from ibprobe.show.packing import columns, deflate
from ibprobe.show.panels import FIELDS
from ibprobe.show.report import page_of, write_report

RUN = training_run(layers=3, snapshots=5)
BESIDE = critic("I_XT", 4.9, layer="block1", step=1000, headline=False, split="train", flags=frozenset())
EVENT = Event(step=9, kind="not_measured", layer="<script>", quantity="I_TY", why="a & b")
LOGGED = (Logged(0, {"loss": 2.5}), Logged(9, {"loss": 1.5}))
RECORDS = replace(RUN, estimates=(*RUN, BESIDE), events=(*RUN.events, EVENT), logged=LOGGED)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = write_report([("<b>run</b>", RECORDS)], tmp_path_factory.mktemp("page") / "new" / "page.html")
    return path.read_text(encoding="utf-8")


def shown(row: dict[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    """Fields of one of the two records of a row."""
    return ((field, row[f"{name}_{field}"]) for field in FIELDS)


def as_shown(value: Any) -> Any:
    return ", ".join(map(str, sorted(value))) if isinstance(value, tuple | frozenset) else value


def test_every_field_of_every_headline_record_is_in_the_page(page):
    datasets = [rows_of(packed) for packed in payload_of(page)["datasets"]]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for rows, split in zip(datasets, ("train", "held_out"), strict=True):
        for row in rows:
            for name, quantity in (("xt", "I_XT"), ("ty", "I_TY")):
                found[split, row["layer"], row["step"], quantity] = dict(shown(row, name))
    headline = [e for e in RECORDS if e.headline]
    assert len(found) == len(headline) == 2 * 3 * 5 * 2
    for e in headline:
        assert found[e.split, e.layer, e.step, e.quantity] == {f: as_shown(getattr(e, f)) for f in FIELDS}


def last(layer: str, quantity: str, split: str = "train", estimator: str = "channel") -> Estimate:
    return RECORDS.one(layer=layer, quantity=quantity, split=split, step=1000, estimator=estimator)


def test_the_final_values_are_the_rounded_records_and_their_titles_all_digits(page):
    rows = Tables(page).tables["finals"]
    for head, *row in ([cell for cell in row] for row in rows[1:4]):
        xt, ty = last(head[0], "I_XT"), last(head[0], "I_TY")
        values = row[2:]
        assert values[0] == (f"{xt.nats:.3f}", repr(xt.nats))
        bracket = f"[{xt.bracket_low:.3f}, {xt.bracket_high:.3f}]"
        assert values[1] == (bracket, f"{xt.bracket_low!r}, {xt.bracket_high!r}")
        assert values[2] == (f"[{xt.ci_low:.3f}, {xt.ci_high:.3f}]", f"{xt.ci_low!r}, {xt.ci_high!r}")
        assert values[4] == (f"{ty.nats:.3f}", repr(ty.nats))
        fall = f"{xt.fall:.3f} [{xt.fall_low:.3f}, {xt.fall_high:.3f}]"
        assert values[-2] == (fall, f"{xt.fall!r}, {xt.fall_low!r}, {xt.fall_high!r}")


def test_a_critic_has_a_column_of_its_own(page):
    rows = Tables(page).named("finals")
    assert [row["mine"] for row in rows[:3]] == [("–", ""), ("4.900", "4.9"), ("–", "")]


def test_flagged_rows_are_marked_and_their_flags_explained(page):
    assert page.count('<tr class="flagged">') == 2
    [flag] = Tables(page).named("flags")
    assert flag["flag"][0] == "at_ceiling"
    assert flag["layers, at some step"][0] == "block1"


def test_the_way_it_was_measured_is_told(page):
    told = {row[0][0]: row[1][0] for row in Tables(page).tables["measurement"][1:]}
    assert (told["model"], told["noise"], told["σ"], told["seed"]) == ("Encoder", "relative", "0.25", "0")
    assert told["config: lr"] == "0.001"
    assert told["cost of the probe"].startswith("measured 12 of 15 due steps")


def test_what_was_left_out_is_told_with_its_reason(page):
    rows = [[text for text, _ in row] for row in Tables(page).tables["events"][1:]]
    assert ["skipped", "", "3 due steps did not fit the budget", "1000"] in rows
    assert ["not measured", "<script> I(T̃;Y)", "a & b", "9"] in rows


def test_names_are_text_never_markup(page):
    body = page.partition("<main>")[2].partition("</main>")[0]
    assert "<title>Information plane of &lt;b&gt;run&lt;/b&gt;</title>" in page
    assert "&lt;script&gt;" in body
    assert "<script" not in body


def test_nothing_is_fetched(page):
    before_scripts = page.partition("<script")[0]
    assert not re.search(r"(?:src|href)=|@import|url\(", before_scripts)


def test_every_figure_has_its_chart_and_every_chart_its_points(page):
    payload = payload_of(page)
    named = re.findall(r'<figure data-chart="(\w+)">', page)
    assert sorted(named) == sorted(payload["charts"])
    assert {c["points"] for c in payload["charts"].values()} == {None, 0, 1}
    assert payload["charts"]["chart0"]["steps"] == RECORDS.steps


def test_sections_of_the_page_come_in_order(page):
    headings = re.findall(r"<h2>(.*?)</h2>", page.partition("</main>")[0])
    assert headings == [
        "Against the training step", "Compression", "Critics beside brackets", "Final values", "Flags explained",
        "How it was measured", "What was left out, and why",
    ]  # fmt: skip


def test_the_users_curve_is_on_the_page(page):
    values = [c["spec"].get("data", {}).get("values") for c in payload_of(page)["charts"].values()]
    assert [{"step": 0, "value": 2.5}, {"step": 9, "value": 1.5}] in values


def test_a_page_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibprobe.show.page._bundle", lambda: "")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        write_report([("run", Records((estimate(),)))], tmp_path / "file" / "page.html")


def tables(*estimates: Estimate, runs: int = 1) -> dict[str, Any]:
    named = [(f"run{i}", Records(estimates, (), {"config": {"lr": i}})) for i in range(runs)]
    return {s.table.id: s.table for s in page_of(named).sections if s.table}


def test_final_values_at_several_sizes_of_noise_say_of_which():
    finals = tables(estimate(), estimate(sigma=0.5))["finals"]
    assert finals.columns[1] == "of"
    assert len({line.cells[1].text for line in finals.rows}) == 2


def test_an_upper_end_is_no_value():
    finals = tables(estimate(bound="upper end", bracket_low=None))["finals"]
    assert [cell.text for cell in finals.rows[0].cells[2:4]] == ["≤ 5.250", "[–, 5.400]"]


def test_a_critic_of_an_earlier_step_says_so():
    beside = critic("I_XT", 4.9, step=0, headline=False)
    finals = tables(estimate(step=0), beside, estimate(step=90))["finals"]
    assert [(c.text, c.title) for c in finals.rows[0].cells if c.title == "4.9"] == [("4.900 at 0", "4.9")]


def test_what_auto_came_to_is_told_of_each_layer():
    def told(*seen: tuple[str, str]) -> str:
        records = Records(tuple(estimate(layer=layer, view=view) for layer, view in seen), (), {"view": "auto"})
        made = {s.table.id: s.table.rows for s in page_of([("run", records)]).sections if s.table}
        told = {line.cells[0].text: line.cells[1].text for line in made["measurement"]}
        return told["view of a layer's output"]

    assert told(("a", "as is"), ("b", "as is")) == "auto: as is"
    assert (
        told(("conv", "mean over space"), ("b", "as is"), ("c", "as is"))
        == "auto: mean over space (conv), as is (b, c)"
    )


def test_several_runs_have_a_column_each():
    made = tables(estimate(), interval("I_TY", 0.4, 0.6), runs=2)
    assert made["measurement"].columns == ("", "lr = 0", "lr = 1")
    assert [line.cells[1].text for line in made["finals"].rows] == ["lr = 0 · training rows", "lr = 1 · training rows"]


def test_a_sweep_is_shown_as_one():
    sizes = [e for s in (0.1, 0.2, 0.4) for e in (estimate(sigma=s), interval("I_TY", 0.4, 0.6, sigma=s))]
    page = page_of([("sweep", Records(tuple(sizes)))])
    assert [section.heading for section in page.sections if section.charts] == ["At every noise size"]
    assert page.cases == []


@pytest.mark.slow
def test_fifty_layers_at_two_hundred_snapshots_are_below_five_megabytes():
    page = page_of([("many", training_run(50, 200, ("train",), 100_000))])
    packed = deflate({"charts": page._charts, "datasets": [columns(p.rows) for p in page._panels.values()]})
    # The scripts that draw take 1.1 MB of the five.
    assert len(packed) < 3.9e6


def test_a_sweep_beside_a_run_hides_no_plane():
    sizes = Records(tuple(estimate(sigma=s) for s in (0.1, 0.2, 0.4)), (), {"sigmas": [0.1, 0.2, 0.4]})
    page = page_of([("sweep", sizes), ("run", RUN)])
    assert [len(case["planes"]) for case in page.cases] == [2]
    assert "At every noise size" in [section.heading for section in page.sections]


def test_a_flag_that_ibprobe_does_not_know_is_listed_too():
    flags = tables(estimate(flags=frozenset({"few_rows", "of_a_plugin"})))["flags"]
    assert [line.cells[0].text for line in flags.rows] == ["few_rows", "of_a_plugin"]

"""``ibprobe report`` as a user types it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from record_factory import estimate, interval
from show.unpacked import Tables

from ibprobe.cli import main
from ibprobe.record.records import Estimate, Event
from ibprobe.record.rundir import RunDir

LAST = (estimate(step=90, nats=4.5), interval("I_TY", 0.9, 1.1, step=90))
POINTS = (estimate(step=0), interval("I_TY", 0.4, 0.6, step=0), *LAST)


def report(*args: object) -> Result:
    return CliRunner().invoke(main, ["report", *map(str, args)])


@pytest.fixture(autouse=True)
def _without_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts that draw take a second and a megabyte, and are tested with the page."""
    monkeypatch.setattr("ibprobe.show.page._bundle", lambda: "")


def write(
    path: Path, estimates: Iterable[Estimate] = POINTS, events: Iterable[Event] = (), *, seed: int = 0, **meta: Any
) -> Path:
    run = RunDir(path)
    run.open({"model": "Net", "seed": seed, **meta})
    run.write(tuple(estimates), tuple(events))
    run.close("")
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write(tmp_path / "run")


def finals(page: Path) -> list[dict[str, tuple[str, str]]]:
    return Tables(page.read_text()).named("finals")


def test_the_page_is_written_here_and_its_name_and_size_are_said(run: Path) -> None:
    result = report(run)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("report.html (")
    assert finals(Path("report.html"))[0]["I(X;T̃)"] == ("4.500", "4.5")
    assert "Information plane of run" in Path("report.html").read_text()


def test_a_name_for_the_page_is_heeded_and_its_folder_made(run: Path, tmp_path: Path) -> None:
    assert report(run, "-o", tmp_path / "new" / "page.html").exit_code == 0
    assert (tmp_path / "new" / "page.html").is_file()
    assert not Path("report.html").exists()


def test_seeds_are_averaged_and_shown_apart_on_request(tmp_path: Path) -> None:
    runs = [write(tmp_path / f"s{i}", (replace(p, nats=p.nats + i) for p in POINTS), seed=i) for i in (0, 1)]
    assert report(*runs).exit_code == 0
    [mean] = finals(Path("report.html"))
    assert mean["I(X;T̃)"] == ("5.000", "5.0")
    assert report(*runs, "--separate").exit_code == 0
    assert [row["I(X;T̃)"][0] for row in finals(Path("report.html"))] == ["4.500", "5.500"]


def test_folders_of_one_name_are_shown_apart(tmp_path: Path) -> None:
    runs = [write(tmp_path / f"{i}" / "ib", seed=i) for i in (0, 1)]
    assert report(*runs, "--separate").exit_code == 0
    assert [row["of"][0] for row in finals(Path("report.html"))] == ["ib #1 · training rows", "ib #2 · training rows"]


def test_other_settings_are_named_by_what_differs(tmp_path: Path) -> None:
    runs = [write(tmp_path / lr, config={"lr": float(lr)}) for lr in ("0.1", "0.01")]
    assert report(*runs).exit_code == 0
    assert [row["of"][0].partition(" · ")[0] for row in finals(Path("report.html"))] == ["lr = 0.1", "lr = 0.01"]


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_pictures_alone_need_no_page(kind: str, run: Path, tmp_path: Path) -> None:
    result = report(run, f"--{kind}", tmp_path / "figures", "--look", "dark")
    assert result.exit_code == 0, result.output
    names = {path.name for path in (tmp_path / "figures").iterdir()}
    assert names == {f"{name}.{kind}" for name in ("plane-train", "input-train", "target-train", "compression")}
    assert len(result.stdout.splitlines()) == 4
    assert not Path("report.html").exists()


def test_a_torn_last_line_is_left_out_and_said(run: Path) -> None:
    with (run / "records.jsonl").open("a") as file:
        file.write('{"step": 99, "lay')
    assert report(run).exit_code == 0
    assert finals(Path("report.html"))[0]["step"][0] == "90"
    assert "the last line of records.jsonl is torn" in Path("report.html").read_text()


def test_a_damaged_run_is_shown_as_far_as_it_can_be_read(run: Path) -> None:
    lines = (run / "records.jsonl").read_text().splitlines(keepends=True)
    (run / "records.jsonl").write_text(lines[0] + "garbage\n" + "".join(lines[1:]))
    result = report(run)
    assert result.exit_code == 1
    assert "line 2 is damaged" in result.stderr
    assert "showing the 4 estimates that could be read" in result.stderr
    assert finals(Path("report.html"))[0]["I(X;T̃)"][0] == "4.500"


def one_line(result: Result, text: str) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("ibprobe: ")
    assert result.stderr.count("\n") == 1
    assert text in result.stderr
    assert not Path("report.html").exists()


def test_a_foreign_or_missing_folder_is_one_line(tmp_path: Path) -> None:
    one_line(report(tmp_path), "is no run directory")
    one_line(report(tmp_path / "nowhere"), "is no run directory")


def test_the_folder_of_runs_names_the_newest(run: Path) -> None:
    one_line(report(run.parent), f"the newest is {run}")


def test_one_foreign_folder_among_runs_is_one_line(run: Path, tmp_path: Path) -> None:
    one_line(report(run, tmp_path / "nowhere"), "nowhere is no run directory")


def test_an_empty_run_says_why(tmp_path: Path) -> None:
    empty = write(tmp_path / "empty", (), [Event(step=0, kind="disarmed", why="the model has no layers")])
    one_line(report(empty), "no run holds an estimate: step 0: disarmed: the model has no layers")


def test_an_empty_run_beside_another_is_no_obstacle(run: Path, tmp_path: Path) -> None:
    assert report(run, write(tmp_path / "empty", ())).exit_code == 0


@pytest.mark.parametrize("option", ["-o", "--png", "--svg"])
def test_a_target_that_cannot_be_written_is_one_line(option: str, run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    one_line(report(run, option, tmp_path / "file" / "below"), "cannot write")


def test_without_the_extra_the_line_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    one_line(report(run), "pip install 'ibprobe[report]'")


def test_without_a_run_the_usage_is_shown():
    result = report()
    assert result.exit_code == 2
    assert "RUN" in result.stderr

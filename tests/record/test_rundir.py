"""What is measured is on disk at once, comes back as it was, and a damaged run says how."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from record_factory import INF, critic, estimate

from ibprobe.errors import BadRun
from ibprobe.record.records import SCHEMA, Event, Logged, Records
from ibprobe.record.rundir import RunDir, load_run, new_run_dir

ESTIMATES = (
    estimate(step=0, bracket_high=INF, ci_high=INF),
    estimate(step=0, quantity="I_TY", nats=0.1 + 0.2, flags=frozenset()),
    critic("I_XT", 4.9, layer="блок.0\u2028", step=20, span=(18, 20)),
)
EVENTS = (
    Event(step=0, kind="not_measured", layer="fc2", quantity="I_TY", why="no targets", split="train"),
    Event(step=20, kind="skipped", why="over\nbudget"),
)


@pytest.fixture
def opened():
    """Opens runs, and closes them when the test is over."""
    with ExitStack() as closing:

        def opened(path: Path, **meta: Any) -> RunDir:
            run = RunDir(path)
            closing.callback(run.close, "")
            run.open(meta)
            return run

        yield opened


@pytest.fixture
def run(opened, tmp_path):
    """A run of two snapshots, still open."""
    run = opened(tmp_path / "a" / "run", layers=["fc1"], config={"lr": 0.1})
    run.write(ESTIMATES[:2], EVENTS[:1])
    run.write(ESTIMATES[2:], EVENTS[1:])
    return run


def tear(path: Path) -> None:
    """As a kill in the middle of a write leaves it."""
    path.write_bytes(path.read_bytes()[:-25])


def test_records_come_back_one_by_one_as_they_were(run):
    run.close("done")
    back = load_run(run.path)
    for ours, theirs in zip((*ESTIMATES, *EVENTS), (*back.estimates, *back.events), strict=True):
        assert ours == theirs


def test_a_run_is_readable_while_it_is_written(run):
    assert len(load_run(run.path)) == 3
    run.write([estimate(step=30)], [])
    assert load_run(str(run.path)).estimates[-1] == estimate(step=30)


def test_lines_are_only_ever_appended(run):
    before = (run.path / "records.jsonl").read_bytes()
    run.write([estimate(step=30)], [])
    assert (run.path / "records.jsonl").read_bytes().startswith(before)


def test_each_line_is_strict_json_that_any_reader_takes(run):
    for name, count in (("records", 3), ("events", 2)):
        lines = (run.path / f"{name}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
        assert len([json.loads(line, parse_constant=pytest.fail) for line in lines]) == count


def test_meta_comes_back_with_the_schema(run):
    assert load_run(run.path).meta == {"schema": SCHEMA, "layers": ["fc1"], "config": {"lr": 0.1}}


def test_a_run_without_any_record_is_an_empty_run(opened, tmp_path):
    opened(tmp_path)
    assert load_run(tmp_path) == Records(meta={"schema": SCHEMA})


def test_closing_twice_and_an_empty_write_do_no_harm(run):
    run.write([], [])
    run.tick()
    run.close("")
    run.close("")
    assert len(load_run(run.path)) == 3


def test_config_values_that_json_does_not_know_are_kept_as_text(opened, tmp_path):
    config = {
        "path": Path("data/x"), "lr": torch.tensor(0.5), "limit": INF, (1, 2): {3: {"a"}}, "name": "\udc80", "on": True,
    }  # fmt: skip
    opened(tmp_path, config=config)
    assert load_run(tmp_path).meta["config"] == {
        "path": "data/x", "lr": 0.5, "limit": "Infinity", "(1, 2)": {"3": ["a"]}, "name": "\udc80", "on": True,
    }  # fmt: skip


def test_two_runs_get_different_directories_that_sort_by_time():
    names = {new_run_dir().name for _ in range(50)}
    assert len(names) == 50
    assert all(len(n) == len("20260101T000000Z-abcdef") for n in names)


def test_a_second_run_in_the_same_directory_is_refused(run):
    with pytest.raises(BadRun, match="already holds a run: give a new path"):
        RunDir(run.path).check("another")
    assert len(load_run(run.path)) == 3


def test_of_two_probes_that_wait_for_one_directory_the_second_to_open_fails(opened, tmp_path):
    second = RunDir(tmp_path)
    opened(tmp_path, layers=["fc1"])
    with pytest.raises(BadRun):
        second.open({})
    assert load_run(tmp_path).meta["layers"] == ["fc1"]


@pytest.mark.parametrize("name", ["records", "events"])
def test_a_torn_last_line_is_left_out_and_noted(run, name):
    tear(run.path / f"{name}.jsonl")
    back = load_run(run.path)
    assert len(back) + len(back.events) == 5
    assert back.events[-1] == Event(step=0, kind="note", why=f"the last line of {name}.jsonl is torn and was left out")


def test_a_line_torn_within_a_character_is_left_out_too(run):
    with (run.path / "records.jsonl").open("ab") as file:
        file.write('{"step": 1, "layer": "б'.encode()[:-1])
    assert len(load_run(run.path)) == 3


@pytest.mark.parametrize("line", ['{"step": 1, "lay', "3", "null"])
def test_a_damaged_line_in_the_middle_is_an_error_with_its_number(run, line):
    path = run.path / "records.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([lines[0], line, *lines[2:]]), encoding="utf-8")
    with pytest.raises(BadRun, match=r"records\.jsonl, line 2 is damaged: .*; 2 records are readable"):
        load_run(run.path)


def test_what_could_be_read_of_a_damaged_run_comes_with_the_error(run):
    path = run.path / "records.jsonl"
    lines = path.read_text(encoding="utf-8").split("\n")
    path.write_text("\n".join([lines[0], "3", *lines[2:]]), encoding="utf-8")
    with pytest.raises(BadRun) as caught:
        load_run(run.path)
    assert caught.value.records.estimates == (ESTIMATES[0], ESTIMATES[2])
    assert "line 2 is damaged" in caught.value.records.events[-1].why


def test_records_without_a_meta_come_with_the_error(run):
    (run.path / "meta.json").unlink()
    with pytest.raises(BadRun, match="is no run directory") as caught:
        load_run(run.path)
    assert caught.value.records.estimates == ESTIMATES


def test_what_the_user_logs_comes_back_with_the_run(run):
    entries = (Logged(0, {"loss": 0.1 + 0.2}), Logged(3, {"loss": INF, "error": 1.0}))
    for entry in entries:
        run.log(entry)
    run.write([], [])
    assert load_run(run.path).logged == entries


@pytest.mark.parametrize("line", ["{}", "[]", '{"nats": 1.0, "flags": [], "span": [0, 0]}'])
def test_lines_that_are_no_records_are_an_error(run, line):
    (run.path / "records.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(BadRun, match="holds lines that are no ibprobe records"):
        load_run(run.path)


def test_a_number_that_is_none_is_an_error(run):
    line = json.dumps({**estimate().to_dict(), "nats": "much"})
    (run.path / "records.jsonl").write_text(line + "\n", encoding="utf-8")
    with pytest.raises(BadRun, match=r"no ibprobe records.*much"):
        load_run(run.path)


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_missing_directory_says_what_was_expected(tmp_path, folder):
    (tmp_path / "file").touch()
    with pytest.raises(BadRun, match=rf"{folder} is no run directory: expected meta\.json, records\.jsonl"):
        load_run(tmp_path / folder)


def test_the_directory_above_runs_says_which_run_is_the_newest(opened, tmp_path):
    for name in ("20260101T000000Z-ffffff", "20260102T000000Z-000000"):
        opened(tmp_path / name)
    with pytest.raises(BadRun, match=r"holds 2 of them, the newest is .*20260102T000000Z-000000"):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("meta", "why"),
    [
        ('{"layers": []}', "no schema number: it was not written by ibprobe"),
        ("[1]", "no schema number"),
        ('{"schema": "1"}', "no schema number"),
        ('{"schema": 1', "is not readable JSON"),
        ("\xff", "is not readable JSON"),
        ('{"schema": 99}', f"has schema 99, this version reads up to {SCHEMA}: upgrade ibprobe"),
    ],
)
def test_a_foreign_or_newer_meta_says_so(run, meta, why):
    (run.path / "meta.json").write_text(meta, encoding="latin-1")
    with pytest.raises(BadRun, match=why):
        load_run(run.path)

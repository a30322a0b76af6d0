"""Every number that a run records is in trackio, read back from its own storage, and the user's steps stay theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ibprobe_trackio import TrackioSink
from integrations.trackers import Scalars, assert_same, expected, own_entry, watched
from record_factory import INF, estimate

from ibprobe import BadInput, MissingExtra
from ibprobe.plugins import Plugins
from ibprobe.testing import check_sink


@pytest.fixture(scope="module")
def trackio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """trackio, which reads the place of its storage when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield pytest.importorskip("trackio", reason="pip install 'ibprobe[trackio]'")


@pytest.fixture
def begin(trackio: Any, request: pytest.FixtureRequest) -> Iterator[Callable[[], Any]]:
    """Begins a run of the user's, in a project of the test's own."""
    project = request.node.name.replace("_", "-")[:40]
    yield lambda: trackio.init(project=project, name="run", auto_log_cpu=False, auto_log_gpu=False, embed=False)
    trackio.finish()


@pytest.fixture(autouse=True)
def quick_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes two seconds to make; here it is about where it goes."""
    monkeypatch.setattr("ibprobe.sinks.trackers.plane_html", lambda records: f"<p>{len(records)} estimates</p>")


def rows(run: Any) -> list[dict[str, Any]]:
    """What its own storage reads, after the run has finished."""
    from trackio.sqlite_storage import SQLiteStorage

    run.finish()
    logs: list[dict[str, Any]] = SQLiteStorage.get_logs(run.project, run.name)
    return logs


def scalars(found: list[dict[str, Any]]) -> Scalars:
    made: dict[str, list[tuple[int, float]]] = {}
    for row in found:
        for key, value in row.items():
            if key.startswith("ib_") and not isinstance(value, str):
                made.setdefault(key, []).append((row["step"], value))
    return made


def test_the_active_run_has_every_number_at_its_training_step(begin: Callable[[], Any], tmp_path: Path) -> None:
    run = begin()
    [sink] = Plugins([own_entry("trackio")]).sinks(["trackio"])
    records = watched(sink, tmp_path / "run")
    assert_same(scalars(rows(run)), expected(records))


def test_rows_of_the_user_without_a_step_are_counted_as_if_nobody_watched(begin: Callable[[], Any]) -> None:
    run = begin()
    sink = TrackioSink(run)
    sink.open({})
    for i in range(3):
        run.log({"loss": i / 3})
        sink.write([estimate(step=1000 * i)], [])
        sink.tick()
    run.log({"loss": 1.0})
    sink.close("")
    found = rows(run)
    assert [(row["step"], row["loss"]) for row in found if "loss" in row] == [
        (0, 0.0),
        (1, 1 / 3),
        (2, 2 / 3),
        (3, 1.0),
    ]
    assert [row["step"] for row in found if "ib_I_XT/fc1" in row] == [0, 1000, 2000]


def test_settings_flags_and_infinite_ends_come_back(begin: Callable[[], Any], trackio: Any) -> None:
    run = begin()
    sink = TrackioSink(run)
    sink.open({"noise": "relative", "limit": INF})
    sink.write([estimate(bracket_high=INF, flags=frozenset({"few_rows", "at_ceiling"}))], [])
    sink.close("")
    [row] = [row for row in rows(run) if "ib_I_XT/fc1" in row]
    key = "ib_detail/I_XT/channel/train/fc1"
    assert (row[f"{key}/flags"], row[f"{key}/bracket_high"]) == ("at_ceiling,few_rows", INF)
    [stored] = list(trackio.Api().runs(run.project))
    assert stored.config["ibprobe"] == {"noise": "relative", "limit": "Infinity"}


def test_a_run_that_was_finished_first_still_takes_what_is_left(begin: Callable[[], Any]) -> None:
    run = begin()
    sink = TrackioSink(run)
    sink.open({})
    sink.write([estimate(step=0)], [])
    run.finish()
    sink.write([estimate(step=9)], [])
    sink.close("")
    assert scalars(rows(run))["ib_I_XT/fc1"] == [(0, 5.25), (9, 5.25)]


def test_the_plane_is_in_the_last_row(begin: Callable[[], Any]) -> None:
    run = begin()
    sink = TrackioSink(run)
    sink.open({})
    for step in (0, 8):
        sink.write([estimate(step=step)], [])
    sink.close("")
    [row] = [row for row in rows(run) if "ib/plane_html" in row]
    assert row["step"] == 8
    [page] = Path(os.environ["TRACKIO_DIR"]).rglob(row["ib/plane_html"]["file_path"])
    assert page.read_text(encoding="utf-8") == "<p>2 estimates</p>"


def test_it_keeps_what_every_sink_promises(begin: Callable[[], Any]) -> None:
    run = begin()

    def read() -> Iterator[tuple[int, float]]:
        yield from (point for points in scalars(rows(run)).values() for point in points)

    check_sink(lambda: TrackioSink(run), read, full_disk=False)  # it writes on a thread of its own


def test_without_an_active_run_the_error_says_what_to_call(trackio: Any) -> None:
    with pytest.raises(BadInput, match=r"no trackio run is active: call trackio\.init\(\) before, or pass"):
        TrackioSink().open({})


def test_without_trackio_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibprobe_trackio.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'ibprobe\[trackio\]'"):
        TrackioSink()

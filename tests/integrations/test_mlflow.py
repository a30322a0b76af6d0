"""Every number that a run records is in MLflow, read back by its client from its own store."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ibprobe_mlflow import MlflowSink
from integrations.trackers import Scalars, assert_same, expected, own_entry, watched
from record_factory import estimate, interval

from ibprobe import BadInput, Estimate, MissingExtra
from ibprobe.plugins import Plugins
from ibprobe.testing import check_sink

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning:mlflow"
)
mlflow: Any = pytest.importorskip("mlflow", reason="pip install 'ibprobe[mlflow]'")


@pytest.fixture(autouse=True)
def quick_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes two seconds to make; here it is about where it goes."""
    monkeypatch.setattr("ibprobe.sinks.trackers.plane_html", lambda records: f"<p>{len(records)}</p>")


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # The store that needs no database packages; MLflow asks to be told that it is wanted.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    mlflow.set_experiment("watched")
    yield mlflow.MlflowClient()
    mlflow.end_run()


def scalars(client: Any, run_id: str) -> Scalars:
    """What MLflow's own client reads."""
    names = client.get_run(run_id).data.metrics
    return {name: [(m.step, m.value) for m in client.get_metric_history(run_id, name)] for name in names}


def artifact(client: Any, run_id: str, path: str) -> str:
    return Path(client.download_artifacts(run_id, path)).read_text(encoding="utf-8")


def test_the_active_run_has_every_number_at_its_training_step_and_stays_active(client: Any, tmp_path: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5, step=3)
        [sink] = Plugins([own_entry("mlflow")]).sinks(["mlflow"])
        records = watched(sink, tmp_path / "run")
        assert mlflow.active_run().info.run_id == run.info.run_id
    found = dict(scalars(client, run.info.run_id))
    assert found.pop("loss") == [(3, 0.5)]
    assert_same(found, expected(records, within="."))


def test_settings_records_and_the_plane_are_artifacts(client: Any, tmp_path: Path) -> None:
    run_id = client.create_run(mlflow.get_experiment_by_name("watched").experiment_id).info.run_id
    records = watched(MlflowSink(run_id, client=client), tmp_path / "run")
    meta = json.loads(artifact(client, run_id, "ib/meta.json"))
    assert (meta["noise"], meta["layers"]) == (records.meta["noise"], records.meta["layers"])
    rows = list(csv.DictReader(io.StringIO(artifact(client, run_id, "ib/records.csv"))))
    assert [float(row["nats"]) for row in rows] == [e.nats for e in records]
    assert artifact(client, run_id, "ib/plane.html") == f"<p>{len(records)}</p>"


def test_flags_are_tags(client: Any) -> None:
    with mlflow.start_run() as run:
        sink = MlflowSink(run)
        sink.open({})
        sink.write([estimate(flags=frozenset({"few_rows"})), interval("I_TY", 0.4, 0.6, flags=frozenset())], [])
        sink.close("")
    tags = {k: v for k, v in client.get_run(run.info.run_id).data.tags.items() if k.startswith("ib_")}
    assert tags == {"ib_detail/I_XT/channel/train/fc1/flags": "few_rows"}


def test_a_run_that_was_ended_first_still_takes_what_is_left(client: Any) -> None:
    with mlflow.start_run() as run:
        sink = MlflowSink()
        sink.open({})
        sink.write([estimate(step=0)], [])
    sink.write([estimate(step=9)], [])
    sink.close("")
    assert scalars(client, run.info.run_id)["ib_I_XT/fc1"] == [(0, 5.25), (9, 5.25)]


@pytest.mark.slow
def test_it_keeps_what_every_sink_promises(client: Any) -> None:
    with mlflow.start_run() as run:

        def read() -> Iterator[tuple[int, float]]:
            yield from (point for points in scalars(client, run.info.run_id).values() for point in points)

        check_sink(lambda: MlflowSink(run), read)


def test_training_does_not_wait_for_a_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Slow:
        def log_dict(self, *args: Any) -> None:
            time.sleep(30)

    sink = MlflowSink("a-run", client=Slow(), patience=0.2)
    started = time.perf_counter()
    sink.open({})
    sink.write([estimate()], [])
    sink.close("")
    assert time.perf_counter() - started < 10
    [line] = [r.getMessage() for r in caplog.records]
    assert line.startswith("ibprobe: MlflowSink has not brought everything to its place within 0.2 s")


def test_without_an_active_run_the_error_says_what_to_call(client: Any) -> None:
    with pytest.raises(BadInput, match=r"no MLflow run is active: call mlflow\.start_run\(\) before, or pass"):
        MlflowSink().open({})


def test_more_numbers_than_mlflow_takes_at_once_come_in_parts() -> None:
    sizes: list[int] = []

    class Counts:
        def log_dict(self, *args: Any) -> None: ...

        def log_text(self, *args: Any) -> None: ...

        def set_tag(self, *args: Any) -> None: ...

        def log_batch(self, run_id: str, metrics: list[Any]) -> None:
            sizes.append(len(metrics))

    sink, many = MlflowSink("a-run", client=Counts()), [f"l{i}" for i in range(16)]
    sink.open({"layers": many})
    both: list[Estimate] = [estimate(layer=n, estimator=f"e{i}") for n in many for i in range(4)]
    sink.write(both, [])
    sink.close("")
    assert max(sizes) == 1000
    assert sum(sizes) > 1000


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibprobe_mlflow.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'ibprobe\[mlflow\]'"):
        MlflowSink()

"""MLflow as a sink: ``IBProbe(model, sinks=["auto", "mlflow"])`` logs to the active run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from ibprobe import BadInput, MissingExtra, Records, hookimpl
from ibprobe.hookspecs import SinkPlugin
from ibprobe.sinks.trackers import Numbers, TrackerSink, as_csv, as_page

__all__ = ["MlflowSink"]

_BATCH = 1000
"""Metrics that MLflow takes in one call."""


class MlflowSink(TrackerSink):
    """Metrics under W&B's keys, at the training step; flags as tags; settings, records and the plane as artifacts.

    Layers' names keep their dots. Every call may wait for a server, so a thread makes them.

    Args:
        run: your run or its id; by default the active one. It stays yours: the sink neither starts nor ends it.
        client: an ``MlflowClient``; by default one for the tracking URI that is set when the run begins.
        patience: seconds that the end of the run waits for a slow server.

    Raises:
        MissingExtra: mlflow is not installed.
    """

    def __init__(self, run: Any = None, *, client: Any = None, patience: float = 30.0) -> None:
        # A store of files has a folder for each part of a key: no key may go on where another one ends.
        super().__init__(patience, within=".")
        self._given, self._client = run, client
        if find_spec("mlflow") is None:
            raise MissingExtra("MlflowSink", "mlflow", "mlflow")

    def _begin(self, meta: Mapping[str, Any]) -> None:
        import mlflow

        run = mlflow.active_run() if self._given is None else self._given
        if run is None:
            raise BadInput("no MLflow run is active: call mlflow.start_run() before, or pass sinks=[MlflowSink(run)]")
        self._run_id = run if isinstance(run, str) else run.info.run_id
        self._client = self._client or mlflow.MlflowClient()
        self._settings: dict[str, Any] | None = dict(meta)

    def _put(self, step: int, numbers: Numbers, texts: Mapping[str, str]) -> None:
        from mlflow.entities import Metric

        if self._settings is not None:
            self._client.log_dict(self._run_id, self._settings, "ib/meta.json")
            self._settings = None
        now = round(1000 * time.time())
        metrics = [Metric(key, value, now, step) for key, value in numbers.items()]
        for start in range(0, len(metrics), _BATCH):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + _BATCH])
        for key, text in texts.items():
            if key.endswith("/flags"):
                self._client.set_tag(self._run_id, key, text)

    def _end(self, records: Records) -> None:
        if records:
            self._client.log_text(self._run_id, as_csv(records), "ib/records.csv")
            if page := as_page(records):
                self._client.log_text(self._run_id, page, "ib/plane.html")


@hookimpl
def ibprobe_sinks() -> Iterator[SinkPlugin]:
    """MLflow by name."""
    yield SinkPlugin("mlflow", "MLflow: the active run", MlflowSink)

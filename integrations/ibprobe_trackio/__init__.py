"""trackio as a sink: ``IBProbe(model, sinks=["auto", "trackio"])`` logs to the run of ``trackio.init()``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from ibprobe import BadInput, MissingExtra, Records, hookimpl
from ibprobe.hookspecs import SinkPlugin
from ibprobe.sinks.trackers import Numbers, TrackerSink, as_page

__all__ = ["TrackioSink"]


class TrackioSink(TrackerSink):
    """Rows under W&B's keys, at the training step, with flags and views.

    Settings are in the run's config, and the plane is in the last row.
    trackio queues what it is given and sends it from a thread of its own, so no call waits.

    Args:
        run: your run, as ``trackio.init()`` returned it; by default the last one. It stays yours: the sink neither
            starts nor finishes it.

    Raises:
        MissingExtra: trackio is not installed.
    """

    def __init__(self, run: Any = None) -> None:
        super().__init__(patience=None)
        self._given = run
        if run is None and find_spec("trackio") is None:
            raise MissingExtra("TrackioSink", "trackio", "trackio")

    def _begin(self, meta: Mapping[str, Any]) -> None:
        self._run: Any = self._given
        if self._run is None:
            from trackio import context_vars

            self._run = context_vars.current_run.get()
        if self._run is None:
            raise BadInput("no trackio run is active: call trackio.init() before, or pass sinks=[TrackioSink(run)]")
        self._run.config["ibprobe"] = dict(meta)

    def _put(self, step: int, numbers: Numbers, texts: Mapping[str, str]) -> None:
        self._log({**numbers, **texts}, step)

    def _end(self, records: Records) -> None:
        # The user's finish() waits for what is queued.
        if records and (page := as_page(records)):
            from trackio import Html

            self._log({"ib/plane_html": Html(page, inject=False)}, records.steps[-1])

    def _log(self, row: dict[str, Any], step: int) -> None:
        # A row without a step of its own gets the one after the largest so far: ours must not move the user's.
        before = getattr(self._run, "_next_step", None)
        self._run.log(row, step=step)
        if before is not None:
            self._run._next_step = before


@hookimpl
def ibprobe_sinks() -> Iterator[SinkPlugin]:
    """The trackio run by name."""
    yield SinkPlugin("trackio", "trackio: the run of trackio.init()", TrackioSink)

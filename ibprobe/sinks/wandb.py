"""Scalars in Weights & Biases, on their own axis, without losing a row of the user's or of ours; then the panels."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ibprobe.errors import BadInput
from ibprobe.record.alerts import Alert
from ibprobe.record.records import Estimate, Event, Records
from ibprobe.sinks.wandb_keys import AXIS, LayerKeys, metrics_of, summary_of
from ibprobe.sinks.wandb_panels import Panels
from ibprobe.sinks.wandb_run import WandbRun

MAX_LAYERS = 16
"""With more layers than this, scalars would drown the workspace: only tables and the plane are logged."""
_POLL_SHARE = 0.01
"""Calls into W&B are round trips to another process (0.2 ms each): at most this share of the time goes into them."""
_DEFINED_AT_ONCE = 100
"""Metrics that are defined in one training step, 20 ms; a snapshot of many layers has hundreds of new ones."""


class WandbSink:
    """Logs to a run that the user owns.

    Scalars come at once, the plane is redrawn every few minutes; its interactive page, the table of all records and
    the summary values come at the end. Nothing that waits for the server is called from training.

    Args:
        run: a ``wandb`` run; by default the active one.
        alerts: whether the probe's alerts are sent as W&B alerts.
        panels_every: seconds between two drawings of the plane, at least.
        patience: seconds that the end of the run waits for a slow server to take tables and charts.
    """

    def __init__(
        self, run: Any = None, *, alerts: bool = False, panels_every: float = 120.0, patience: float = 30.0
    ) -> None:
        self._given, self._alerts = run, alerts
        self._panels_every, self._patience = panels_every, patience
        self._queue: deque[dict[str, Any]] = deque()
        self._last_row: int | None = None
        self._next_poll = 0.0
        self._defined = {AXIS}
        self._keys = LayerKeys()
        self._estimates: list[Estimate] = []
        self._events: list[Event] = []
        self._meta: Mapping[str, Any] = {}

    def open(self, meta: Mapping[str, Any]) -> None:
        """Find the run and note how the numbers are made, ``meta``, in its config.

        Raises:
            BadInput: there is no active run.
        """
        self._run = WandbRun(self._given)
        self._meta = meta
        self._scalars = len(meta.get("layers", ())) <= MAX_LAYERS
        self._run.begin(meta)
        self._panels = Panels(self._run, self._panels_every, self._patience)

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Queue one row of ``estimates`` a snapshot, keep ``events``, and redraw the plane where it is time."""
        self._estimates += estimates
        self._events += events
        rows: dict[int, dict[str, Any]] = {}
        for e in estimates:
            row = rows.setdefault(e.step, {AXIS: e.step})
            if self._scalars:
                row.update(metrics_of(e, self._keys[e.layer]))
        self._queue += rows.values()
        self.tick()
        if estimates and self._panels.due and not self._run.finished:
            self._panels.redraw(self._records())

    def tick(self) -> None:
        """Add at most one row to each W&B row that is still open, so that neither side overwrites the other."""
        if self._queue and (started := time.perf_counter()) >= self._next_poll:
            self._check_run()
            if self._define(_DEFINED_AT_ONCE):
                self._emit()
            now = time.perf_counter()
            self._next_poll = now + (now - started) / _POLL_SHARE

    def alert(self, alert: Alert) -> None:
        """Send an ``alert`` on, where that was asked for."""
        if self._alerts:
            self._run.alert(" ".join(filter(None, ("ibprobe:", alert.flag, alert.layer, alert.split))), str(alert))

    def close(self, summary: str) -> None:
        """Log what is queued, on rows of its own; then tables and charts. The ``summary`` is for terminals."""
        while self._queue:
            self._check_run()
            self._define(None)
            self._emit()
            left = len(self._queue)
            if left:
                self._run.end_row()
            if left and self._run.step == self._last_row:
                break  # wandb.init(mode="disabled"): rows never end
        if self._estimates and not self._run.disabled:
            self._check_run()
            self._run.summarise(summary_of(self._estimates, self._keys, each=self._scalars))
            self._panels.finish(self._records())

    def _records(self) -> Records:
        return Records(tuple(self._estimates), tuple(self._events), self._meta)

    def _check_run(self) -> None:
        """A finished run takes nothing, and waits 30 s before it says so."""
        if self._run.finished:
            left = f"{len(self._queue)} snapshots" if self._queue else "tables and charts"
            raise BadInput(f"the W&B run was finished before the probe; {left} are not in it")

    def _define(self, limit: int | None) -> bool:
        """Define metrics of the next row, at most ``limit`` of them; whether that was all."""
        new = [key for key in self._queue[0] if key not in self._defined]
        for key in new[:limit]:
            self._run.define(key)
            self._defined.add(key)
        return len(new) <= (limit or len(new))

    def _emit(self) -> None:
        if self._run.step != self._last_row:
            self._run.add(self._queue.popleft())
            self._last_row = self._run.step

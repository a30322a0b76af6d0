"""Scalars in Weights & Biases, on their own axis, without losing a row of the user's or of ours."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ibprobe.errors import BadInput
from ibprobe.record.records import Estimate, Event

MAX_LAYERS = 16
"""With more layers than this, panels would drown the workspace: only the details are logged."""

_DETAILS = (
    "nats", "ci_low", "ci_high", "lower_confidence", "bracket_low", "bracket_low_se", "bracket_high",
    "bracket_high_se", "ceiling", "rows", "distinct_rows", "dropped_rows", "std", "ess", "seconds",
)  # fmt: skip
_AXIS = "ib/step"
_POLL_SHARE = 0.01
"""Asking W&B for its step is a round trip to another process (0.2 ms): at most this share of the time goes into it."""


def layer_key(layer: str) -> str:
    """A layer's name as W&B can store it: dots and signs would lose axis or summary."""
    return re.sub(r"[^A-Za-z0-9_/]", "_", layer.replace(".", "/").replace("#", "/call")) or "model"


def metrics_of(e: Estimate, *, visible: bool, layer: str | None = None) -> dict[str, float | int | str]:
    """The metrics of one estimate: the headline where people look, everything else under ``ib_detail``.

    Args:
        e: the estimate.
        visible: whether its headline gets a panel.
        layer: the layer's key, where :func:`layer_key` would give it that of another layer.
    """
    layer = layer or layer_key(e.layer)
    detail = f"ib_detail/{e.quantity}/{e.estimator}/{e.split}/{layer}"
    metrics: dict[str, float | int | str] = {
        f"{detail}/{name}": getattr(e, name) for name in _DETAILS if getattr(e, name) is not None
    }
    metrics[f"{detail}/flags"] = ",".join(sorted(e.flags))
    if visible and e.headline and e.quantity in ("I_XT", "I_TY"):
        suffix = "_held_out" if e.split == "held_out" else ""
        metrics[f"ib_{e.quantity}{suffix}/{layer}"] = e.nats
    return metrics


class WandbSink:
    """Logs to a run that the user owns.

    Args:
        run: a ``wandb`` run; by default the active one.
    """

    def __init__(self, run: Any = None) -> None:
        self._run = run
        self._queue: deque[dict[str, Any]] = deque()
        self._last_row: int | None = None
        self._next_poll = 0.0
        self._defined: set[str] = set()
        self._keys: dict[str, str] = {}
        self._visible = True

    def open(self, meta: Mapping[str, Any]) -> None:
        """Find the run and note how the numbers are made in its config.

        Raises:
            BadInput: there is no active run.
        """
        if self._run is None:
            import wandb

            self._run = wandb.run
        if self._run is None:
            raise BadInput("no W&B run is active: call wandb.init() before, or pass sinks=[WandbSink(run)]")
        self._visible = len(meta.get("layers", ())) <= MAX_LAYERS
        self._run.config.update({"ibprobe": dict(meta)}, allow_val_change=True)
        self._run.define_metric(_AXIS, hidden=True)

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Queue one row a snapshot."""
        rows: dict[int, dict[str, Any]] = {}
        for e in estimates:
            rows.setdefault(e.step, {_AXIS: e.step}).update(
                metrics_of(e, visible=self._visible, layer=self._key(e.layer))
            )
        for row in rows.values():
            self._define(row)
            self._queue.append(row)
        self.tick()

    def _key(self, layer: str) -> str:
        """Each layer's own key: ``conv-1`` and ``conv_1`` must not overwrite each other."""
        if layer not in self._keys:
            key = layer_key(layer)
            same = sum(k == key or k.startswith(f"{key}__") for k in self._keys.values())
            self._keys[layer] = f"{key}__{same + 1}" if same else key
        return self._keys[layer]

    def _define(self, row: Mapping[str, Any]) -> None:
        """Exact names only: a glob would fight with another one over the axis."""
        for key in row.keys() - self._defined - {_AXIS}:
            summary = None if key.endswith("/flags") else "min,max,last"
            hidden = key.startswith("ib_detail/") or None
            self._run.define_metric(key, step_metric=_AXIS, step_sync=True, summary=summary, hidden=hidden)
            self._defined.add(key)

    def tick(self) -> None:
        """Add at most one row to each W&B row that is still open, so that neither side overwrites the other."""
        if self._queue and (started := time.perf_counter()) >= self._next_poll:
            self._emit()
            now = time.perf_counter()
            self._next_poll = now + (now - started) / _POLL_SHARE

    def _emit(self) -> None:
        # The step of a finished run is an answer that W&B waits 30 s for, and it has no public way to ask.
        if getattr(self._run, "_is_finished", False):
            raise BadInput(f"the W&B run was finished before the probe; {len(self._queue)} snapshots are not in it")
        if self._run.step != self._last_row:
            self._run.log(self._queue.popleft(), commit=False)
            self._last_row = self._run.step

    def close(self, summary: str) -> None:
        """Log what is still queued, on rows of its own."""
        while self._queue:
            self._emit()
            left = len(self._queue)
            if left:
                self._run.log({}, commit=True)
            if left and self._run.step == self._last_row:
                break  # wandb.init(mode="disabled"): rows never end

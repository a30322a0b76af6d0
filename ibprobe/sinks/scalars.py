"""Headline values handed to a function, which brings them to a tracker that there is no sink for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ibprobe.record.records import Estimate, Event
from ibprobe.sinks.wandb_keys import HEADLINES, LayerKeys, headline_prefix

ScalarLog = Callable[[dict[str, float], int], object]


class ScalarSink:
    """Calls a function with each snapshot's headline values, in nats, and the step that they are of.

    Args:
        log: called with ``{"ib_I_XT/layers/0": 3.2, "ib_I_TY/layers/0": 0.6, …}`` and the optimizer step; the keys are
            W&B's.
    """

    def __init__(self, log: ScalarLog) -> None:
        self._log, self._keys = log, LayerKeys()

    def open(self, meta: Mapping[str, Any]) -> None:
        """Nothing is to be done."""

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Hand on what a snapshot found."""
        values: dict[int, dict[str, float]] = defaultdict(dict)
        for e in estimates:
            if e.headline and e.quantity in HEADLINES:
                values[e.step][f"{headline_prefix(e.quantity, e.split)}/{self._keys[e.layer]}"] = e.nats
        for step, of_step in values.items():
            self._log(of_step, step)

    def tick(self) -> None:
        """Nothing is to be done."""

    def close(self, summary: str) -> None:
        """Nothing is to be done."""

"""Runs of a small design as a probe would log them, to a run directory or to W&B."""

from __future__ import annotations

from typing import Any

from record_factory import critic, estimate

from ibprobe.lens.runs import Run
from ibprobe.record.records import Estimate

META: dict[str, Any] = {
    "layers": ["net.0", "net.1"], "noise": "relative", "sigma": 0.25, "view": "auto", "target": "population",
    "mode": "replay", "config": {},
}  # fmt: skip
CLEAN: frozenset[str] = frozenset()


def snapshot(step: int, seed: int, dropout: float) -> list[Estimate]:
    """Two layers, of which the second has less where there is dropout, and a critic beside the first."""
    xt = 3 + 0.1 * seed + 0.01 * step
    return [
        estimate(step=step, layer="net.0", nats=xt, flags=CLEAN),
        estimate(step=step, layer="net.0", quantity="I_TY", nats=1.25, flags=CLEAN),
        estimate(step=step, layer="net.0", quantity="I_XT_given_Y", nats=xt - 1.25, flags=CLEAN),
        critic("I_XT", xt - 0.5, step=step, layer="net.0", headline=False),
        estimate(step=step, layer="net.1", nats=xt - dropout, split="held_out", flags=CLEAN),
    ]


RUNS = [(seed, dropout) for seed in (0, 1) for dropout in (0.0, 0.5)]


def log_to(sink: Any, seed: int, dropout: float, meta: dict[str, Any] = META) -> None:
    sink.open(meta)
    for step in (0, 40):
        sink.write(snapshot(step, seed, dropout), [])
    sink.close("")


def told(runs: list[Run]) -> list[Any]:
    ordered = sorted(runs, key=lambda run: (run.seed, run.settings["dropout"]))
    return [(run.seed, run.others(""), run.values, run.channels) for run in ordered]

"""Runs with known, plausible numbers and any size, for what draws them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from record_factory import interval

from ibprobe.record.records import Estimate, Event, Records

META = {
    "model": "Encoder", "layers": ["a", "b"], "mode": "replay", "rows": 2048, "noise": "relative", "sigma": 0.25,
    "started": "2026-11-24T10:00:00Z", "ibprobe": "0.1.0", "torch": "2.13.0", "python": "3.11.7", "seed": 0,
    "config": {"lr": 0.001, "seed": 0},
}  # fmt: skip


def training_run(
    layers: int = 5, snapshots: int = 12, splits: tuple[str, ...] = ("train", "held_out"), last_step: int = 1000
) -> Records:
    """Layers that fit and then compress, the deeper the more; the middle one is at its ceiling in the end."""
    rng = random.Random(0)
    steps = [round((last_step + 1) ** (i / (snapshots - 1))) - 1 for i in range(snapshots)]
    steps = sorted({*steps, *range(snapshots)})[:snapshots] if len(set(steps)) < snapshots else steps
    names = [f"block{i}" for i in range(layers - 1)] + ["logits"]
    made = [e for split in splits for step in steps for e in _snapshot(names, step, last_step, split, rng)]
    events = (
        Event(step=last_step, kind="skipped", why="3 due steps did not fit the budget"),
        Event(step=last_step, kind="cost", why="measured 12 of 15 due steps: 3.1 s beside 63.3 s of training (4.9 %)"),
    )
    return Records(tuple(made), events, META)


def _snapshot(names: list[str], step: int, last: int, split: str, rng: random.Random) -> Iterator[Estimate]:
    done = math.log1p(step) / math.log1p(last)
    for number, name in enumerate(names):
        depth = number / max(len(names) - 1, 1)
        kept = 5.2 - 1.6 * depth - 1.4 * depth * done + rng.gauss(0, 0.01)
        told = 0.4 + 1.5 * done * (0.7 + 0.3 * depth) + rng.gauss(0, 0.01)
        doubt = {"at_ceiling"} if number == len(names) // 2 and done > 0.8 else set()
        around = {"step": step, "span": (step, step), "layer": name, "split": split, "seconds": rng.random()}
        fall = {
            "peak_step": 0,
            "fall": 1.4 * depth * done,
            "fall_low": 1.3 * depth * done,
            "fall_high": 1.5 * depth * done,
        }
        flags = frozenset(doubt)
        yield interval("I_XT", kept - 0.1 * rng.random(), kept + 0.1 * rng.random(), flags=flags, **around, **fall)
        no_rank = {"effective_rank": None, "dead_share": None, "flags": frozenset()}
        yield interval("I_TY", told - 0.05 * rng.random(), told + 0.05 * rng.random(), **around, **no_rank)

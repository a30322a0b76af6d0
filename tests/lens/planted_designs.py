"""Designs that never ran: their folders hold what runs with a planted effect and noise would have left there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from record_factory import estimate

from ibprobe.lens.design import PLACEBO, RUNS, Design, Planned
from ibprobe.lens.runs import Key
from ibprobe.lens.watch import ABSOLUTE, OUTCOME, SAMPLED, TRAINING
from ibprobe.record.records import Records
from ibprobe.record.rundir import RunDir

HOWS, SPLITS, LAYERS = (TRAINING, ABSOLUTE, SAMPLED), ("train", "held_out"), tuple(f"hidden{k}" for k in range(1, 6))
STEPS = 40
LEVEL = 0.5
BETWEEN_SEEDS = 1.0
"""Standard deviation over seeds, which pairs take out."""

Values = dict[tuple[int, float, int], dict[Key, float]]
"""What each run measured at its end, by seed, level of dropout and order."""


def write_design(
    folder: Path, rng: np.random.Generator, effects: Mapping[str, float], *, noise: float, seeds: int
) -> Values:
    """One factor with two levels and the placebo, in the layout of the engine.

    Args:
        folder: of the design.
        rng: of everything that is drawn.
        effects: what the level adds to I(X;T̃), in nats, by how it is measured; the same in all layers and splits.
        noise: standard deviation of a run's values about those of its seed.
        seeds: how many.
    """
    design, written = Design("a.b:train", {"dropout": [0.0, LEVEL]}, tuple(range(seeds))), {}
    keys = [Key(how, split, layer, "I_XT") for how in HOWS for split in SPLITS for layer in LAYERS]
    of_seed = rng.normal(3.0, BETWEEN_SEEDS, (seeds, len(keys)))
    for planned in design.runs():
        level = float(planned.settings["dropout"])
        drawn = of_seed[planned.seed] + rng.normal(0.0, noise, len(keys))
        values = {k: float(v) + effects.get(k.how, 0.0) * (level == LEVEL) for k, v in zip(keys, drawn, strict=True)}
        _write_run(folder / RUNS / planned.name, planned, values)
        written[planned.seed, level, planned.order] = values
    return written


def _write_run(folder: Path, planned: Planned, values: Mapping[Key, float]) -> None:
    config: dict[str, Any] = {**planned.arguments, PLACEBO: planned.order, "train": "a.b:train"}
    for how in HOWS:
        records = Records(meta={"config": config, "layers": LAYERS})
        for step in (0, STEPS) if how == TRAINING else (STEPS,):
            # Before training the layers hold something else, which is not to be taken for their end.
            at = {k: v if step else 9.0 for k, v in values.items() if k.how == how}
            kind: dict[str, Any] = {"step": step, "span": (step, step), "flags": frozenset()}
            kind |= {"noise": "absolute"} if how == ABSOLUTE else {}
            records = records.plus(estimate(nats=v, split=k.split, layer=k.layer, **kind) for k, v in at.items())
        directory = RunDir(folder / how)
        directory.open(records.meta)
        directory.write(records.estimates, records.events)
        directory.close("")
    accuracy = {"train": 0.95, "held_out": 0.9}
    outcome = {"config": config, "steps": STEPS, "accuracy": accuracy, "shifted": {}, "noise": {}, "norms": {}}
    (folder / OUTCOME).write_text(json.dumps(outcome), encoding="utf-8")


def run_folder(folder: Path, seed: int, level: float) -> Path:
    """Of the run with a seed and a level."""
    return folder / RUNS / Planned({"dropout": level}, seed).name


def tear(file: Path, share: float) -> None:
    """Leave the first part of a file."""
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])

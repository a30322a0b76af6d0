"""Runs with planted effects, as if they had been read."""

from __future__ import annotations

import numpy as np

from ibprobe.lens.design import Setting
from ibprobe.lens.runs import GAP, HELD_OUT, SHIFTED, Key, Run

LAYERS = ("early", "middle", "late")


def key(layer: str, quantity: str = "I_XT", how: str = "training", split: str = "train") -> Key:
    return Key(how, split, layer, quantity)


def run(seed: int, settings: dict[str, Setting], values: dict[Key, float], order: int = 0) -> Run:
    return Run(f"{seed}-{order}-{settings}", seed, settings, order, {k: float(v) for k, v in values.items()})


def design(
    rng: np.random.Generator, *, levels: int = 3, seeds: int = 8, effect: float = 0.0, noise: float = 0.1
) -> list[Run]:
    """Dropout at some levels; I(X;T̃) moves by ``effect`` a level in all layers. With a placebo."""
    found = []
    for seed in range(seeds):
        own = rng.normal(size=len(LAYERS))
        for level, order in [*((n, 0) for n in range(levels)), (0, 1)]:
            values = {key(layer): 3 + own[n] + effect * level + noise * rng.normal() for n, layer in enumerate(LAYERS)}
            found.append(run(seed, {"dropout": level / 4}, values, order))
    return found


def many_settings(
    rng: np.random.Generator, *, settings: int = 10, seeds: int = 8, of_settings: float = 1.0, told: float = 0.0
) -> list[Run]:
    """Each setting has an outcome and records of its own; ``told`` of the middle layer's record is in the outcome."""
    base = rng.normal(size=(len(LAYERS) + 1, settings)) * of_settings
    found = []
    for seed in range(seeds):
        for setting in range(settings):
            record = base[1:, setting] + rng.normal(size=len(LAYERS))
            outcome = base[0, setting] + rng.normal() - told * record[1]
            values = {key(layer): record[n] for n, layer in enumerate(LAYERS)}
            values |= {HELD_OUT: 0.9, SHIFTED: 0.1 * outcome, GAP: outcome}
            found.append(run(seed, {"setting": setting}, values))
    return found

"""Dose–response: how values move along all levels of a factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ibprobe.errors import UnknownName
from ibprobe.lens.compare import by_settings, factors_in, judged_by_family
from ibprobe.lens.design import PLACEBO, Setting
from ibprobe.lens.effects import SEEDS_FOR_A_VERDICT, Effect, paired
from ibprobe.lens.runs import Key, Run

FEWEST_LEVELS = 3


@dataclass(frozen=True, slots=True)
class Dose:
    """Values along the levels of one factor."""

    factor: str
    levels: Sequence[Setting]
    means: Mapping[Key, Sequence[Effect]]
    """At each level, over seeds: not differences but the values themselves, with their interval. Of the seeds and other
    settings that all levels have: else a level would stand for what other factors do there."""
    slopes: Mapping[Key, Effect]
    """Change from a level to the next one, of least squares through each seed's values."""


def dose(
    runs: Sequence[Run],
    factor: str,
    *,
    fewest: int = SEEDS_FOR_A_VERDICT,
    levels_at_least: int = FEWEST_LEVELS,
) -> Dose | None:
    """How values move along a factor's levels; None where those are words or too few.

    Args:
        runs: of a design, or any that were recorded.
        factor: a key of their ``config``.
        fewest: seeds without which there is no verdict.
        levels_at_least: with two, the slope is the difference.

    Raises:
        UnknownName: no run has such a factor with two levels.
    """
    known = factors_in(runs)
    if factor not in known:
        raise UnknownName("factor", factor, known, hint="factors are config keys with more than one value")
    levels = known[factor]
    if factor == PLACEBO or len(levels) < levels_at_least or any(isinstance(level, str) for level in levels):
        return None
    at = [by_settings(runs, factor, level) for level in levels]
    everywhere = [key for key in at[0] if all(key in values for values in at)]
    whole = {key: of for key in everywhere if (of := _at_all_levels([values[key] for values in at]))[0]}
    slopes = {key: paired(_slopes(of)) for key, of in whole.items()}
    means = {key: [paired(_of_seeds(values)) for values in of] for key, of in whole.items()}
    return Dose(factor, levels, means, judged_by_family(slopes, fewest, {}))


Cells = Mapping[tuple[int, str], float]
"""Values by seed and other settings."""


def _at_all_levels(at: Sequence[Cells]) -> list[Cells]:
    """What there is of the seeds and settings that every level has."""
    common = set(at[0]).intersection(*at[1:])
    return [{cell: values[cell] for cell in values if cell in common} for values in at]


def _of_seeds(values: Cells) -> list[float]:
    """One value a seed: the mean over all other settings."""
    by_seed: dict[int, list[float]] = {}
    for (seed, _), value in values.items():
        by_seed.setdefault(seed, []).append(value)
    return [fmean(by_seed[seed]) for seed in sorted(by_seed)]


def _slopes(at: Sequence[Cells]) -> list[float]:
    """One slope a seed, its mean over settings."""
    middle = (len(at) - 1) / 2
    weight = sum((k - middle) ** 2 for k in range(len(at)))
    return _of_seeds({cell: sum((k - middle) * of[cell] for k, of in enumerate(at)) / weight for cell in at[0]})

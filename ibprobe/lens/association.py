"""What goes along with what across runs: rank correlations and their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from ibprobe.lens.effects import SEEDS_FOR_A_VERDICT, Effect, judged, paired
from ibprobe.lens.runs import GAP, SHIFTED, Key, Run

RECORDS = ("I_XT", "I_XT_given_Y", "fall")

Across = Literal["settings", "chance"]


@dataclass(frozen=True, slots=True)
class Association:
    """Spearman's rank correlation of a record with an outcome. It causes nothing: a setting may do both."""

    record: Key
    outcome: Key
    across: Across
    """``settings``: of the means over seeds, one point a setting, so that it says something of other settings, too.
    ``chance``: of what is left of each run without its setting's mean; one correlation a seed, averaged over seeds."""
    correlation: Effect
    """Its ``seeds`` are the points of the first kind, the seeds of the second."""


def associations(
    runs: Sequence[Run],
    split: str = "train",
    *,
    fewest: int = SEEDS_FOR_A_VERDICT,
) -> list[Association]:
    """Association of each layer's I(X;T̃), I(X;T̃|Y) and fall from the peak with gap and shifted accuracy.

    Args:
        runs: of a design; those of the placebo are left out.
        split: rows that the records are of.
        fewest: seeds and settings without which there is no verdict.
    """
    planned = [run for run in runs if not run.order]
    keys = dict.fromkeys(key for run in planned for key in run.values)
    found: list[Association] = []
    for outcome in (key for key in (GAP, SHIFTED) if key in keys):
        for quantity in RECORDS:
            of = [k for k in keys if (k.how, k.split, k.quantity) == ("training", split, quantity)]
            for across in _KINDS:
                found += _judged(planned, of, outcome, across, fewest)
    return found


_KINDS: tuple[Across, ...] = ("settings", "chance")
Points = Mapping[tuple[int, str], tuple[float, float]]
"""Record and outcome by seed and settings."""


def _judged(runs: Sequence[Run], of: Sequence[Key], outcome: Key, across: Across, fewest: int) -> Iterator[Association]:
    """One family: the layers of one record and outcome."""
    raw: dict[Key, Effect] = {}
    few: dict[Key, Effect] = {}
    for key in of:
        points = {
            (run.seed, run.others("")): (run.values[key], run.values[outcome])
            for run in runs
            if key in run.values and outcome in run.values
        }
        enough = len({seed for seed, _ in points}) >= fewest
        effect = _over_settings(points) if across == "settings" else _over_chance(points)
        if effect.seeds > 1:
            (raw if enough else few)[key] = effect
    verdicts = few | judged(raw, fewest=fewest)
    yield from (Association(key, outcome, across, verdicts[key]) for key in of if key in verdicts)


def _over_settings(points: Points) -> Effect:
    """Interval of Bonett and Wright (2000), p of Student's approximation."""
    of: dict[str, list[tuple[float, float]]] = {}
    for (_, settings), pair in points.items():
        of.setdefault(settings, []).append(pair)
    x, y = ([fmean(pair[i] for pair in pairs) for pairs in of.values()] for i in (0, 1))
    if len(x) < _FEWEST_POINTS or len(set(x)) < 2 or len(set(y)) < 2:
        return paired([])
    rho, p = _spearman(x, y)
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (len(x) - 3))
    z = math.atanh(max(-1 + 1e-9, min(rho, 1 - 1e-9)))
    return Effect(rho, math.tanh(z - half), math.tanh(z + half), 0, len(x), p)


_FEWEST_POINTS = 4
"""Rank correlations of fewer points take a handful of values, and have no interval."""


def _over_chance(points: Points) -> Effect:
    of: dict[str, list[tuple[float, float]]] = {}
    for (_, settings), pair in points.items():
        of.setdefault(settings, []).append(pair)
    # Of two seeds, one's residual is the other's with its sign turned.
    means = {s: (fmean(p[0] for p in pairs), fmean(p[1] for p in pairs)) for s, pairs in of.items() if len(pairs) > 2}
    by_seed: dict[int, list[tuple[float, float]]] = {}
    for (seed, settings), pair in points.items():
        if settings in means:
            by_seed.setdefault(seed, []).append((pair[0] - means[settings][0], pair[1] - means[settings][1]))
    usable = (list(zip(*pairs, strict=True)) for pairs in by_seed.values() if len(pairs) >= _FEWEST_POINTS)
    effect = paired([_spearman(x, y)[0] for x, y in usable if len(set(x)) > 1 and len(set(y)) > 1])
    return replace(effect, low=max(effect.low, -1.0), high=min(effect.high, 1.0))


def _spearman(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    from scipy.stats import spearmanr

    found = spearmanr(x, y)
    return float(found.statistic), float(found.pvalue)

"""What goes along with what across runs: rank correlations, one a seed, and their interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from ibprobe.lens.effects import FALSE_DISCOVERIES, SEEDS_FOR_A_VERDICT, Effect, judged, paired
from ibprobe.lens.runs import GAP, SHIFTED, Key, Run

FEWEST_SETTINGS = 4
"""A rank correlation of fewer points takes so few values that its mean over seeds says little."""
RECORDS = ("I_XT", "I_XT_given_Y", "fall")

Across = Literal["settings", "chance"]


@dataclass(frozen=True, slots=True)
class Association:
    """Spearman's rank correlation of a record with an outcome.

    Within each seed it is taken over the settings, so that no seed counts twice; the mean over seeds has Student's
    interval. It is a correlation: what a setting does to both is in it.
    """

    record: Key
    outcome: Key
    across: Across
    """``settings``: of the values themselves; ``chance``: of what is left of them when each setting's mean is taken
    away, so that no setting's effect is in it."""
    correlation: Effect


def associations(
    runs: Sequence[Run],
    split: str = "train",
    *,
    fewest: int = SEEDS_FOR_A_VERDICT,
    rate: float = FALSE_DISCOVERIES,
) -> list[Association]:
    """Association of each layer's I(X;T̃), I(X;T̃|Y) and fall from the peak with gap and shifted accuracy.

    Args:
        runs: of a design; those of the placebo are left out.
        split: rows that the records are of.
        fewest: seeds without which there is no verdict.
        rate: expected share of false ones among those that are found, over the layers.
    """
    planned = [run for run in runs if not run.order]
    records = [k for k in _keys(planned) if k.how == "training" and k.split == split and k.quantity in RECORDS]
    found = []
    for outcome in (k for k in _keys(planned) if k in (GAP, SHIFTED)):
        for quantity in RECORDS:
            of = [key for key in records if key.quantity == quantity]
            for across in ("settings", "chance"):
                raw = {key: paired(list(_by_seed(planned, key, outcome, across))) for key in of}
                known = {key.layer: effect for key, effect in raw.items() if effect.seeds > 1}
                verdicts = judged(known, fewest=fewest, rate=rate)
                found += [
                    Association(key, outcome, across, _clipped(verdicts[key.layer])) for key in of if key.layer in known
                ]
    return found


def _clipped(e: Effect) -> Effect:
    return replace(e, low=max(e.low, -1.0), high=min(e.high, 1.0))


def _keys(runs: Sequence[Run]) -> list[Key]:
    return list(dict.fromkeys(key for run in runs for key in run.values))


def _by_seed(runs: Sequence[Run], record: Key, outcome: Key, across: str) -> Iterator[float]:
    """One correlation a seed; none of a seed whose values are all the same."""
    points = {
        (run.seed, run.others("")): (run.values[record], run.values[outcome])
        for run in runs
        if record in run.values and outcome in run.values
    }
    if across == "chance":
        points = _residuals(points)
    for seed in sorted({seed for seed, _ in points}):
        of = [pair for (s, _), pair in points.items() if s == seed]
        if len(of) >= FEWEST_SETTINGS and all(len({pair[i] for pair in of}) > 1 for i in (0, 1)):
            yield _spearman(*zip(*of, strict=True))


def _residuals(points: Mapping[tuple[int, str], tuple[float, float]]) -> dict[tuple[int, str], tuple[float, float]]:
    of: dict[str, list[tuple[float, float]]] = {}
    for (_, settings), pair in points.items():
        of.setdefault(settings, []).append(pair)
    means = {settings: (fmean(p[0] for p in pairs), fmean(p[1] for p in pairs)) for settings, pairs in of.items()}
    return {
        key: (pair[0] - means[key[1]][0], pair[1] - means[key[1]][1])
        for key, pair in points.items()
        if len(of[key[1]]) > 1
    }


def _spearman(x: Sequence[float], y: Sequence[float]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(x, y).statistic)

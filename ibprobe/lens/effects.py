"""What a level does against the baseline: paired differences, their intervals, and a verdict in a word."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any, Literal, TypeVar

from ibprobe.errors import MissingExtra

SEEDS_FOR_A_VERDICT = 8
FALSE_DISCOVERIES = 0.05
"""The expected share of false ones among the effects that are found, over all layers of a comparison."""
NEGLIGIBLE: Mapping[str, float] = {
    "I_XT": 0.1, "I_TY": 0.1, "I_XT_given_Y": 0.1, "fall": 0.1, "accuracy": 0.01, "gap": 0.01,
}  # fmt: skip
"""Nats, and shares of rows. An effect whose 90 % interval lies within ± this is called none; of what has no such line,
nothing is."""

Name = TypeVar("Name", bound=Hashable)
Verdict = Literal["more", "less", "no effect", "not decided"]


@dataclass(frozen=True, slots=True)
class Effect:
    """A paired difference, level minus baseline, in the unit of what was measured."""

    mean: float
    """Over seeds."""
    low: float
    """Lower end of the 95 % interval of the mean, Student's with one difference a seed."""
    high: float
    """Its upper end."""
    higher: int
    """Seeds with a positive difference."""
    seeds: int
    """How many there are."""
    p: float
    """Of no difference, two-sided."""
    verdict: Verdict = "not decided"
    """``more``, ``less``, ``no effect`` or ``not decided``."""

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "not measured"
        return f"{self.shown()}, {self.higher} of {self.seeds} seeds higher"

    def shown(self, digits: int = 2) -> str:
        """Mean and interval with so many ``digits``."""
        return f"{self.mean:+.{digits}f} [{self.low:+.{digits}f}, {self.high:+.{digits}f}]"


def paired(differences: Sequence[float]) -> Effect:
    """The effect that differences of independent pairs show; two are the fewest that have an interval."""
    n, mean = len(differences), fmean(differences) if differences else math.nan
    higher = sum(d > 0 for d in differences)
    if n < 2:
        return Effect(mean, -math.inf, math.inf, higher, n, 1.0)
    error = stdev(differences) / math.sqrt(n)
    if error == 0:
        return Effect(mean, mean, mean, higher, n, 0.0 if mean else 1.0)
    student = _student()
    half = float(student.ppf(0.975, n - 1)) * error
    p = 2 * float(student.sf(abs(mean) / error, n - 1))
    return Effect(mean, mean - half, mean + half, higher, n, p)


def differences(values: Mapping[tuple[int, str], float], baseline: Mapping[tuple[int, str], float]) -> list[float]:
    """One difference a seed: the mean over all cells that both have, which differ in the level alone.

    Args:
        values: of runs with the level, by seed and by the settings of all other factors.
        baseline: likewise, of runs with the baseline's level.
    """
    by_seed: dict[int, list[float]] = {}
    for key in values.keys() & baseline.keys():
        by_seed.setdefault(key[0], []).append(values[key] - baseline[key])
    return [fmean(by_seed[seed]) for seed in sorted(by_seed)]


def judged(
    effects: Mapping[Name, Effect],
    *,
    fewest: int = SEEDS_FOR_A_VERDICT,
    negligible: float = 0.0,
) -> dict[Name, Effect]:
    """Verdicts of one comparison, over all its layers.

    Effects whose 90 % interval lies within ± ``negligible`` are none, however certain (two one-sided tests; Schuirmann
    1987). Of the others, those are found that Benjamini and Hochberg's step-up procedure (1995) rejects at 5 %.
    With fewer seeds than ``fewest`` nothing is decided.
    """
    enough = {name: e for name, e in effects.items() if e.seeds >= fewest}
    found = _found({name: e.p for name, e in enough.items()})
    return {
        name: replace(e, verdict=_verdict(e, name in found, name in enough, negligible)) for name, e in effects.items()
    }


def _found(p: Mapping[Name, float]) -> set[Name]:
    ordered = sorted(p, key=lambda name: p[name])
    last = max((k for k, name in enumerate(ordered, 1) if p[name] <= FALSE_DISCOVERIES * k / len(ordered)), default=0)
    return set(ordered[:last])


def _verdict(e: Effect, found: bool, enough: bool, negligible: float) -> Verdict:
    if not enough:
        return "not decided"
    student = _student()
    half90 = (e.high - e.mean) * float(student.ppf(0.95, e.seeds - 1) / student.ppf(0.975, e.seeds - 1))
    if abs(e.mean) + half90 <= negligible:
        return "no effect"
    return ("more" if e.mean > 0 else "less") if found else "not decided"


def _student() -> Any:
    try:
        from scipy.stats import t
    except ImportError as e:
        raise MissingExtra("intervals of effects", "scipy", "lens") from e
    return t

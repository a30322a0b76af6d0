"""Runs to cases: those that differ by their seed only are one case, their mean with its interval over seeds."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median, stdev
from typing import Any

from ibprobe.errors import BadInput
from ibprobe.record.records import Estimate, Event, Logged, Records
from ibprobe.record.rundir import plain

# What may differ between runs that are the same but for chance: when, where and on which versions they ran.
_NOT_SETTINGS = {"started", "seed", "python", "torch", "ibprobe", "schema", "config"}
# Two-sided 95 % points of Student's t for 1 … 30 degrees of freedom.
_T95 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A run, or the mean of several that differ by their seed."""

    name: str
    records: Records
    runs: tuple[str, ...]
    """Names of the runs behind it."""

    @property
    def seeds(self) -> int:
        """How many runs."""
        return len(self.runs)


def cases(runs: Sequence[tuple[str, Records]], *, average: bool | None = None) -> list[Case]:
    """Group runs, name each group by the settings in which it differs from the others.

    Args:
        runs: name and records of each.
        average: whether runs of the same settings become one case; by default, where their recorded seeds differ.
    """
    groups: dict[str, list[tuple[str, Records]]] = defaultdict(list)
    for name, records in runs:
        groups[json.dumps(plain(_settings(records.meta)), sort_keys=True)].append((name, records))
    kept: list[list[tuple[str, Records]]] = []
    for of in groups.values():
        together = _seeds_differ(of) if average is None else average
        kept += [of] if together else [[run] for run in of]
    settings = [_settings(of[0][1].meta) for of in kept]
    named = [_told_apart(own, settings) for own in settings]
    made = [
        _case(of, name if named.count(name) == 1 or len(of) > 1 else "") for of, name in zip(kept, named, strict=True)
    ]
    return _numbered(made)


def _numbered(found: Sequence[Case]) -> list[Case]:
    """Cases that are called alike, such as runs in folders of one name, get a number; charts go by the name."""
    names = [case.name for case in found]
    return [
        replace(case, name=f"{case.name} #{names[: i + 1].count(case.name)}") if names.count(case.name) > 1 else case
        for i, case in enumerate(found)
    ]


def _seeds_differ(runs: Sequence[tuple[str, Records]]) -> bool:
    seeds = [json.dumps(plain(_seeds(records.meta)), sort_keys=True) for _, records in runs]
    return len(set(seeds)) == len(runs)


def _seeds(meta: Mapping[str, Any]) -> dict[str, Any]:
    config = {k: v for k, v in dict(meta.get("config") or {}).items() if "seed" in k.lower()}
    return {"seed": meta.get("seed"), **{f"config {k}": v for k, v in config.items()}}


def measured_cases(runs: Sequence[tuple[str, Records]], *, average: bool | None = None) -> list[Case]:
    """:func:`cases` of the runs that hold something.

    Raises:
        BadInput: none does; the message says why not, as far as the runs do. Or runs to be averaged share no value.
    """
    measured = [(name, records) for name, records in runs if len(records)]
    if not measured:
        why = "; ".join(dict.fromkeys(str(e) for _, records in runs for e in records.events)) or "nothing was recorded"
        raise BadInput(f"there is nothing to show, for no run holds an estimate: {why}")
    found = cases(measured, average=average)
    for case in found:
        if not len(case.records):
            raise BadInput(f"{', '.join(case.runs)} have no value in common, so no mean: show them apart (--separate)")
    return found


def _settings(meta: Mapping[str, Any]) -> dict[str, Any]:
    config = {k: v for k, v in dict(meta.get("config") or {}).items() if "seed" not in k.lower()}
    settings = {k: v for k, v in meta.items() if k not in _NOT_SETTINGS}
    return settings | {f"config {k}" if k in settings else k: v for k, v in config.items()}


def _told_apart(own: Mapping[str, Any], all_of_them: Sequence[Mapping[str, Any]]) -> str:
    """The settings that not all cases share, as far as they fit a title."""
    differ = [k for k in own if k != "layers" and any(other.get(k) != own[k] for other in all_of_them)]
    shown = [f"{k} = {own[k]:g}" if isinstance(own[k], float) else f"{k} = {own[k]}" for k in differ]
    return ", ".join(text for text in shown[:3] if len(text) < 40)


def _case(runs: Sequence[tuple[str, Records]], differs: str) -> Case:
    names = tuple(name for name, _ in runs)
    if len(runs) == 1:
        return Case(differs or names[0], runs[0][1], names)
    return Case(f"{differs or 'mean'} ({len(runs)} seeds)", averaged([records for _, records in runs]), names)


def averaged(runs: Sequence[Records]) -> Records:
    """The mean over runs, with its 95 % interval over runs (Student's t), of every value that all of them have.

    A bracket is of one run; the mean has none.
    """
    found: dict[tuple[Any, ...], list[Estimate]] = defaultdict(list)
    for records in runs:
        for e in records:
            key = (e.step, e.layer, e.quantity, e.estimator, e.split, e.mode, e.noise, e.sigma)
            found[key].append(e)
    estimates = tuple(_mean(of) for of in found.values() if len(of) == len(runs))
    events = dict.fromkeys(event for records in runs for event in records.events)
    missing = len(found) - len(estimates)
    why = f"{missing} values that not all {len(runs)} runs have are not in the mean (--separate shows them)"
    left_out = [Event(step=0, kind="note", why=why)] if missing else []
    return Records(estimates, (*events, *left_out), runs[0].meta, _mean_curves(runs))


def _mean_curves(runs: Sequence[Records]) -> tuple[Logged, ...]:
    """The user's own curves, averaged where all runs have a value."""
    found: dict[int, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for entry in (entry for records in runs for entry in records.logged):
        for name, value in entry.values.items():
            found[entry.step][name].append(value)
    of_all = {s: {n: fmean(v) for n, v in names.items() if len(v) == len(runs)} for s, names in found.items()}
    return tuple(Logged(step, values) for step, values in sorted(of_all.items()) if values)


def _mean(of: Sequence[Estimate]) -> Estimate:
    nats, low, high = _interval([e.nats for e in of])
    falls = [f for f in _known(e.fall for e in of) if math.isfinite(f)]
    fall = _interval(falls) if len(falls) == len(of) else (None, None, None)
    peaks = [e.peak_step for e in of if e.peak_step is not None]
    return replace(
        of[0], nats=nats, ci_low=low, ci_high=high, lower_confidence=low, bracket_low=None, bracket_low_se=None,
        bracket_high=None, bracket_high_se=None, bound=f"mean of {len(of)} runs", ess=None,
        headline=all(e.headline for e in of), ceiling=min(e.ceiling for e in of),
        flags=frozenset().union(*(e.flags for e in of)), seconds=fmean(e.seconds for e in of),
        effective_rank=_mean_or_none(e.effective_rank for e in of), dead_share=_mean_or_none(e.dead_share for e in of),
        peak_step=round(median(peaks)) if peaks else None, fall=fall[0], fall_low=fall[1], fall_high=fall[2],
    )  # fmt: skip


def _interval(values: Sequence[float]) -> tuple[float, float, float]:
    if not all(map(math.isfinite, values)):
        return math.nan, math.nan, math.nan
    mean = fmean(values)
    half = _T95[min(len(values) - 1, len(_T95)) - 1] * stdev(values) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def _known(values: Iterable[float | None]) -> list[float]:
    return [v for v in values if v is not None]


def _mean_or_none(values: Iterable[float | None]) -> float | None:
    known = _known(values)
    return fmean(known) if known else None

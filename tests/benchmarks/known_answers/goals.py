"""What is asked of each row of the table, and whether results meet it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from .cases import Result
from .halves import is_development

Results = Sequence[Result]
HARMLESS = {"few_rows", "repeated_rows", "nonfinite_rows", "over_fitted"}
"""Flags about rows and training; none of them says that the value may be wrong."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One goal; ``met`` is None where nothing was run to judge it by."""

    goal: str
    found: str
    met: bool | None


def of(results: Iterable[Result], estimator: str, keep: Callable[[str], bool] = lambda task: True) -> list[Result]:
    """Results of one estimator on the tasks to keep."""
    return [r for r in results if r.estimator == estimator and not r.error and keep(r.task)]


def rmse(results: Results) -> float:
    return math.sqrt(fmean(r.off**2 for r in results))


def mae(results: Results) -> float:
    return fmean(abs(r.off) for r in results)


def worst(results: Results) -> float:
    return max(abs(r.off) for r in results)


def highest(results: Results) -> float:
    return max(r.nats for r in results)


def cpu(results: Results) -> float:
    return fmean(r.cpu for r in results)


def at_most(what: str, measure: Callable[[Results], float], limit: float, results: Results, unit: str = "") -> Verdict:
    """``measure`` of the results does not exceed ``limit``."""
    goal = f"{what} ≤ {limit:g}{unit}"
    if not results:
        return Verdict(goal, "not run", None)
    value = measure(results)
    return Verdict(goal, f"{value:.3f}{unit}, runs: {len(results)}", value <= limit)


def starting(prefix: str) -> Callable[[str], bool]:
    return lambda task: task.startswith(prefix)


def independent(results: Results) -> Iterator[Verdict]:
    ours = of(results, "mine")
    yield at_most("mean absolute error", mae, 0.02, ours)
    yield at_most("highest value", highest, 0.08, ours)
    short, long = ({r.seed: r.nats for r in of(results, f"mine, steps x{factor}")} for factor in (1, 4))
    rise = [long[seed] - short[seed] for seed in short.keys() & long.keys()]
    # Five thousandths: a quarter of what the mean error may be.
    verdict = at_most("mean rise from 1× to 4× the steps", lambda _: fmean(rise), 0.005, of(results, "mine, steps x4"))
    yield verdict if rise else Verdict(verdict.goal, "not run", None)


def slope(results: Results) -> float:
    """Of the estimates on the truths, by least squares."""
    x, y = fmean(r.truth for r in results), fmean(r.nats for r in results)
    spread = sum((r.truth - x) ** 2 for r in results)
    return sum((r.truth - x) * (r.nats - y) for r in results) / spread if spread else math.nan


def weak(results: Results) -> Iterator[Verdict]:
    for kind in ("spread", "one of 20", "d = 1"):
        ours = of(results, "mine", starting(kind))
        yield at_most(f"{kind}: RMSE", rmse, 0.03, ours)
        found = slope(ours) if ours else math.nan
        told = f"{found:.3f}, runs: {len(ours)}" if ours else "not run"
        yield Verdict(f"{kind}: slope on truth ≥ 0.8", told, found >= 0.8 if ours else None)


def strong(results: Results) -> Iterator[Verdict]:
    for kind in ("gaussian", "cubic"):
        ours = of(results, "mine", starting(kind))
        yield at_most(f"{kind}: RMSE, truth up to 6", rmse, 0.05, [r for r in ours if r.truth <= 6])
        yield at_most(f"{kind}: RMSE, truth 8", rmse, 0.2, [r for r in ours if r.truth == 8])
        beyond = [r for r in ours if r.truth == 10]
        yield at_most(f"{kind}: share without a flag, truth 10", unflagged, 0.0, beyond)
        yield at_most(f"{kind}: time", cpu, 5.0, ours, " CPU s")


def doubted(result: Result) -> bool:
    """Whether a flag says that the value may be wrong."""
    return bool(set(result.flags) - HARMLESS)


def unflagged(results: Results) -> float:
    return fmean(not doubted(r) for r in results)


def halves(results: Results) -> Iterator[Verdict]:
    """Judged on the half that no choice was made on; the other stands beside it, unjudged."""
    tested = of(results, "mine", lambda task: not is_development(task))
    yield at_most("test half: mean absolute error", mae, 0.04, tested)
    yield at_most("test half: worst", worst, 0.15, tested)
    yield at_most("time a task", cpu, 3.0, of(results, "mine"), " CPU s")
    seen = of(results, "mine", is_development)
    if seen:
        yield Verdict("development half, for comparison", f"mean {mae(seen):.3f}, worst {worst(seen):.3f}", None)


def twelve_bits(results: Results) -> Iterator[Verdict]:
    ours = [r for r in of(results, "mine, layer") if r.truth <= 5]
    yield at_most("MINE, where the truth is ≤ 5: worst", worst, 0.1, ours)
    outside = "share of brackets that miss by 3 combined standard errors"
    yield at_most(outside, missed_by_bracket, 0.0, of(results, "channel, all inputs"))


def missed_by_bracket(results: Results) -> float:
    return fmean(not _bracketed(r) for r in results)


def _bracketed(r: Result) -> bool:
    assert r.bracket_low is not None
    assert r.bracket_high is not None
    low = r.bracket_low - 3 * math.hypot(r.bracket_low_se or 0, r.truth_se)
    return low <= r.truth <= r.bracket_high + 3 * math.hypot(r.bracket_high_se or 0, r.truth_se)


def midpoint_rmse(results: Results) -> float:
    return math.sqrt(fmean(((r.bracket_low or 0) / 2 + (r.bracket_high or 0) / 2 - r.truth) ** 2 for r in results))


def channel(results: Results) -> Iterator[Verdict]:
    for n, limits, seconds in ((2048, {1: 0.05, 3: 0.05, 6: 0.15}, 0.2), (8192, {1: 0.03, 3: 0.03, 6: 0.03}, 2.0)):
        ours = of(results, "channel", starting(f"n={n} "))
        for truth, limit in limits.items():
            some = [r for r in ours if r.truth == truth]
            yield at_most(f"n = {n}, truth {truth}: midpoint RMSE", midpoint_rmse, limit, some)
        yield at_most(f"n = {n}: time", cpu, seconds, ours, " CPU s")


def labels(results: Results) -> Iterator[Verdict]:
    for estimator in ("classifier", "channel, labels"):
        for kind in ("gaussian", "curved", "clustered"):
            note = "" if kind == "gaussian" else " (stretch)"
            for n, limit in ((2048, 0.03), (8192, 0.012)):
                some = [r for r in of(results, estimator, starting(kind)) if r.n == n]
                yield at_most(f"{estimator}: {kind}{note}, n = {n}: RMSE", rmse, limit, some)
        # One float32 rounding above ln 10 is no information.
        yield at_most(f"{estimator}: highest value", highest, math.log(10) + 1e-6, of(results, estimator))


def cost(results: Results) -> Iterator[Verdict]:
    yield at_most("both brackets of 12 layers", cpu, 0.8, of(results, "channel, 12 layers"), " CPU s")
    for estimator, what in (("mine, 12 layers", "12 critics"), ("mine, 12 layers and labels", "24 critics")):
        ours = of(results, estimator)
        yield at_most(f"{what}, cold", cpu, 30.0, ours, " CPU s")
        yield at_most(f"{what}, warm", lambda rs: fmean(r.more["warm_cpu"] for r in rs), 6.0, ours, " CPU s")
        yield at_most(f"{what}, cold: mean absolute error", lambda rs: fmean(r.more["mae"] for r in rs), 0.05, ours)
        yield at_most(
            f"{what}, warm: mean absolute error", lambda rs: fmean(r.more["warm_mae"] for r in rs), 0.05, ours
        )


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often intervals and one-sided bounds hold the truth."""

    runs: int
    covered: float
    width: float
    """Median width of the intervals."""
    below: float
    """Share of runs whose one-sided bound is no higher than the truth."""
    p: float
    """Probability of so few if each were below with 95 %."""

    @classmethod
    def of(cls, results: Results) -> Coverage:
        low, high = ([getattr(r, name) for r in results] for name in ("ci_low", "ci_high"))
        truths = [r.truth for r in results]
        covered = fmean(a <= t <= b for a, t, b in zip(low, truths, high, strict=True))
        below = sum((r.lower_confidence or 0) <= r.truth for r in results)
        width = median(b - a for a, b in zip(low, high, strict=True))
        return cls(len(results), covered, width, below / len(results), binomial_tail(below, len(results), 0.95))


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(at most k of n). A bound that holds more often than it promises is no fault, so one tail is tested."""
    return math.fsum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k + 1))


def coverage(results: Results) -> Iterator[Verdict]:
    """For one estimator on one row."""
    intervals = [r for r in results if r.ci_low is not None and not r.error]
    if not intervals:
        return
    found = Coverage.of(intervals)
    told = f"{found.covered:.1%} of {found.runs} runs, median width {found.width:.3f}"
    yield Verdict("interval holds the truth in ≥ 92 %", told, found.covered >= 0.92)
    told = f"{found.below:.1%}, p = {found.p:.2g}"
    yield Verdict("one-sided bound: 95 % is not rejected", told, found.p >= 0.01)
    nothing = [r for r in intervals if r.truth == 0]
    if nothing:
        yield at_most("truth 0: median upper end", lambda rs: median(r.ci_high or 0 for r in rs), 0.06, nothing)

"""Results as text: truth, ours and the peers', goals and coverage."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from statistics import fmean, stdev

from .cases import Item, Result
from .goals import Verdict, coverage, cpu, mae, rmse, worst
from .halves import is_development
from .table import ROWS

MARK = {True: "met", False: "MISSED", None: "–"}


def current(results: Iterable[Result], items: Iterable[Item]) -> list[Result]:
    """The results that the plan asks for: of today's code, the last where an item was tried again."""
    last = {r.item: r for r in results}
    return [last[item] for item in items if item in last]


def report(results: Sequence[Result], names: Sequence[str]) -> Iterator[str]:
    """Markdown, line by line."""
    for name in names:
        mine = [r for r in results if r.row == name]
        if not mine:
            yield f"\n## {ROWS[name].title}\n\nnot run"
            continue
        yield f"\n## {ROWS[name].title}\n"
        yield from _table(name, mine)
        yield from _failures(mine)
        yield from _verdicts(name, mine)


def verdicts(name: str, results: Sequence[Result]) -> Iterator[Verdict]:
    """All that is asked of a row: its goals, and the coverage of each estimator of ours."""
    row = ROWS[name]
    yield from row.goals(results)
    for estimator in row.ours:
        fit = [r for r in results if r.estimator == estimator and not r.error and row.covered(r)]
        for v in coverage(fit):
            yield Verdict(f"{estimator}: {v.goal}", v.found, v.met)


def _table(name: str, results: Sequence[Result]) -> Iterator[str]:
    """One line a task and estimator."""
    yield "| task | truth | estimator | runs | mean | bias | RMSE | worst | interval holds | width | flags | CPU s |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    cells: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for r in results:
        if not r.error:
            cells[r.task, r.estimator].append(r)
    tasks, estimators = ([*dict.fromkeys(key[i] for key in cells)] for i in (0, 1))
    order = [*ROWS[name].ours, *ROWS[name].peers]
    for task in tasks:
        for estimator in sorted(estimators, key=order.index):
            if (task, estimator) in cells:
                yield _line(name, task, estimator, cells[task, estimator])
    if len(tasks) > 1:
        for estimator in sorted(estimators, key=order.index):
            yield _all(estimator, [r for r in results if r.estimator == estimator and not r.error])


def _line(name: str, task: str, estimator: str, cell: Sequence[Result]) -> str:
    half = f" ({'dev' if is_development(task) else 'test'})" if name in ("bmi", "own") else ""
    mean = fmean(r.nats for r in cell)
    spread = f" ± {stdev([r.nats for r in cell]):.3f}" if len(cell) > 1 else ""
    return (
        f"| {task}{half} | {cell[0].truth:.3f} | {estimator} | {len(cell)} | {mean:.3f}{spread} "
        f"| {mean - cell[0].truth:+.3f} | {rmse(cell):.3f} | {worst(cell):.3f} | {_held(cell)} | {_flags(cell)} "
        f"| {cpu(cell):.2f} |"
    )


def _all(estimator: str, results: Sequence[Result]) -> str:
    bias = fmean(r.off for r in results)
    return (
        f"| **all** | | {estimator} | {len(results)} | mean absolute error {mae(results):.3f} | {bias:+.3f} "
        f"| {rmse(results):.3f} | {worst(results):.3f} | {_held(results)} | | {cpu(results):.2f} |"
    )


def _held(cell: Sequence[Result]) -> str:
    """Share of intervals that hold the truth, and their median width; peers give none."""
    pairs = [(r.ci_low, r.truth, r.ci_high) for r in cell]
    known = [(a, t, b) for a, t, b in pairs if a is not None and b is not None]
    if not known:
        return "– | –"
    widths = sorted(b - a for a, _, b in known)
    return f"{fmean(a <= t <= b for a, t, b in known):.0%} | {widths[len(widths) // 2]:.3f}"


def _flags(cell: Sequence[Result]) -> str:
    """Each flag, with the share of runs that carry it where it is not all."""
    names = sorted({flag for r in cell for flag in r.flags})
    shares = [(flag, fmean(flag in r.flags for r in cell)) for flag in names]
    return ", ".join(flag if math.isclose(share, 1) else f"{flag} {share:.0%}" for flag, share in shares)


def _failures(results: Sequence[Result]) -> Iterator[str]:
    failed: dict[tuple[str, str], int] = defaultdict(int)
    for r in results:
        if r.error:
            failed[r.estimator, r.error] += 1
    yield ""
    for (estimator, error), times in failed.items():
        yield f"{estimator} failed ({times}×): {error}"


def _verdicts(name: str, results: Sequence[Result]) -> Iterator[str]:
    rows = list(verdicts(name, results))
    if rows:
        yield "\n| goal | found | |\n|---|---|---|"
        yield from (f"| {v.goal} | {v.found} | {MARK[v.met]} |" for v in rows)

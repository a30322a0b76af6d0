"""The command line of the overhead benchmark."""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import ibprobe
from ibprobe.schedule import SEEN

from .beside import beside, works
from .every_step import StepCost, step_cost
from .markdown import common_options, finish, machine, say, settle, table
from .models import CASES, LARGE, Case, make
from .pairs import Pair, median_ratio, pair, verdict
from .watchers import FEWEST, Variant, nothing_due, variants

BUDGET, MARGIN = 0.05, 2.0
GOAL, GPU_GOAL = 1.05, 1.02
LAYERS, MODES = (1, 10, 100), ("replay", "stream")
PARTS = ("runs", "steps", "beside")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Seconds of a step and of a snapshot, and how long runs must be for five snapshots to fit the budget."""

    step: float
    snapshot: float
    rows: int

    @property
    def needed(self) -> float:
        """Seconds: the fifth snapshot may start when five fit what is spent of the share; a margin for the rest."""
        return MARGIN * FEWEST * self.snapshot / (SEEN * BUDGET)


def calibrate(case: Case, device: str) -> Calibration:
    """Time steps (their lower quartile) and snapshots (the fastest): others are cold, or disturbed."""
    net = make(case, device)
    times = []
    for _ in range(24):
        start = time.perf_counter()
        net.step()
        net.settled()
        times.append(time.perf_counter() - start)
    snapshots = []
    for _ in range(3):
        start = time.perf_counter()
        found = ibprobe.measure(net.model, (net.x, net.y), view=net.view, estimator="channel")
        net.settled()
        snapshots.append(time.perf_counter() - start)
    return Calibration(quantiles(times[4:], n=4)[0], min(snapshots), max(e.rows for e in found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for, then print the tables."""
    options = _options(arguments)
    settle(options)
    lines = ["# What a probe adds to a run", "", machine(options.device), ""]
    if "runs" in options.part:
        for name in options.model:
            lines += [*_model(CASES[name], options), ""]
    if "steps" in options.part:
        lines += [*_steps(options), ""]
    if "beside" in options.part:
        lines += _beside(options)
    finish(lines, options.out)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time training runs with and without a probe, in pairs.")
    parser.add_argument(
        "--model",
        action="append",
        choices=CASES,
        help="only this one; may be given again (default: on a GPU the large ones)",
    )
    parser.add_argument(
        "--part", action="append", choices=PARTS, help="only this one: whole runs, steps, or steps beside work"
    )
    parser.add_argument("--only", default="", metavar="WORDS", help="comparisons whose name holds these, such as probe")
    parser.add_argument("--repetitions", type=int, default=3, help="pairs of each kind (default 3)")
    parser.add_argument(
        "--minutes", type=float, help="length of a run at defaults; by default, what five snapshots within 5 %% need"
    )
    parser.add_argument("--steps", type=int, default=2000, help="steps of the loop that times single steps")
    parser.add_argument("--runtime", choices=("inline", "thread", "cuda-stream"), help="passed to the probe when given")
    common_options(parser)
    options = parser.parse_args(arguments)
    options.model = options.model or [n for n in CASES if (n in LARGE) == options.device.startswith("cuda")]
    options.part = options.part or list(PARTS)
    return options


def _for_probe(options: argparse.Namespace) -> dict[str, Any]:
    return {} if options.runtime is None else {"runtime": options.runtime}


def _model(case: Case, options: argparse.Namespace) -> Iterator[str]:
    found = calibrate(case, options.device)
    length = found.needed if options.minutes is None else 60 * options.minutes
    goal = GPU_GOAL if options.device.startswith("cuda") else GOAL
    compared = [v for v in variants(_for_probe(options), goal) if options.only in v.name]
    total = 2 * options.repetitions * length * sum(v.share for v in compared)
    say(
        f"{case.says}: a step {1e3 * found.step:.0f} ms, a snapshot {found.snapshot:.2f} s; runs of {length:.0f} s "
        f"at defaults ({FEWEST} snapshots need {found.needed:.0f} s), all of them about {total / 60:.0f} min"
    )
    yield from (f"## {case.says}", "")
    yield f"A step takes {1e3 * found.step:.1f} ms, brackets of {found.rows:,} rows {found.snapshot:.2f} s."
    yield ""
    results = [(v, _pairs(case, options, v, length, found)) for v in compared]
    head = (
        "",
        "pairs",
        "steps",
        "seconds",
        "wall ratio",
        "slowest pair",
        "CPU ratio",
        "block ratio",
        "goal",
        "snapshots",
    )
    yield from table(head, [_row(v, pairs, steps) for v, (pairs, steps) in results])
    yield ""
    yield from (line for v, (pairs, _) in results if v.fewest for line in _accounts(pairs, found))


def _pairs(
    case: Case, options: argparse.Namespace, variant: Variant, length: float, found: Calibration
) -> tuple[list[Pair], int]:
    steps = max(40, math.ceil(variant.share * length / found.step))
    pairs = []
    for number in range(options.repetitions):
        pairs.append(pair(case, options.device, variant, steps, watched_first=number % 2 == 1))
        say(f"  {variant.name}, pair {number + 1}/{options.repetitions}, {steps} steps: ratio {pairs[-1].ratio:.4f}")
    return pairs, steps


def _row(variant: Variant, pairs: Sequence[Pair], steps: int) -> list[str]:
    wall = median_ratio(pairs)
    cpu, blocks = (median(getattr(p, ratio) for p in pairs) for ratio in ("cpu_ratio", "block_ratio"))
    snapshots = sorted({p.watched.notes.snapshots for p in pairs})
    seconds = f"{sum(p.bare.seconds for p in pairs) / len(pairs):.1f}"
    numbers = (f"{x:.4f}" for x in (wall, max(p.ratio for p in pairs), cpu, blocks))
    return [
        variant.name,
        str(len(pairs)),
        str(steps),
        seconds,
        *numbers,
        verdict(variant, pairs),
        " to ".join(map(str, snapshots)),
    ]


def _accounts(pairs: Sequence[Pair], found: Calibration) -> Iterator[str]:
    """What the probe itself says of the runs at defaults, and whether they were long enough."""
    yield from (f"- The probe's own account: {p.watched.notes.account}." for p in pairs)
    fewest = min(p.watched.notes.snapshots for p in pairs)
    if fewest < FEWEST:
        more = max(0.0, found.needed - max(p.watched.seconds for p in pairs))
        yield (
            f"- **Too short**: {fewest} snapshots, fewer than {FEWEST}; such a run must last about "
            f"{found.needed:.0f} s, {more:.0f} s more (`--minutes {found.needed / 60:.1f}`)."
        )


def _steps(options: argparse.Namespace) -> list[str]:
    results = [_step(layers, mode, options) for mode in MODES for layers in LAYERS]
    head = ("layers, mode", "µs a step more", "standard error", "µs of the step alone")
    rows = [(f"{r.layers}, {r.mode}", f"{r.extra:.0f}", f"{r.error:.0f}", f"{r.bare:.0f}") for r in results]
    return ["## A step that is not due", "", *table(head, rows)]


def _step(layers: int, mode: str, options: argparse.Namespace) -> StepCost:
    watcher = nothing_due(mode=mode, layers="*", rows=512, **_for_probe(options))
    with tempfile.TemporaryDirectory() as folder:
        found = step_cost(layers, mode, watcher, options.steps, Path(folder), options.device)
    say(f"  {layers} layers, {mode}: {found.extra:.0f} ± {found.error:.0f} µs a step")
    return found


def _beside(options: argparse.Namespace) -> Iterator[str]:
    runtime = "cuda-stream" if options.device.startswith("cuda") else "thread"
    yield from (f"## Steps while a snapshot is worked on, `runtime={runtime!r}`", "")
    yield "A gain of 1 means that steps and work take turns, 2 that neither notices the other."
    yield ""
    head = ("", "step alone, ms", "step beside, ms", "ratio", "work alone, s", "times", "both, s", "gain")
    yield from table(
        head, (_beside_row(n, work, runtime, options) for n in options.model for work in works(options.device).items())
    )


def _beside_row(
    model: str, work: tuple[str, Callable[[], object]], runtime: str, options: argparse.Namespace
) -> list[str]:
    found = beside(CASES[model], options.device, runtime, *work)
    say(f"  {model}, {found.name}: a step takes {found.step_beside / found.step:.2f} times as long")
    numbers = (
        f"{1e3 * found.step:.1f}", f"{1e3 * found.step_beside:.1f}", f"{found.step_beside / found.step:.2f}",
        f"{found.work:.2f}", str(found.times), f"{found.both:.2f}", f"{found.gain:.2f}",
    )  # fmt: skip
    return [f"{model}, {found.name}", *numbers]

"""The command line of the benchmark of single snapshots."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .beside import critics
from .markdown import common_options, finish, machine, say, settle, table
from .snapshots import Cost, Setting, Snapshot, around, cost, snapshot
from .stated_error import INPUTS, UNITS, Reading, readings

GOALS = (0.05, 0.02)
PARTS = ("parts", "errors", "stacked")
STACKED_GOAL = 1.5
"""Times one layer that twelve may take on a GPU, where a step is too small to fill it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured."""

    base: Setting = Setting()  # noqa: RUF009 (it is frozen)
    layers: Sequence[int] = (1, 2, 4, 8, 16, 32)
    rows: Sequence[int] = (512, 1024, 2048, 4096, 8192)
    widths: Sequence[int] = (10, 64, 256, 1024, 4096)
    sigmas: Sequence[float] = (1.0, 0.5, 0.25)
    error_rows: Sequence[int] = (512, 1024, 2048, 4096, 8192, 16384)
    critic_error_rows: Sequence[int] = (512, 1024, 2048, 4096, 8192)
    stacked: Sequence[int] = (1, 2, 4, 8, 12)


TINY = Plan(Setting(2, 128, 8), (1, 2), (128, 256), (4, 8), (1.0,), (128, 256), (128,), (1, 2))
"""For a test of the command itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, then print the tables."""
    options = _options(arguments)
    settle(options)
    plan = TINY if options.tiny else Plan()
    lines = ["# What a snapshot costs", "", machine(options.device), ""]
    if "parts" in options.part:
        lines += _parts(plan, options)
    if "errors" in options.part:
        lines += [*_errors(plan, options), ""]
    if "stacked" in options.part:
        lines += _stacked(plan, options)
    finish(lines, options.out)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time single snapshots by layers, rows and width.")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one")
    parser.add_argument(
        "--repetitions", type=int, default=3, help="of each timing, and seeds of each error (default 3)"
    )
    parser.add_argument("--no-critics", action="store_true", help="leave them out: they are most of the time")
    parser.add_argument("--tiny", action="store_true", help="settings of a test: seconds, and no use otherwise")
    common_options(parser)
    options = parser.parse_args(arguments)
    # Errors do not depend on where they are computed.
    options.part = options.part or [p for p in PARTS if p != "errors" or options.device == "cpu"]
    return options


def _parts(plan: Plan, options: argparse.Namespace) -> Iterator[str]:
    yield f"One factor at a time around {plan.base}; ten classes, four noise draws, medians of {options.repetitions}."
    yield "Layers are nearly free to run, so that replay is our own part of it. Collect: hashing and copying inputs,"
    yield "once a run. Kernel: both coordinates of all layers. Critics: two pairs a layer, cold, once; – where they"
    yield "take minutes. Peak: memory that comes on top, critics included where they ran."
    head = ("", "collect s", "replay s", "kernel s", "kernel CPU s", "critics s", "critics CPU s", "peak MB")
    for name, chosen in around(plan.base, plan.layers, plan.rows, plan.widths).items():
        yield from ("", f"## By {name}", "", *table(head, [_row(_one(setting, options)) for setting in chosen]))
    yield ""


def _one(setting: Setting, options: argparse.Namespace) -> Snapshot:
    affordable = setting.layers <= 8 and setting.rows <= 4096 and setting.d <= 256
    critics = affordable and not options.no_critics
    found = snapshot(setting, options.device, critics=critics, repetitions=options.repetitions)
    more = "" if found.critics is None else f", critics {found.critics.cpu:.1f} CPU s more"
    say(f"  {setting}: replay {found.replay.cpu:.2f}, brackets {found.brackets.cpu:.2f}{more}")
    return found


def _row(found: Snapshot) -> list[str]:
    critics = ("–", "–") if found.critics is None else (f"{found.critics.wall:.1f}", f"{found.critics.cpu:.1f}")
    highest = max(c.mb for c in (found.brackets, found.critics) if c is not None)
    times = (found.collect.wall, found.replay.wall, *found.kernel)
    return [str(found.setting), *(f"{t:.3f}" for t in times), *critics, f"{highest:.0f}"]


def _errors(plan: Plan, options: argparse.Namespace) -> Iterator[str]:
    yield from ("## Seconds to a stated error", "")
    yield f"I(X;T̃) of a linear layer, {INPUTS} Gaussian inputs, {UNITS} units: the fewest rows whose 95 % interval is"
    yield f"as narrow as asked. Medians over {options.repetitions} seeds; processor seconds of one estimate, from the"
    yield "model to the records. MINE's includes the bracket that it stands beside."
    yield ""
    head = ("", "truth", "half-width asked", "rows", "half-width", "RMS error", "CPU s")
    yield from table(head, _error_rows(plan, options))


def _error_rows(plan: Plan, options: argparse.Namespace) -> Iterator[list[str]]:
    wanted = [("bracket", "channel", plan.error_rows), ("MINE", "auto", plan.critic_error_rows)]
    for name, estimator, sizes in wanted[: 1 if options.no_critics else 2]:
        for sigma in plan.sigmas:
            found = list(_until_narrow(name, estimator, sigma, sizes, options.repetitions))
            yield from (_error_row(f"{name}, σ = {sigma}", goal, found) for goal in GOALS)


def _until_narrow(name: str, estimator: str, sigma: float, sizes: Sequence[int], seeds: int) -> Iterator[Reading]:
    for reading in readings(estimator, sigma, sizes, seeds):
        say(f"  {name}, σ = {sigma}, {reading.rows} rows: ± {reading.half_width:.3f}, {reading.cpu:.2f} CPU s")
        yield reading
        if reading.half_width <= min(GOALS):
            return


def _error_row(name: str, goal: float, found: Sequence[Reading]) -> list[str]:
    enough = next((r for r in found if r.half_width <= goal), None)
    shown = enough or found[-1]
    rows = f"{shown.rows:,}" if enough else f"more than {shown.rows:,}"
    known = (f"{shown.half_width:.3f}", f"{shown.error:.3f}", f"{shown.cpu:.2f}")
    return [name, f"{shown.truth:.2f}", f"{goal:g}", rows, *known]


def _stacked(plan: Plan, options: argparse.Namespace) -> Iterator[str]:
    yield from ("## Critics trained together", "")
    yield f"Cold, of layers of 64 units, {plan.base.rows:,} rows. On a GPU, {max(plan.stacked)} layers are meant"
    yield f"to take at most {STACKED_GOAL} times what one takes."
    yield ""
    critics(1, options.device, plan.base.rows, steps=1)  # libraries are loaded then
    found = [_critics(k, plan, options) for k in plan.stacked]
    rows = [(k, f"{c.wall:.2f}", f"{c.wall / found[0].wall:.2f}") for k, c in zip(plan.stacked, found, strict=True)]
    yield from table(("layers", "seconds", "times one"), rows)


def _critics(layers: int, plan: Plan, options: argparse.Namespace) -> Cost:
    found = cost(lambda: critics(layers, options.device, plan.base.rows), options.device, options.repetitions)
    say(f"  critics of {layers} layers: {found.wall:.2f} s")
    return found

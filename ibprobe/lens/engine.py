"""Runs a design: in processes side by side, each run once, whatever happens in between."""

from __future__ import annotations

import inspect
import json
import logging
import os
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ibprobe.errors import BadInput
from ibprobe.lens.design import PLACEBO, RUNS, Design, Planned, imported
from ibprobe.lens.measuring import Measuring
from ibprobe.lens.watch import OUTCOME, Watch
from ibprobe.lens.workers import Engine, cores_here, workers

log = logging.getLogger("ibprobe")

UNFINISHED, FAILED = "unfinished", "failed"


@dataclass(frozen=True, slots=True)
class Done:
    """A run that came to its end."""

    name: str
    """Of its folder."""
    failed: str = ""
    """Why it has no result."""

    def __str__(self) -> str:
        return f"{self.name} failed: {self.failed}" if self.failed else self.name


def run_design(
    design: Design,
    measuring: Measuring,
    folder: Path,
    *,
    jobs: int | None = None,
    engine: Engine = "local",
    on_done: Callable[[Done, int], None] = lambda done, left: None,
) -> list[Done]:
    """Run what is missing of a design.

    A run is worked on in ``folder/unfinished`` and moved to ``folder/runs`` when it is complete, so that a kill at any
    moment leaves whole runs only; those are not run again. One that fails leaves its traceback in ``folder/failed`` and
    is tried again by the next call.

    Args:
        design: which runs.
        measuring: how they are measured.
        folder: of the design; it may hold runs of it already.
        jobs: processes at a time; by default, one for each two cores, and each uses its share of them.
        engine: ``local``, or ``ray``: the cluster of ``RAY_ADDRESS``, whose machines share the folder, or this machine.
        on_done: called with each run that ends and the number of those left.

    Returns:
        The runs of this call.

    Raises:
        BadInput: the training function cannot be imported, or it does not take what the design varies; the folder has
            runs of another function, or that were measured otherwise.
        MissingExtra: joblib or Ray is not installed.
    """
    check_train(design)
    for part in (RUNS, FAILED):
        (folder / part).mkdir(parents=True, exist_ok=True)
    design.keep(folder, asdict(measuring))
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    missing = design.missing(folder)
    ended: list[Done] = []

    def note(done: Done) -> None:
        ended.append(done)
        on_done(done, len(missing) - len(ended))

    if not missing:
        return ended
    with workers(engine, jobs, len(missing)) as there:
        rest = list(missing)
        if not any((folder / RUNS).iterdir()):  # the first run's layers set the absolute noise of all
            note(run_one(design.train, rest.pop(0), measuring, folder, cores_here()))
            if ended[0].failed:
                return ended
        noise = _noise(folder)
        calls = ((design.train, p, measuring, folder.absolute(), there.threads, noise) for p in rest)
        for done in there.results(run_one, calls, _lost, _begun):
            note(done)
    return ended


def check_train(design: Design) -> None:
    """Raise a ``BadInput`` for a training function that is not there, or does not take what the design varies."""
    signature = inspect.signature(imported(design.train))
    try:
        signature.bind(None, **design.runs()[0].arguments)
    except TypeError as e:
        taken = list(signature.parameters)[1:]
        raise BadInput(
            f"{design.train} does not take what the design gives it: {e}; beside watch it takes {', '.join(taken)}"
        ) from e


def _noise(folder: Path) -> Mapping[str, float]:
    """Standard deviation of absolute noise, the same in all runs that a folder has."""
    found = min((folder / RUNS).glob(f"*/{OUTCOME}"))
    noise: Mapping[str, float] = json.loads(found.read_text(encoding="utf-8"))["noise"]
    return noise


def _lost(call: tuple[Any, ...], why: Exception) -> Done:
    """A run whose process died, be it after the run had ended."""
    planned, folder = call[1], call[3]
    ended = (folder / RUNS / planned.name).is_dir()
    return Done(planned.name, "" if ended else f"its process died: {type(why).__name__}: {str(why).splitlines()[0]}")


def _begun(call: tuple[Any, ...]) -> bool:
    planned, folder = call[1], call[3]
    return any((folder / part / planned.name).is_dir() for part in (RUNS, UNFINISHED))


@contextmanager
def _quietly(threads: int) -> Iterator[None]:
    """On so many threads, and without alerts on the screen: they are in each run's events."""
    before, level = torch.get_num_threads(), log.level
    torch.set_num_threads(threads)
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        log.setLevel(level)


def run_one(
    train: str,
    planned: Planned,
    measuring: Measuring,
    folder: Path,
    threads: int,
    noise: Mapping[str, float] | None = None,
) -> Done:
    """One run, in whatever process."""
    unfinished, failed = folder / UNFINISHED / planned.name, folder / FAILED / f"{planned.name}.txt"
    unfinished.mkdir(parents=True)
    watch = Watch(unfinished, measuring, {**planned.arguments, PLACEBO: planned.order, "train": train}, noise)
    try:
        with _quietly(threads):
            torch.manual_seed(planned.seed)
            imported(train)(watch, **planned.arguments)
        if not watch.done:
            raise BadInput(
                f"{train} trained without  with watch(model, train=…, held_out=…, optimizer=…)  or watch.keep"
            )
        json.loads((unfinished / OUTCOME).read_text(encoding="utf-8"))
        os.replace(unfinished, folder / RUNS / planned.name)
    except (Exception, SystemExit) as e:
        failed.write_text(f"{json.dumps(planned.arguments)}\n{traceback.format_exc()}", encoding="utf-8")
        return Done(planned.name, f"{type(e).__name__}: {e}; see {failed}")
    failed.unlink(missing_ok=True)
    return Done(planned.name)

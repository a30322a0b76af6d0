"""Runs a design: in processes side by side, each run once, whatever happens in between."""

from __future__ import annotations

import json
import logging
import os
import shutil
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.lens.design import PLACEBO, Design, Planned, imported
from ibprobe.lens.watch import OUTCOME, Measuring, Watch

log = logging.getLogger("ibprobe")

Engine = Literal["local", "ray"]

RUNS, UNFINISHED, FAILED = "runs", "unfinished", "failed"


@dataclass(frozen=True, slots=True)
class Done:
    """A run that came to its end."""

    name: str
    failed: str = ""
    """Why it has no result."""


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
        engine: ``local``, or ``ray`` with a cluster that ``ray.init()`` finds.
        on_done: called with each run that ends and the number of those left.

    Returns:
        The runs of this call.

    Raises:
        BadInput: the training function cannot be imported, or it does not take what the design varies.
        MissingExtra: joblib or Ray is not installed.
    """
    try:
        from joblib import Parallel, delayed
    except ImportError as e:
        raise MissingExtra("ibprobe lens run", "joblib", "lens") from e
    imported(design.train)
    for part in (RUNS, FAILED):
        (folder / part).mkdir(parents=True, exist_ok=True)
    design.keep(folder)
    shutil.rmtree(folder / UNFINISHED, ignore_errors=True)
    missing = [planned for planned in design.runs() if not (folder / RUNS / planned.name).is_dir()]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(jobs or max(1, cores // 2), max(1, len(missing)))
    ended: list[Done] = []

    def note(done: Done) -> None:
        ended.append(done)
        on_done(done, len(missing) - len(ended))

    first = design.runs()[0]
    if first in missing:  # its layers' spread sets the absolute noise of all
        note(run_one(design.train, first, measuring, folder, cores))
        if ended[0].failed:
            return ended
    noise = json.loads((folder / RUNS / first.name / OUTCOME).read_text(encoding="utf-8"))["noise"]
    rest = [planned for planned in missing if planned != first]
    work = (delayed(run_one)(design.train, p, measuring, folder, max(1, cores // jobs), noise) for p in rest)
    with _engine(engine):
        results: Iterator[Done] = Parallel(n_jobs=jobs, return_as="generator_unordered")(work)
        for done in results:
            note(done)
    return ended


def _engine(engine: Engine) -> Any:
    """The backend of joblib that runs go to."""
    from joblib import parallel_config

    if engine == "local":
        return parallel_config(backend="loky")
    if engine != "ray":
        raise BadInput(f'engine= is "local" or "ray"; got {engine!r}')
    try:
        from ray.util.joblib import register_ray
    except ImportError as e:
        raise MissingExtra("--engine ray", "ray", "ray") from e
    register_ray()
    return parallel_config(backend="ray")


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
    except Exception as e:
        failed.write_text(f"{json.dumps(planned.arguments)}\n{traceback.format_exc()}", encoding="utf-8")
        return Done(planned.name, f"{type(e).__name__}: {e}; see {failed}")
    failed.unlink(missing_ok=True)
    return Done(planned.name)

"""Work through a plan: skip what is done, one thread a process, append each result as soon as it is there."""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path

import torch

from .cases import Answer, Folders, Item, Result, Sample
from .environments import PEERS, peer
from .layers import all_brackets, cold_then_warm
from .ours import OURS
from .table import ROWS
from .textbook import TEXTBOOK

TOGETHER: Mapping[str, Callable[[Sample, int], Answer]] = {
    "channel, 12 layers": all_brackets,
    "mine, 12 layers": lambda sample, seed: cold_then_warm(sample, seed, labels=False),
    "mine, 12 layers and labels": lambda sample, seed: cold_then_warm(sample, seed, labels=True),
}
ESTIMATORS = {**OURS, **TOGETHER, **TEXTBOOK}
Work = Callable[[Item, Folders], Result]


def estimate(item: Item, folders: Folders) -> Result:
    """Draw the sample and estimate once; what goes wrong is a result too."""
    try:
        sample = ROWS[item.row].sample(item.task, item.seed, folders)
        start = time.process_time()
        if item.estimator in PEERS:
            answer = peer(item.estimator, sample, item.seed, folders)
        else:
            answer = ESTIMATORS[item.estimator](sample, item.seed)
        return Result.of(item, sample, answer, time.process_time() - start)
    except Exception as e:
        return Result(**asdict(item), error=f"{type(e).__name__}: {e}"[:300])


def read(path: Path) -> list[Result]:
    """Finished results; a last line that was cut off is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [r for line in lines if (r := _parsed(line)) is not None]


def _parsed(line: str) -> Result | None:
    try:
        return Result.from_dict(json.loads(line))
    except json.JSONDecodeError:
        return None


def open_items(items: Iterable[Item], path: Path) -> list[Item]:
    """Those without a result. Failures are tried again, but for peers that took too long and would again."""
    done = {r.item for r in read(path) if not r.error or "Timeout" in r.error}
    return [item for item in items if item not in done]


def run(items: Sequence[Item], folders: Folders, path: Path, jobs: int, work: Work = estimate) -> None:
    """Do all items that have no line in the file yet.

    Args:
        items: the plan.
        folders: where samples and environments are.
        path: the results file, appended to.
        jobs: processes; 1 works in this one.
        work: does one item.
    """
    waiting = open_items(items, path)
    print(f"{len(items)} pieces of work, {len(items) - len(waiting)} of them done before", file=sys.stderr)
    _mend(path)
    start = time.monotonic()
    with path.open("a", encoding="utf-8") as out:
        for number, result in enumerate(_results(waiting, folders, jobs, work), 1):
            out.write(json.dumps(result.to_dict()) + "\n")
            out.flush()
            _show(number, len(waiting), result, time.monotonic() - start)


def _mend(path: Path) -> None:
    """End a line that an interruption cut off, so that the next one is whole."""
    if path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as out:
            out.write("\n")


def _results(waiting: Sequence[Item], folders: Folders, jobs: int, work: Work) -> Iterator[Result]:
    if jobs == 1:
        one_thread()
        yield from (work(item, folders) for item in waiting)
        return
    # Spawned, not forked: a child of a process that has used torch's threads may hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context, initializer=one_thread) as pool:
        futures = [pool.submit(work, item, folders) for item in waiting]
        try:
            yield from (future.result() for future in as_completed(futures))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def one_thread() -> None:
    torch.set_num_threads(1)


def _show(number: int, of: int, result: Result, seconds: float) -> None:
    left = seconds / number * (of - number)
    found = result.error or f"{result.nats:7.3f} (truth {result.truth:.3f}) {result.cpu:6.2f} CPU s"
    what = f"{result.row} · {result.task} · {result.estimator} · {result.seed}"
    line = f"[{number}/{of}, {left / 60:.0f} min left] {what}: {found}"
    if sys.stderr.isatty():
        print(f"\r{line[:160]:160}", end="\n" if number == of else "", file=sys.stderr, flush=True)
    else:
        print(line, file=sys.stderr, flush=True)

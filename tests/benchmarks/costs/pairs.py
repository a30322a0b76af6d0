"""Pairs of training runs that differ in what watches them, and the ratio of their times."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from .models import Case, Net, make
from .watchers import Notes, Variant, Watcher

BLOCK = 20
"""Steps between two looks at the clock."""


@dataclass(slots=True)
class Run:
    """One training run: seconds of each block, attaching in the first and detaching in the last."""

    blocks: list[float] = field(default_factory=list)
    cpu: float = 0.0
    """Processor seconds, of all threads."""
    notes: Notes = field(default_factory=Notes)
    _since: float | None = None
    """When the block that is going on began."""

    def clock(self) -> float:
        """Seconds of this run alone: it stands still while another run advances."""
        return self.seconds + (0.0 if self._since is None else time.perf_counter() - self._since)

    @property
    def seconds(self) -> float:
        """From before attaching until after detaching."""
        return sum(self.blocks)

    @contextmanager
    def clocked(self, net: Net) -> Iterator[None]:
        """Book a block."""
        net.settled()
        cpu = time.process_time()
        self._since = wall = time.perf_counter()
        yield
        net.settled()
        self._since = None
        self.blocks.append(time.perf_counter() - wall)
        self.cpu += time.process_time() - cpu


@dataclass(frozen=True, slots=True)
class Pair:
    """The same steps from the same seed, with and without."""

    bare: Run
    watched: Run

    @property
    def ratio(self) -> float:
        """Of total wall seconds."""
        return self.watched.seconds / self.bare.seconds

    @property
    def cpu_ratio(self) -> float:
        """Of processor seconds, which other processes disturb less."""
        return self.watched.cpu / self.bare.cpu

    @property
    def block_ratio(self) -> float:
        """Median over blocks, without attaching and detaching."""
        blocks = zip(self.watched.blocks[1:-1], self.bare.blocks[1:-1], strict=True)
        return statistics.median([a / b for a, b in blocks] or [self.ratio])


def advancing(run: Run, net: Net, watcher: Watcher, steps: int, folder: Path) -> Iterator[None]:
    """Train, and stop after each block so that another run may advance too."""
    done = 0
    with run.clocked(net):
        entered = watcher(net, folder, run.clock)
        run.notes = entered.__enter__()
    try:
        while done < steps:
            with run.clocked(net):
                for _ in range(min(BLOCK, steps - done)):
                    net.step()
                    done += 1
                    if run.notes.after is not None:
                        run.notes.after(done)
            yield
    finally:
        with run.clocked(net):
            entered.__exit__(None, None, None)


def train(case: Case, device: str, watcher: Watcher, variant: Variant, steps: int) -> Run:
    """A whole run by itself."""
    run, net = Run(), make(case, device)
    with tempfile.TemporaryDirectory() as folder, variant.surroundings(Path(folder)):
        gc.collect()
        for _ in advancing(run, net, watcher, steps, Path(folder)):
            pass
    return run


def side_by_side(case: Case, device: str, variant: Variant, steps: int, watched_first: bool) -> Pair:
    """Both runs in turns, block by block; who goes first changes with every block."""
    bare, watched = Run(), Run()
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        gc.collect()
        both = [
            advancing(watched, make(case, device), variant.watcher, steps, Path(one)),
            advancing(bare, make(case, device), variant.bare, steps, Path(two)),
        ]
        going = both if watched_first else both[::-1]
        while sum(next(run, _OVER) is not _OVER for run in going):
            going.reverse()
    return Pair(bare, watched)


_OVER = object()


def pair(case: Case, device: str, variant: Variant, steps: int, watched_first: bool) -> Pair:
    """One run without and one with, in either order."""
    if variant.blockwise:
        return side_by_side(case, device, variant, steps, watched_first)
    order = (variant.watcher, variant.bare) if watched_first else (variant.bare, variant.watcher)
    first, second = (train(case, device, watcher, variant, steps) for watcher in order)
    return Pair(second, first) if watched_first else Pair(first, second)


def verdict(variant: Variant, pairs: Sequence[Pair]) -> str:
    """Whether a goal is met, where the pairs allow to say so."""
    if variant.goal is None:
        return "–"
    ratios = [p.ratio for p in pairs]
    if min(p.watched.notes.snapshots for p in pairs) < variant.fewest:
        found = "too short"
    elif min(ratios) < 2 - variant.goal or min(ratios) <= variant.goal < max(ratios):
        # A run that is faster when it is watched, or pairs that disagree: noise is as large as what is asked about.
        found = "undecided"
    else:
        found = "met" if median_ratio(pairs) <= variant.goal else "**missed**"
    return f"≤ {variant.goal:g}: {found}"


def median_ratio(pairs: Sequence[Pair]) -> float:
    """What the goals speak of."""
    return statistics.median(p.ratio for p in pairs)

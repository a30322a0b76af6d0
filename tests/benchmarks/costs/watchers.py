"""What may watch a run: nothing, a probe, a probe with nothing to do, ``wandb.watch``.

Each is a context manager around the training loop; attaching and detaching are part of its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibprobe import IBProbe
from ibprobe.schedule import Spaced

from .models import Net


@dataclass(slots=True)
class Notes:
    """What a watcher says of a run, and what it wants done after each step."""

    after: Callable[[int], object] | None = None
    snapshots: int = 0
    account: str = ""
    """The probe's own line about what it spent."""


FEWEST = 5
"""Snapshots that a run at defaults must hold, or it says nothing about a budget."""
Clock = Callable[[], float]
Watcher = Callable[[Net, Path, Clock], AbstractContextManager[Notes]]
"""Given a clock that counts the time of the run that it watches."""


@contextmanager
def nothing(net: Net, folder: Path, clock: Clock) -> Iterator[Notes]:
    """The run alone."""
    yield Notes()


def probing(measure_last: bool = True, **options: Any) -> Watcher:
    """A probe with these options, and no sink but its run directory."""

    @contextmanager
    def watcher(net: Net, folder: Path, clock: Clock) -> Iterator[Notes]:
        probe = IBProbe(
            net.model, loss=net.criterion, optimizer=net.optimizer, view=net.view, sinks=[], run_dir=folder / "run",
            **options,
        )  # fmt: skip
        notes = Notes()
        probe._budget._clock = clock  # two runs take turns, and each has its own time
        probe.attach()
        try:
            yield notes
        finally:
            probe.detach(measure=measure_last)
            notes.snapshots = len(probe.estimates.steps)
            notes.account = next((e.why for e in probe.estimates.events if e.kind == "cost"), "")

    return watcher


def nothing_due(**options: Any) -> Watcher:
    """A probe that only looks on, as between the steps of a schedule."""
    return probing(measure_last=False, every=Spaced(lambda step: False), **options)


@contextmanager
def wandb_run(folder: Path) -> Iterator[None]:
    """An offline W&B run, opened before the clock starts, because ``watch`` needs one and is not its cost."""
    import wandb

    settings = wandb.Settings(mode="offline", silent=True, console="off", x_disable_stats=True)
    with wandb.init(project="ibprobe-cost", dir=folder, settings=settings, reinit="finish_previous"):
        yield


@contextmanager
def wandb_log(net: Net, folder: Path, clock: Clock) -> Iterator[Notes]:
    """One number logged a step: what a run that is watched does anyway."""
    import wandb

    yield Notes(after=lambda step: wandb.log({"step": step}))


def wandb_watch(log_freq: int) -> Watcher:
    """The same with gradients and parameters watched."""

    @contextmanager
    def watcher(net: Net, folder: Path, clock: Clock) -> Iterator[Notes]:
        import wandb

        wandb.watch(net.model, net.criterion, log="all", log_freq=log_freq)
        try:
            yield Notes(after=lambda step: wandb.log({"step": step}))
        finally:
            wandb.unwatch(net.model)

    return watcher


@dataclass(frozen=True, slots=True)
class Variant:
    """One comparison: what is watched against what it is watched beside."""

    name: str
    watcher: Watcher
    bare: Watcher = nothing
    goal: float | None = None
    fewest: int = 0
    """Snapshots without which a run says nothing about the goal."""
    share: float = 1.0
    """Length of its runs, as a share of the run at defaults."""
    blockwise: bool = False
    """Both runs advance in turns, which cancels what the machine does meanwhile; not for ``wandb``, which has
    one run at a time."""
    surroundings: Callable[[Path], AbstractContextManager[object]] = nullcontext


def variants(options: Mapping[str, Any], goal: float) -> list[Variant]:
    """All comparisons, with one of equals that shows the machine's noise.

    Args:
        options: for the probes.
        goal: of the one at defaults.
    """
    return [
        Variant("no probe, twice", nothing, share=0.25, blockwise=True),
        Variant("probe, defaults", probing(**options), goal=goal, fewest=FEWEST, blockwise=True),
        Variant("probe, nothing due", nothing_due(**options), goal=1.005, share=0.25, blockwise=True),
        Variant("wandb.watch, log_freq=100", wandb_watch(100), wandb_log, share=0.25, surroundings=wandb_run),
        Variant("wandb.watch, log_freq=1", wandb_watch(1), wandb_log, share=0.1, surroundings=wandb_run),
    ]

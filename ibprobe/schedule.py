"""When to measure: which steps are due, and what the budget allows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ibprobe.errors import BadInput

Every = str | int | Callable[[int], bool]

_PER_DECADE = 12
_CRITICS_TO_BRACKETS = 20.0
"""What critics cost, in brackets, until they have run once."""


def due_when(every: Every) -> Callable[[int], bool]:
    """Turn ``every=`` into a predicate on optimizer steps.

    Args:
        every: ``"log"`` for about twelve steps a decade (60 in 100,000 steps), an integer for every so many steps, or a
            predicate of one's own.

    Raises:
        BadInput: anything else.
    """
    if callable(every):
        return every
    if every == "log":
        return _log_spaced
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return lambda step: step % every == 0
    raise BadInput(f'every= is "log", a positive number of steps, or a function step -> bool; got {every!r}')


def _log_spaced(step: int) -> bool:
    if step < 2:
        return True
    return round(10 ** (round(_PER_DECADE * math.log10(step)) / _PER_DECADE)) == step


@dataclass(slots=True)
class Budget:
    """Keeps what measuring costs below a share of the run's time.

    The first snapshot is on credit; after it, one starts only if its expected cost keeps the whole within the share.
    """

    share: float | None
    """Allowed share of elapsed time, or None for every scheduled step."""
    spent: float = 0.0
    measured: int = 0
    skipped: int = 0
    critics_skipped: int = 0
    early: int = 0
    """Due steps that passed before there were enough rows."""
    _clock: Callable[[], float] = time.perf_counter
    _started: float | None = None
    _last_cost: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.share is not None and not (isinstance(self.share, int | float) and 0 < self.share <= 1):
            raise BadInput(f"budget= is a share of the run's time in (0, 1], or None for no limit; got {self.share!r}")

    def start(self) -> None:
        """The run's time counts from here."""
        if self._started is None:
            self._started = self._clock()

    @property
    def elapsed(self) -> float:
        """Seconds since :meth:`start`."""
        return 0.0 if self._started is None else self._clock() - self._started

    def allows(self, kind: str) -> bool:
        """Whether work of this kind fits now, at the cost that it last had."""
        if self.share is None or (kind == "brackets" and not self.measured):
            return True
        guess = _CRITICS_TO_BRACKETS * self._last_cost.get("brackets", 0.0)
        return self.spent + self._last_cost.get(kind, guess) <= self.share * self.elapsed

    @contextmanager
    def paying(self, kind: str) -> Iterator[None]:
        """Book what a piece of work costs, whether or not it succeeds."""
        started = self._clock()
        try:
            yield
        finally:
            self._last_cost[kind] = self._clock() - started
            self.spent += self._last_cost[kind]

    def summary(self) -> str:
        """One line for the end of a run."""
        done = f"measured {self.measured} of {self.measured + self.skipped} due steps"
        share = f"{100 * self.spent / self.elapsed:.1f} % of the run's time" if self.elapsed > 0 else "no time"
        line = f"{done}, spent {share} ({self.spent:.1f} s)"
        if self.early:
            line += f"; {self.early} were due before there were enough rows"
        if self.share is None:
            return line
        line += f", budget {100 * self.share:g} %"
        if self.critics_skipped:
            line += f"; critics skipped {self.critics_skipped}×"
        return line + ("; to see more: a larger budget= or fewer rows=" if self.skipped or self.critics_skipped else "")

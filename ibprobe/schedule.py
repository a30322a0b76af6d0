"""When to measure: which steps are due, and what the budget allows."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from ibprobe.errors import BadInput

Every = str | int | Callable[[int], bool]

_PER_DECADE = 12
_CRITICS_TO_SNAPSHOT = 20.0
"""What critics cost, in snapshots without them, until they have run once."""
SEEN = 0.75
"""Part of a budget that is spent; the rest is for what no clock of ours sees: calls of hooks, caches that are cold."""


@dataclass(frozen=True, slots=True)
class Spaced:
    """A predicate on optimizer steps that depends on the step alone, so that it may be asked about later ones."""

    due: Callable[[int], bool]

    def __call__(self, step: int) -> bool:
        """Whether a step is due."""
        return self.due(step)


def due_when(every: Every) -> Callable[[int], bool]:
    """Turn ``every=`` into a predicate on optimizer steps; it is :class:`Spaced` unless it is the user's own.

    Args:
        every: ``"log"`` for about twelve steps a decade (60 in 100,000 steps), an integer for every so many steps, or a
            predicate of one's own.

    Raises:
        BadInput: anything else.
    """
    if callable(every):
        return every
    if every == "log":
        return Spaced(_log_spaced)
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return Spaced(lambda step: step % every == 0)
    raise BadInput(f'every= is "log", a positive number of steps, or a function step -> bool; got {every!r}')


def _log_spaced(step: int) -> bool:
    if step < 2:
        return True
    return round(10 ** (round(_PER_DECADE * math.log10(step)) / _PER_DECADE)) == step


@dataclass(slots=True)
class Budget:
    """Keeps what measuring costs below a share of the training time.

    What counts is all that slows training: seconds that training waits for the probe, and what work beside it takes
    away from it. The first snapshot is on credit; after it, one starts only if its expected cost, and that of the last
    one, keep the whole within the share.
    """

    share: float | None
    """Seconds allowed for each second of training itself, or None for every scheduled step."""
    waited: float = 0.0
    """Seconds that training waited for the probe."""
    beside: float = 0.0
    """Seconds that work beside training took from it."""
    measured: int = 0
    skipped: int = 0
    critics_skipped: int = 0
    late: int = 0
    """Due steps that passed while the last snapshot was still being worked on."""
    early: int = 0
    """Due steps that passed before there were enough rows."""
    _clock: Callable[[], float] = time.perf_counter
    _started: float | None = None
    _before: float = 0.0
    """Seconds of the run until it was last interrupted."""
    _last_cost: dict[str, float] = field(default_factory=dict)
    _paying_since: float | None = None

    def __post_init__(self) -> None:
        if self.share is not None and not (isinstance(self.share, int | float) and 0 < self.share <= 1):
            raise BadInput(
                f"budget= is a share of the training's time in (0, 1], or None for no limit; got {self.share!r}"
            )

    def start(self) -> None:
        """The run's time counts from here."""
        if self._started is None:
            self._started = self._clock()

    def stop(self) -> None:
        """It counts no more, until the run goes on."""
        self._before, self._started = self.elapsed, None

    @property
    def elapsed(self) -> float:
        """Seconds of the run."""
        return self._before + (0.0 if self._started is None else self._clock() - self._started)

    @property
    def spent(self) -> float:
        """Seconds that the run took longer."""
        return self.waited + self.beside

    def allows(self, kind: str, *, last: bool = False) -> bool:
        """Whether ``snapshot`` (rows and brackets) or ``critics`` fit now, at the cost that they last had.

        Args:
            kind: of the work.
            last: whether the run ends with it; else the last snapshot, which is always taken, must fit as well.
        """
        if self.share is None or (kind == "snapshot" and not self.measured):
            return True
        snapshot = self._last_cost.get("rows", 0.0) + self._last_cost.get("brackets", 0.0)
        critics = self._last_cost.get("critics", _CRITICS_TO_SNAPSHOT * snapshot)
        waited = self.waited + (0.0 if self._paying_since is None else self._clock() - self._paying_since)
        cost = (snapshot if kind == "snapshot" else critics) + (0.0 if last else snapshot)
        return waited + self.beside + cost <= SEEN * self.share * (self.elapsed - waited)

    def paying(self, kind: str) -> Payment:
        """Book how long a piece of work keeps training waiting, whether or not it succeeds; parts of it once only."""
        return Payment(self, kind)

    def book(self, kind: str, *, cost: float, spent: float) -> None:
        """Add what work beside training took away from it.

        Args:
            kind: of the work, whose beginning was paid for.
            cost: seconds that the like of it is expected to take away next time.
            spent: seconds that it took away now.
        """
        self._last_cost[kind] = self._last_cost.get(kind, 0.0) + cost
        self.beside += spent

    def summary(self) -> str:
        """One line for the end of a run."""
        due = self.measured + self.skipped + self.late + self.early
        training = max(self.elapsed - self.waited, 0.0)
        share = [f"{100 * self.spent / training:,.1f} %"] if training else []
        share += [] if self.share is None else [f"budget {100 * self.share:g} %"]
        line = f"measured {self.measured} of {due} due steps: {self.spent:.1f} s beside {training:.1f} s of training"
        line += f" ({', '.join(share)})" if share else ""
        for number, why in ((self.early, "there were enough rows"), (self.late, "another was done")):
            line += f"; {number} were due before {why}" if number else ""
        if self.share is None:
            return line
        if self.critics_skipped:
            line += f"; critics skipped {self.critics_skipped}×"
        more = self.skipped or self.critics_skipped
        return line + ("; to see more: a larger budget=, None for all, or fewer rows=" if more else "")

    def state_dict(self) -> dict[str, Any]:
        """Counts, costs and the time that has passed, as plain types."""
        kept = ("waited", "beside", "measured", "skipped", "critics_skipped", "late", "early")
        return {name: getattr(self, name) for name in kept} | {"elapsed": self.elapsed, "costs": dict(self._last_cost)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from there."""
        for name in state.keys() - {"elapsed", "costs"}:
            setattr(self, name, state[name])
        self._last_cost = dict(state["costs"])
        self._before = state["elapsed"]


class Payment:
    """The context of :meth:`Budget.paying`: every training step enters it, and a generator costs three times more."""

    __slots__ = ("_begun", "_budget", "_kind", "_whole")

    def __init__(self, budget: Budget, kind: str) -> None:
        self._budget, self._kind = budget, kind

    def __enter__(self) -> None:
        budget = self._budget
        self._begun, self._whole = budget._clock(), budget._paying_since is None
        if self._whole:
            budget._paying_since = self._begun

    def __exit__(self, *_: object) -> None:
        budget, cost = self._budget, self._budget._clock() - self._begun
        budget._last_cost[self._kind] = cost
        if self._whole:
            budget.waited += cost
            budget._paying_since = None


class StepTimes:
    """How much longer optimizer steps take while work goes on beside them: its cost, where no processor tells it.

    Medians are compared, of recent steps with and without: a step that is slow by itself counts for little.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._undisturbed: deque[float] = deque(maxlen=50)
        self._disturbed: list[float] = []
        self._last: float | None = None

    def passed(self, *, beside: bool, ours: float) -> None:
        """A step is over.

        Args:
            beside: whether work went on beside it.
            ours: seconds of it in which training waited for the probe.
        """
        now = self._clock()
        if self._last is not None:
            (self._disturbed if beside else self._undisturbed).append(now - self._last - ours)
        self._last = now

    def lost(self) -> float:
        """Seconds lost since the last call; 0 before a step went undisturbed."""
        disturbed, self._disturbed = self._disturbed, []
        if not disturbed or not self._undisturbed:
            return 0.0
        return max(median(disturbed) - median(self._undisturbed), 0.0) * len(disturbed)

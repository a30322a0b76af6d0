"""How far each layer's value lies below its highest one so far, with the error of that difference.

The same rows and the same noise are measured at every step, so most of the error of two values is the same and cancels
in their difference: the rows' contributions are subtracted one by one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from hashlib import blake2b
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from ibprobe.estimate.ends import Bracket, mean_and_error
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_OUTSIDE = 0.025
"""Chance that the fall lies beyond one end of its interval."""


@dataclass(frozen=True, slots=True)
class _Course:
    """What is compared over the steps: values with a lower end and upper ends alone are different quantities."""

    layer: str
    quantity: str
    split: str
    upper_end_only: bool


@dataclass(frozen=True, slots=True)
class _Middle:
    """The middle of a bracket, row by row."""

    terms: Float[Tensor, "draws n"]
    gap: float
    """Nats between the two ends."""
    rows: str
    """A hash of which rows these are, in their order."""
    sampled: str

    @classmethod
    def of(cls, bracket: Bracket, keys: Int[Tensor, " n"]) -> _Middle | None:
        """On the CPU, in float32: half of the memory, and 1e-6 of a nat."""
        if bracket.terms is None:
            return None
        low, high = bracket.terms.low, bracket.terms.high
        kept = keys[bracket.rows.to(keys.device)].cpu().numpy().tobytes()
        middle = ((low + high) / 2).float().cpu()
        return cls(middle, float((high - low).mean()), blake2b(kept, digest_size=16).hexdigest(), bracket.sampled)


class Falls:
    """Sets the fall of every value that it is given, layer by layer and quantity by quantity.

    The interval is that of the difference of the two middles. Where in its bracket a value lies is not known, but it is
    taken to be the same place at both steps, so half of the *difference* of the two gaps is added on either side. The
    highest value is picked after the fact: the interval holds for all earlier snapshots at once (Bonferroni 1936).

    Memory: the highest value's contributions, 4 bytes a row and draw. At 2,048 rows and four draws this is 32 KB a
    quantity, 192 KB a layer with three quantities on two splits.
    """

    def __init__(self) -> None:
        self._highest: dict[_Course, tuple[Estimate, _Middle | None]] = {}
        self._earlier: Counter[_Course] = Counter()

    def entered(self, bracket: Bracket, keys: Int[Tensor, " n"]) -> Estimate:
        """Take a value in.

        Args:
            bracket: of a step, which is not before the last one that was entered.
            keys: a hash of each input that the layer was measured with: rows with the same ones are paired.

        Returns:
            The estimate with its fall in nats; without an interval where either value has no two ends.
        """
        now, middle = bracket.estimate, _Middle.of(bracket, keys)
        course = _Course(now.layer, now.quantity, now.split, now.bound == "upper end")
        earlier = self._earlier[course]
        self._earlier[course] += 1
        if not earlier or now.nats > self._highest[course][0].nats:
            self._highest[course] = (now, middle)
        highest, of_highest = self._highest[course]
        fall = highest.nats - now.nats
        low, high = _interval(of_highest, middle, fall, earlier)
        return replace(now, peak_step=highest.step, fall=fall, fall_low=low, fall_high=high)

    def state_dict(self) -> list[dict[str, Any]]:
        """The highest values as plain types and tensors."""
        return [
            {
                "course": asdict(course),
                "earlier": self._earlier[course],
                "estimate": highest.to_dict(),
                "middle": None if middle is None else {f.name: getattr(middle, f.name) for f in fields(_Middle)},
            }
            for course, (highest, middle) in self._highest.items()
        ]

    def load_state_dict(self, state: Iterable[Mapping[str, Any]]) -> None:
        """Go on from there."""
        for known in state:
            course, middle = _Course(**known["course"]), known["middle"]
            self._earlier[course] = known["earlier"]
            self._highest[course] = (Estimate.from_dict(known["estimate"]), middle and _Middle(**middle))


def difference(
    one: tuple[Bracket, Int[Tensor, " n"]], other: tuple[Bracket, Int[Tensor, " n"]]
) -> tuple[float | None, float | None]:
    """95 % interval, in nats, of how far the first value lies above the second.

    Args:
        one: a bracket, and a hash of each input that its layer was measured with.
        other: of the same layer and quantity, in another state.

    Returns:
        Both ends; None where either value has no two ends.
    """
    above = one[0].estimate.nats - other[0].estimate.nats
    return _interval(_Middle.of(*one), _Middle.of(*other), above, 1)


def _interval(
    then: _Middle | None, now: _Middle | None, fall: float, earlier: int
) -> tuple[float | None, float | None]:
    """95 % interval of the fall, from its point value outwards where that leans away from the middles."""
    if then is None or now is None:
        return None, None
    if then is now:
        return 0.0, 0.0
    between, error = _difference(then, now)
    reach = NormalDist().inv_cdf(1 - _OUTSIDE / earlier) * error + abs(then.gap - now.gap) / 2
    return min(between - reach, fall), max(between + reach, fall)


def _difference(then: _Middle, now: _Middle) -> tuple[float, float]:
    """How far the first lies above the second, and the standard error; rows that differ have independent errors."""
    a, b = then.terms.double(), now.terms.double()
    if then.rows == now.rows:
        return mean_and_error(a - b, now.sampled if now.sampled == then.sampled else "population")
    (high, high_error), (low, low_error) = mean_and_error(a, then.sampled), mean_and_error(b, now.sampled)
    return high - low, math.hypot(high_error, low_error)

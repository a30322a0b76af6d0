"""From the two ends of a bracket, row by row, to an interval and to what makes it doubtful."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ibprobe.estimate.kernel import Terms
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

WIDE = 0.5
"""A gap above this many nats makes the midpoint worse than the lower end plus a quarter nat."""
FEW_ROWS = 512
# Two-sided and one-sided 95 % points of the standard normal.
TWO_SIDED, ONE_SIDED = 1.96, 1.645
# Nats below which a layer is said to keep nothing.
_NOTHING = 0.1


@dataclass(frozen=True, slots=True)
class Bracket:
    """An estimate, and the rows' contributions that it was read off."""

    estimate: Estimate
    rows: Int[Tensor, " n"]
    """Places of these rows among those that the layer was measured with."""
    terms: Terms | None = None
    """What each row adds to the two ends; both are the exact sum where there is one. None without a lower end, and for
    counts."""
    sampled: str = "population"
    """What :func:`mean_and_error` must take the rows for."""


def within_error(e: Estimate, point: float, low: tuple[float, float], high: tuple[float, float]) -> Estimate:
    """The point value between two ends, each given with its standard error."""
    return replace(
        e, nats=point, ci_low=low[0] - TWO_SIDED * low[1], ci_high=high[0] + TWO_SIDED * high[1],
        lower_confidence=low[0] - ONE_SIDED * low[1],
    )  # fmt: skip


def doubts(base: Estimate, low: float, high: float) -> set[str]:
    """Flags that the two ends raise by themselves."""
    flags = {"wide_bracket": high - low > WIDE}
    if base.quantity != "I_TY":
        flags["at_ceiling"] = low > base.ceiling - WIDE
        # Where passes are few, a low lower end alone does not say that a layer keeps nothing.
        most = high if base.bound == "nested" else low
        flags["collapsed"] = most < _NOTHING and base.quantity == "I_XT"
    return {k for k, on in flags.items() if on}


def mean_and_error(terms: Float[Tensor, "draws n"], target: str) -> tuple[float, float]:
    """Mean and standard error: over rows of a sample, or over the noise alone when the rows are all there is.

    The rows' second role, as centres of the mixture, adds nothing to first order: the mixture is the maximiser of the
    very sum that is read.
    """
    draws, n = terms.shape
    if target == "probe_set":
        return float(terms.mean()), math.sqrt(float(terms.var(0).mean()) / (draws * n))
    return float(terms.mean()), float(terms.mean(0).std()) / math.sqrt(n)

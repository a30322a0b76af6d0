"""What the references share: one pair at a time, and a standard error from the rows' own contributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.channel import stable_seed
from ibprobe.estimate.pairs import Pair, Reading

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

CONSTANT = "one side is constant"


@dataclass(frozen=True, slots=True)
class OneByOne:
    """An estimator that reads every pair by itself and needs no folds, for it fits nothing that could over-fit."""

    read: Callable[[Pair, int], Reading | str]
    """From a pair and a seed."""

    def __call__(self, pairs: Mapping[str, Pair], folds: Int[Tensor, " n"], *, seed: int) -> dict[str, Reading | str]:
        """See :class:`~ibprobe.estimate.pairs.Estimator`."""
        with torch.no_grad():
            return {name: self.read(pair, stable_seed(seed, name)) for name, pair in pairs.items()}


def interval(
    nats: float,
    se: float,
    bound: str,
    *,
    low: float | None = None,
    high: float | None = None,
    flags: frozenset[str] = frozenset(),
    noiseless: bool = False,
) -> Reading:
    """A reading with a normal interval: ±1.96 se around the value, or around the range that the value may lie in.

    The error comes from the rows' contributions (the influence function): it covers that other rows would have been
    drawn, and nothing else. An estimator's bias is named where the estimator is; where its size can be told, it widens
    ``low`` to ``high``.

    Args:
        nats: the point value.
        se: its standard error.
        bound: what it was read by.
        low: lower end before sampling error; the value itself by default.
        high: upper end before sampling error.
        flags: reasons for care.
        noiseless: see :class:`~ibprobe.estimate.pairs.Reading`.
    """
    low, high = nats if low is None else low, nats if high is None else high
    return Reading(
        nats=nats, ci_low=low - 1.96 * se, ci_high=high + 1.96 * se, lower_confidence=low - 1.645 * se, bound=bound,
        flags=flags, noiseless=noiseless,
    )  # fmt: skip


def error_of_mean(terms: Float[Tensor, " n"]) -> float:
    """Standard error of the mean of the rows' contributions."""
    return float(terms.double().std()) / math.sqrt(len(terms))


def standardised(x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
    """Columns of median 0 and unit scale in float64; constant columns are left out, so k ≤ d.

    The unit is the interquartile range, which one outlier cannot set for all other rows, or the standard deviation
    where more than half of the rows are equal.
    """
    # Scaled before it is squared: 1e200 is a number too.
    largest = x.double().abs().amax(0)
    wide = x.double() / torch.where(largest > 0, largest, 1.0)
    spread = (wide - wide.mean(0)).square().mean(0).sqrt()
    # Rounding may leave a unit in the last place of the mean in a constant column.
    alive = spread > 2 * torch.finfo(x.dtype).eps
    ordered, n = wide[:, alive].sort(0).values, len(x)
    quartiles = ordered[3 * n // 4] - ordered[n // 4]
    return (wide[:, alive] - ordered[n // 2]) / torch.where(quartiles > 0, quartiles, spread[alive])


def with_noise(pair: Pair, seed: int) -> Float[Tensor, "n db"]:
    """The b side with one draw of its noise."""
    if not pair.std:
        return pair.b
    generator = torch.Generator(pair.b.device).manual_seed(seed)
    eps = torch.randn(pair.b.shape, generator=generator, device=pair.b.device)
    return pair.b + pair.std * eps.to(pair.b.dtype)

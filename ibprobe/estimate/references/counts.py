"""Two sides of symbols: counting them, less what chance alone would show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.single import OneByOne, error_of_mean, interval

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

_SHUFFLES = 32
_ROOM = 0.05
"""Share of the entropy that chance must leave, or the adjustment multiplies what is left by more than 20."""


def build() -> OneByOne:
    """The estimator."""
    return OneByOne(counts)


def counts(pair: Pair, seed: int) -> Reading | str:
    """Plug-in information of two sides of labels, adjusted for chance.

    The plug-in Î is too high by about (K − 1)(L − 1)/2n, and by nats when most cells are empty. Its mean E over random
    shuffles of one side is the whole bias where the truth is 0, and none is left where one side determines the other;
    between, I = (Î − E)/(M − E) · M* (Vinh, Epps & Bailey 2010), with M the smaller plug-in entropy and M* the same
    after Grassberger (2003, arXiv physics/0307138). Over 38 tables (2 × 2 to 1000 × 2, 100 to 2,048 rows, uniform, Zipf
    and sparse) its mean RMSE is .07 nats, where Grassberger's entropies have .13, the jackknife .15, Miller–Madow .24
    and the plug-in .34. It is worst (0.47 low) for sparse tables without structure: 100 × 100 cells, 2,048 rows.

    The interval reaches from all of E taken off to the larger of this value and Grassberger's, with sampling error.

    Args:
        pair: two sides of labels, without noise.
        seed: of the shuffles.
    """
    if pair.a.ndim != 1 or pair.b.ndim != 1:
        return "counts needs labels on both sides: integers of shape (n,)"
    a, b = (torch.unique(side, return_inverse=True)[1] for side in (pair.a, pair.b))
    found = Counted.of(a, b, seed)
    top = min(_grassberger(a), _grassberger(b))
    nats = found.adjusted(top)
    if nats is None:
        return "nearly every row has a symbol of its own: counting cannot tell dependence from chance"
    other = _grassberger(a) + _grassberger(b) - _grassberger(_joint(a, b))
    low, se = min(found.plug_in - found.chance, nats), found.error * top / (found.top - found.chance)
    return interval(nats, se, "plug-in, adjusted for chance", low=low, high=max(nats, other))


@dataclass(frozen=True, slots=True)
class Counted:
    """What counting shows, and what it would show by chance."""

    plug_in: float
    chance: float
    """Mean plug-in over shuffles of one side."""
    top: float
    """The smaller plug-in entropy."""
    error: float
    """Standard error; at truth 0 rows contribute nothing, and what is left is the spread over shuffles."""

    @classmethod
    def of(cls, a: Int[Tensor, " n"], b: Int[Tensor, " n"], seed: int) -> Counted:
        """Count, and shuffle b."""
        terms = pointwise(a, b)
        generator = torch.Generator(a.device).manual_seed(seed)
        orders = [torch.randperm(len(b), generator=generator, device=a.device) for _ in range(_SHUFFLES)]
        chance = torch.stack([pointwise(a, b[order]).mean() for order in orders])
        plug_in, top = float(terms.mean()), min(entropy(a), entropy(b))
        # A cell that nobody fell into may be due a row, which costs a strong dependence about ln n/n.
        unseen = plug_in / (top or 1.0) * math.log(len(a)) / len(a)
        error = math.hypot(error_of_mean(terms), float(chance.std()), unseen)
        return cls(plug_in, float(chance.mean()), top, error)

    def adjusted(self, top: float) -> float | None:
        """Stretched so that chance is 0 and a side that determines the other is ``top``; None where these coincide."""
        room = self.top - self.chance
        if self.top == 0:
            return 0.0
        return None if room < _ROOM * self.top else max((self.plug_in - self.chance) / room * top, 0.0)


def entropy(symbols: Int[Tensor, " n"]) -> float:
    """Plug-in entropy in nats."""
    p = torch.unique(symbols, return_counts=True)[1].double() / len(symbols)
    return float(-(p * p.log()).sum())


def pointwise(a: Int[Tensor, " n"], b: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The log-ratio log p(a, b)/(p(a) p(b)) of each row by counting; the mean is the plug-in."""
    shares = []
    for symbols in (_joint(a, b), a, b):
        _, place, count = torch.unique(symbols, return_inverse=True, return_counts=True)
        shares.append((count.double() / len(a)).log()[place])
    ratio: Tensor = shares[0] - shares[1] - shares[2]
    return ratio


def _joint(a: Int[Tensor, " n"], b: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    return a * (int(b.max()) + 1) + b


def _grassberger(symbols: Int[Tensor, " n"]) -> float:
    """Entropy ln n − ⟨G(count)⟩, nearly free of bias for symbols that are seen at all."""
    c = torch.unique(symbols, return_counts=True)[1].double()
    sign = 1 - 2 * (c % 2)
    g = torch.digamma(c) + sign / 2 * (torch.digamma((c + 1) / 2) - torch.digamma(c / 2))
    return math.log(len(symbols)) - float((c * g).sum()) / len(symbols)

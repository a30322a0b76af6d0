"""Two kernel sums over one distance matrix bound both coordinates of a layer, without training anything.

The probe adds the noise itself, so p(t̃|t) is known. With g(i, j) = log p(t̃ᵢ|tⱼ) − log p(t̃ᵢ|tᵢ):

* I(T;T̃), self-included:  E[ln n − log Σⱼ eᵍ], at most the truth in expectation, exact for the empirical distribution;
* I(T;T̃), leave-one-out:  E[ln(n − 1) − log Σ_{j≠i} eᵍ], at least the truth in expectation;
* I(T̃;Y): the same sums over the rows of a class, against those over all rows, are a Bayes classifier.

Self-included and leave-one-out sums are the two sides of Poole et al. 2019 (arXiv 1905.06922, eq. 10 and 13) with the
known conditional as critic; Goldfeld et al. 2019 (arXiv 1810.05728) and Kolchinsky & Tracey 2017 (arXiv 1706.02419)
use the same mixture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ibprobe.estimate.channel import NoisyRows

if TYPE_CHECKING:
    from jaxtyping import Float, Int

# Rows of the matrix in memory at a time: small blocks stay in cache; never more than 256 MB of scratch.
_BLOCK_BYTES = 8 * 2**20
_SCRATCH_BYTES = 256 * 2**20
# Log-densities below the best by more than this count as this: e⁻⁸⁷ is the smallest normal float32. It also keeps
# the upper end finite for a class that is out of reach.
_REACH = -87.0


@dataclass(frozen=True, slots=True)
class Sums:
    """Per row and draw, log Σ eᵍ over the *other* rows; adding the row itself is adding e⁰."""

    others: Float[Tensor, "draws n"]
    same_class: Float[Tensor, "draws n"] | None


@dataclass(frozen=True, slots=True)
class Terms:
    """Contribution of each row and draw to the two ends of a bracket, in nats."""

    low: Float[Tensor, "draws n"]
    high: Float[Tensor, "draws n"]


@torch.no_grad()
def kernel_sums(rows: NoisyRows, y: Int[Tensor, " n"] | None = None) -> Sums:
    """Sum the noise kernel over all other rows, and over those of the same class.

    Args:
        rows: a layer's rows in noise units.
        y: classes 0 … K−1, or None.

    Returns:
        Log sums, float64. Time O(draws · n² · (d + K)); the matrix is never held whole: blocks of at most 256 MB.
    """
    u = rows.u
    member = None if y is None else one_hot(y).to(u.dtype)
    half_norm = u.square().sum(1) / 2
    block = max(
        1,
        min(_SCRATCH_BYTES, max(_BLOCK_BYTES, 64 * u.element_size() * len(u))) // (u.element_size() * len(u)),
    )
    others, same = [], []
    for eps in rows.draws():
        z = u + eps
        # The row's own log-density, −‖ε‖²/2, is taken off exactly: not as a difference of large squares.
        own = half_norm + (eps * u).sum(1)
        parts = [
            _block_sums(z, u, half_norm, own, i, min(i + block, len(u)), member, y) for i in range(0, len(u), block)
        ]
        others.append(torch.cat([p[0] for p in parts]))
        same.append(torch.cat([p[1] for p in parts if p[1] is not None]) if member is not None else None)
    stacked = None if y is None else torch.stack([s for s in same if s is not None])
    return Sums(torch.stack(others), stacked)


def _block_sums(
    z: Tensor,
    u: Tensor,
    half_norm: Tensor,
    own: Tensor,
    start: int,
    stop: int,
    member: Tensor | None,
    y: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    g = torch.addmm(half_norm, z[start:stop], u.T, beta=-1)
    g.diagonal(start).fill_(-math.inf)
    top = g.amax(1, keepdim=True)
    # Clamped because denormal numbers make the exponential and the product ten times slower.
    g.sub_(top).clamp_min_(_REACH).exp_()
    shift = (top[:, 0] - own[start:stop]).double()
    others = shift + g.sum(1).double().log()
    if member is None or y is None:
        return others, None
    own_class = (g @ member).gather(1, y[start:stop, None])[:, 0]
    return others, shift + own_class.double().log()


def input_terms(sums: Sums) -> Terms:
    """I(T;T̃) of each row."""
    n = sums.others.shape[1]
    with_self = torch.logaddexp(sums.others, torch.zeros(()).to(sums.others))
    return Terms(low=math.log(n) - with_self, high=math.log(n - 1) - sums.others)


def within_class_terms(sums: Sums, y: Int[Tensor, " n"]) -> Terms:
    """I(X;T̃|Y) of each row; classes need two rows at least."""
    assert sums.same_class is not None
    size = torch.bincount(y)[y].double()
    with_self = torch.logaddexp(sums.same_class, torch.zeros(()).to(sums.same_class))
    return Terms(low=size.log() - with_self, high=(size - 1).log() - sums.same_class)


def label_terms(sums: Sums, y: Int[Tensor, " n"]) -> Terms:
    """I(T̃;Y) of each row: log q(y|t̃) − log p(y) with q a Bayes classifier from the exact kernel.

    The lower end leaves the row out and mixes q with the class prior, so that a class that is out of reach costs a
    bounded amount; the weight is tuned on the other half of the rows. The upper end includes the row: exact for the
    empirical distribution, only nearly an upper bound for the population (its H(Y) is short by up to (K − 1)/2n).
    """
    assert sums.same_class is not None
    prior = (torch.bincount(y)[y].double() / len(y)).log()
    zero = torch.zeros(()).to(sums.others)
    high = torch.logaddexp(sums.same_class, zero) - torch.logaddexp(sums.others, zero) - prior
    return Terms(low=_mixed_with_prior(sums.same_class - sums.others, prior) - prior, high=high)


def _mixed_with_prior(log_q: Float[Tensor, "draws n"], log_prior: Float[Tensor, " n"]) -> Float[Tensor, "draws n"]:
    weights = torch.logspace(-4, 0, 33, dtype=log_q.dtype, device=log_q.device)[:, None, None]
    mixed = torch.log((1 - weights) * log_q.exp() + weights * log_prior.exp())
    even = torch.arange(log_q.shape[1], device=log_q.device) % 2 == 0
    best_for_even = mixed[:, :, ~even].mean((1, 2)).argmax()
    best_for_odd = mixed[:, :, even].mean((1, 2)).argmax()
    return torch.where(even, mixed[best_for_even], mixed[best_for_odd])

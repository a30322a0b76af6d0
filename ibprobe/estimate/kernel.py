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
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ibprobe.estimate.channel import NoisyRows

if TYPE_CHECKING:
    from jaxtyping import Float, Int

# Rows of the matrix in memory at a time: small blocks stay in cache (at ten dimensions, 2 MB take 0.4 of the time that
# 8 MB take), wide products want large ones; never more than 256 MB of scratch.
_BLOCK_BYTES, _WIDE_BLOCK_BYTES, _WIDE = 2 * 2**20, 8 * 2**20, 256
SCRATCH_BYTES = 256 * 2**20
# Log-densities below the best by more than this count as this: e⁻⁸⁷ is the smallest normal float32. It also keeps
# the upper end finite for a class that is out of reach.
_REACH = -87.0


Scores = Callable[[int, int], tuple[Tensor, Tensor]]
"""For some noisy rows, by first and last: log-densities given every row ``(k, n)``, and given their own ``(k,)``."""


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
        Log sums, float64. Time O(draws · n² · d); the matrix is never held whole: blocks of at most 256 MB.
    """
    order, sizes = class_by_class(y)
    u = rows.u if order is None else rows.u[order]
    half_norm = u.square().sum(1) / 2
    row_bytes = u.element_size() * len(u)
    wanted = max(block_bytes(u, _WIDE_BLOCK_BYTES if u.shape[1] >= _WIDE else _BLOCK_BYTES), 64 * row_bytes)
    block = max(1, min(SCRATCH_BYTES, wanted) // row_bytes)

    def scored(drawn: Tensor) -> Scores:
        eps = drawn if order is None else drawn[order]
        # The row's own log-density, −‖ε‖²/2, is taken off exactly: not as a difference of large squares.
        z, own = u + eps, half_norm + (eps * u).sum(1)
        return lambda start, stop: (torch.addmm(half_norm, z[start:stop], u.T, beta=-1), own[start:stop])

    return summed(map(scored, rows.draws()), len(u), block, order, sizes)


def block_bytes(like: Tensor, cached: int) -> int:
    """Scratch of one block: what a processor's cache holds well; on a GPU all, for each block is many launches."""
    return SCRATCH_BYTES if like.is_cuda else cached


def class_by_class(y: Int[Tensor, " n"] | None) -> tuple[Tensor | None, list[int]]:
    """An order of rows in which a class is a square on the diagonal of the matrix, and the sizes of the classes."""
    return (None, []) if y is None else (y.argsort(stable=True), torch.bincount(y).tolist())


def summed(draws: Iterable[Scores], n: int, block: int, order: Tensor | None, sizes: Sequence[int]) -> Sums:
    """Sum log-densities over all other rows, and over those of the same class.

    Args:
        draws: scores of the rows of each draw, in ``order``.
        n: rows.
        block: rows of the matrix in memory at a time.
        order: of :func:`class_by_class`.
        sizes: of the classes.
    """
    others, same = [], []
    for scores in draws:
        parts = [_block_sums(*scores(i, min(i + block, n)), i, sizes) for i in range(0, n, block)]
        whole, of_class = (torch.cat(p) for p in zip(*parts, strict=True))
        others.append(whole)
        same.append(of_class)
    if order is None:
        return Sums(torch.stack(others), None)
    back = order.argsort()
    return Sums(torch.stack(others)[:, back], torch.stack(same)[:, back])


def _block_sums(g: Tensor, own: Tensor, start: int, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Log sums of some rows over all others, and over those of their class: none where there are no classes."""
    g.diagonal(start).fill_(-math.inf)
    top = g.amax(1, keepdim=True)
    # Clamped because denormal numbers make the exponential ten times slower.
    g.sub_(top).clamp_min_(_REACH).exp_()
    shift = (top[:, 0] - own).double()
    squares = [
        g[a - start : b - start, first:last].sum(1) for a, b, first, last in _squares(start, start + len(g), sizes)
    ]
    same = torch.cat([g.new_empty(0), *squares])
    return shift + g.sum(1).double().log(), shift[: len(same)] + same.double().log()


def _squares(start: int, stop: int, sizes: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """For every class that these rows meet: its rows among them, and all its columns."""
    first = 0
    for last in accumulate(sizes):
        if max(first, start) < min(last, stop):
            yield max(first, start), min(last, stop), first, last
        first = last


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

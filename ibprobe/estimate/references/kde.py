"""Pairwise bounds on the entropy of a Gaussian mixture: Kolchinsky & Tracey 2017."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.single import CONSTANT, OneByOne, error_of_mean, interval

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

ASSUMED = 0.25
"""Noise assumed where none is known, in units of the rows' root mean square distance from their mean."""
_BLOCK = 2**22
"""Entries of the distance matrix in memory at a time: 32 MiB."""
_UPPER, _LOWER = 2.0, 8.0
"""Divisor of the squared distance: Kullback–Leibler (upper bound) and Bhattacharyya (lower)."""


def build() -> OneByOne:
    """The estimator."""
    return OneByOne(kde)


def kde(pair: Pair, seed: int) -> Reading | str:
    """I(b; b + std·ε), or with labels I(b + std·ε; Y), between pairwise bounds and without drawing noise.

    For n equal Gaussians −⟨ln⟨exp(−|tᵢ − tⱼ|²/2std²)⟩⟩ is at least the information of the rows *as a finite set*, and
    the same with 8 in place of 2 at most (Kolchinsky & Tracey 2017, arXiv 1706.02419). The value is the
    upper one, and with labels the upper one less that within classes, as Saxe et al. (2018) have it; the interval
    spans both with their sampling errors. A population may hold more than its rows: near ln n everything saturates.

    Args:
        pair: the same rows on both sides, or labels on one. Without known noise and with labels, noise of 0.25 times
            the rows' root mean square distance from their mean is assumed.
        seed: not used.
    """
    if pair.b.ndim == 1:
        pair = Pair(pair.b, pair.a)
    y, t = (pair.a if pair.a.ndim == 1 else None), pair.b
    if t.ndim == 1:
        return "both sides are labels: use counts"
    if y is None and not pair.std:
        return "two sides of numbers without noise of known size are no mixture (try ksg)"
    if y is None and not (pair.a.shape == t.shape and torch.equal(pair.a, t)):
        return "b is not a function of a, and the mixture bounds I(b; b + noise) only"
    u = _in_noise_units(t, pair.std)
    if u is None:
        return CONSTANT
    bound = "kolchinsky-tracey upper" + ("" if pair.std else f", relative noise {ASSUMED} assumed")
    upper, lower = (_information(u, divisor) for divisor in (_UPPER, _LOWER))
    if y is None:
        return interval(float(upper.mean()), error_of_mean(upper), bound, low=float(lower.mean()))
    upper_in, lower_in = (_within_classes(u, y, divisor) for divisor in (_UPPER, _LOWER))
    nats = max(float((upper - upper_in).mean()), 0.0)
    low, high = float((lower - upper_in).mean()), float((upper - lower_in).mean())
    return interval(nats, error_of_mean(upper - upper_in), bound, low=min(low, nats), high=max(high, nats))


def _in_noise_units(t: Float[Tensor, "n d"], std: float) -> Float[Tensor, "n d"] | None:
    wide = t.double()
    # A common factor, so that squares stay within range.
    largest = float(wide.abs().max())
    wide = wide / (largest or 1.0)
    wide = wide - wide.mean(0)
    r = float(wide.square().sum(1).mean().sqrt())
    if r <= 8 * torch.finfo(t.dtype).eps:
        return None
    return wide / (std / largest if std else ASSUMED * r)


def _information(u: Float[Tensor, "n d"], divisor: float) -> Float[Tensor, " n"]:
    """−ln of the mean kernel at each row."""
    size = max(1, _BLOCK // len(u))
    logs = [torch.logsumexp(torch.cdist(u[i : i + size], u).square() / -divisor, 1) for i in range(0, len(u), size)]
    return math.log(len(u)) - torch.cat(logs)


def _within_classes(u: Float[Tensor, "n d"], y: Int[Tensor, " n"], divisor: float) -> Float[Tensor, " n"]:
    terms = torch.zeros_like(u[:, 0])
    for c in torch.unique(y):
        terms[y == c] = _information(u[y == c], divisor)
    return terms

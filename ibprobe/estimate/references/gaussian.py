"""Log-determinants: exact when both sides are jointly Gaussian, and a statement about covariances otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.single import CONSTANT, OneByOne, error_of_mean, interval, standardised

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_RANK = 1e-10
"""Share of the largest variance below which a direction is no direction: duplicated columns, more columns than rows."""


def build() -> OneByOne:
    """The estimator."""
    return OneByOne(gaussian)


def gaussian(pair: Pair, seed: int) -> Reading | str:
    """Information of two jointly Gaussian sides, from sample covariances, less the bias that few rows give.

    Without noise ½ ln |Σa||Σb|/|Σab|, with E ln |S| of a Wishart matrix taken off exactly (Misra et al. 2005).
    With known noise ½ ln |Σb + std²|/|Σb|a + std²|, less its bias to first order. If the sides are not jointly Gaussian
    it is neither a bound nor consistent (a Gaussian channel apart, where it is an upper bound), and the interval,
    which covers sampling only, does not say so.

    Args:
        pair: two sides of numbers, with more rows than columns unless noise is known and a is b.
        seed: not used.
    """
    if pair.classes is not None:
        return "labels are not jointly Gaussian with anything: use classifier or ksg"
    return _channel(pair) if pair.std else _canonical(pair)


def _canonical(pair: Pair) -> Reading | str:
    a, b = (_whitened(standardised(side)) for side in (pair.a, pair.b))
    n, free = len(a), len(a) - 1
    if not a.shape[1] or not b.shape[1]:
        return CONSTANT
    p, q = a.shape[1], b.shape[1]
    if p + q + 2 > n:
        return f"{p} + {q} independent columns need at least {p + q + 2} rows; there are {n}"
    left, rho, right = torch.linalg.svd(a.T @ b / n, full_matrices=False)
    if float(rho.max()) > 1 - 1e-9:
        return "a column of one side is a linear function of the other side: the information of Gaussians is infinite"
    u, v = a @ left, b @ right.T
    square = rho.square()
    # The rows' log density ratios; their mean is −½ Σ ln(1 − ρ²).
    terms = (-torch.log1p(-square) / 2 - (square * (u**2 + v**2) - 2 * rho * u * v) / (2 * (1 - square))).sum(1)
    bias = (_shortfall(p, free) + _shortfall(q, free) - _shortfall(p + q, free)) / 2
    return interval(max(float(terms.mean()) - bias, 0.0), error_of_mean(terms), "log-det")


def _shortfall(p: int, free: int) -> float:
    """E ln |S| − ln |Σ| of a sample covariance with ``free`` degrees of freedom."""
    i = torch.arange(p, dtype=torch.float64)
    return float((torch.digamma((free - i) / 2) - torch.tensor(free / 2, dtype=torch.float64).log()).sum())


def _channel(pair: Pair) -> Reading | str:
    b = pair.b.double() / pair.std
    b = b - b.mean(0)
    n, free = len(b), len(b) - 1
    same = pair.a.shape == pair.b.shape and torch.equal(pair.a, pair.b)
    a = b if same else _whitened(standardised(pair.a))
    if not same and a.shape[1] + 2 > n:
        return f"{a.shape[1]} independent columns of a need at least {a.shape[1] + 2} rows; there are {n}"
    rest = torch.zeros_like(b) if same else b - a @ (a.T @ b / n)
    total, left = (_log_det(rows, dof) for rows, dof in ((b, free), (rest, free - (0 if same else a.shape[1]))))
    nats = max((total[0] - left[0]) / 2, 0.0)
    return interval(nats, error_of_mean(total[1] - left[1]), "log-det of the channel")


def _log_det(x: Float[Tensor, "n d"], free: int) -> tuple[float, Float[Tensor, " n"]]:
    """The log-determinant ln |1 + S| without its first-order bias −(tr²K + tr K²)/2free; the rows' contributions."""
    _, s, directions = torch.linalg.svd(x, full_matrices=False)
    spread = s.square() / free
    k = spread / (1 + spread)  # the eigenvalues of K = S/(1 + S)
    bias = float(k.sum() ** 2 + k.square().sum()) / (2 * free)
    return float(torch.log1p(spread).sum()) + bias, ((x @ directions.T).square() / (1 + spread)).sum(1) / 2


def _whitened(x: Float[Tensor, "n k"]) -> Float[Tensor, "n r"]:
    """Uncorrelated columns of variance 1 that span the same space."""
    if not x.shape[1]:
        return x
    centred = x - x.mean(0)
    # Scaled again: one outlier can be millions of quartiles.
    columns, s, _ = torch.linalg.svd(centred / centred.square().mean(0).sqrt(), full_matrices=False)
    kept = s.square() > _RANK * s.square().max()
    white: Tensor = columns[:, kept] * len(x) ** 0.5
    return white

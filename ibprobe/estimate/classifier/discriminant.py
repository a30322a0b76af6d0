"""Linear and quadratic discriminants fitted on any union of folds, from sums that are taken once.

Leaving folds out is a subtraction of their sums, so that a 20-fold reading costs little more than one fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MAX_QUADRATIC = 64
"""The quadratic discriminant looks at this many leading columns at most."""
MAX_MOMENTS = 2**16
"""Entries of all class covariances together; many classes look at fewer columns."""
MAX_PRODUCTS = 2**22
"""Products of columns that are held at once."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the rows of each fold, or of each union of folds."""

    count: Float[Tensor, "f k"]
    total: Float[Tensor, "f k d"]
    second: Float[Tensor, "f d d"]
    by_class: Float[Tensor, "f k q q"]
    """Second moments of the leading columns, class by class."""

    def without(self, left_out: Float[Tensor, "m f"]) -> Moments:
        """Sums over all folds but those marked 1, for every row of marks."""
        kept = 1 - left_out
        parts = (self.count, self.total, self.second, self.by_class)
        return Moments(*((kept @ p.flatten(1)).view(-1, *p.shape[1:]) for p in parts))


def moments(
    u: Float[Tensor, "r n d"], y: Int[Tensor, " n"], classes: int, fold: Int[Tensor, " n"], folds: int
) -> Moments:
    """Sums by fold and class, averaged over the r draws, so that counts are counts of rows."""
    q = min(u.shape[2], MAX_QUADRATIC, int((MAX_MOMENTS / classes) ** 0.5))
    draws, d = len(u), u.shape[2]
    count = u.new_zeros(folds, classes, dtype=torch.float64)
    total, second = count.new_zeros(folds, classes, d), count.new_zeros(folds, d, d)
    by_class = count.new_zeros(folds, classes, q, q)
    for f in range(folds):
        rows = fold == f
        x, labels = u[:, rows].double(), y[rows]
        member = one_hot(labels, classes).double()
        count[f] = member.sum(0)
        total[f] = member.T @ x.mean(0)
        second[f] = torch.einsum("rni,rnj->ij", x, x) / draws
        order = labels.argsort()
        parts = torch.split(x[:, order, :q], [int(c) for c in count[f]], 1)
        for k, part in enumerate(parts):
            flat = part.flatten(0, 1)
            by_class[f, k] = flat.T @ flat / draws
    return Moments(count, total, second, by_class)


@dataclass(frozen=True, slots=True)
class Discriminants:
    """Class scores: linear ones, and what class covariances of their own add to them. Class priors are left out."""

    slope: Float[Tensor, "m d k"]
    offset: Float[Tensor, "m k"]
    whitening: Float[Tensor, "m q q"]
    curved: Float[Tensor, "m q2 k"]
    """Of products of the whitened leading columns: minus half of the class's precision in excess of the common one."""
    tilt: Float[Tensor, "m q k"]
    constant: Float[Tensor, "m k"]

    def scores(self, m: int, u: Float[Tensor, "r n d"]) -> Float[Tensor, "2 r n k"]:
        """Scores of some rows under fit number `m`."""
        flat = u.flatten(0, 1)
        result = u.new_empty(2, len(flat), self.slope.shape[2])
        size = max(1, MAX_PRODUCTS // self.curved.shape[1])
        for start in range(0, len(flat), size):
            rows = slice(start, start + size)
            z = flat[rows, : self.whitening.shape[1]] @ self.whitening[m]
            products = (z[:, :, None] * z[:, None, :]).flatten(1)
            result[0, rows] = flat[rows] @ self.slope[m] + self.offset[m]
            result[1, rows] = products @ self.curved[m] + z @ self.tilt[m] + self.constant[m]
        return result.view(2, *u.shape[:2], result.shape[2])


SHRINKAGES = (1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 0.03, 0.1, 0.3, 0.6, 1.0)


def shrinkage(sums: Moments) -> float:
    """How far the rows' covariance is best shrunk toward the identity: by the likelihood of folds left out.

    The discriminant needs the inverse, so the likelihood decides, not the distance of the covariances; and it decides
    on the covariance of all rows, so that labels are not looked at.
    """
    parts = min(4, len(sums.count))
    group = torch.arange(len(sums.count), device=sums.count.device) % parts
    left = torch.stack([group == p for p in range(parts)]).to(sums.count)
    inside, outside = _covariance(sums.without(left)), _covariance(sums.without(1 - left))
    values, vectors = torch.linalg.eigh(inside)
    seen = (vectors * (outside @ vectors)).sum(1)
    mean = values.mean(1, keepdim=True)
    losses = []
    for rho in SHRINKAGES:
        shrunk = ((1 - rho) * values + rho * mean).clamp_min(1e-300)
        losses.append(float((shrunk.log() + seen / shrunk).sum()))
    return SHRINKAGES[losses.index(min(losses))]


def _covariance(sums: Moments) -> Float[Tensor, "m d d"]:
    rows = sums.count.sum(1).clamp_min(1)[:, None]
    mean = sums.total.sum(1) / rows
    return sums.second / rows[..., None] - mean[..., None] * mean[:, None]


def fit_discriminants(sums: Moments, rho: float) -> Discriminants:
    """Shrunk discriminants of every set of sums.

    The common covariance is shrunk toward the identity by `rho`, the class means toward the common mean by empirical
    Bayes, class covariances toward multiples of the common one.
    """
    count, rows = sums.count, sums.count.sum(1).clamp_min(1)
    mean = sums.total.sum(1) / rows[:, None]
    means = sums.total / count.clamp_min(1)[..., None]
    within = sums.second - torch.einsum("mki,mkj->mij", sums.total, means)
    free = (rows - (count > 0).sum(1)).clamp_min(1)
    common = within / free[:, None, None]
    # Rows that repeat their class exactly have no scatter; u has mean square 1.
    floor = rho * common.diagonal(dim1=1, dim2=2).mean(1) + 1e-10
    common = (1 - rho) * common + floor[:, None, None] * torch.eye(mean.shape[1], dtype=mean.dtype, device=mean.device)
    shift = torch.where(count[..., None] > 0, means - mean[:, None], 0.0)
    solved = torch.linalg.solve(common, shift.mT)
    shrink = _mean_shrinkage(count, (shift.mT * solved).sum(1), mean.shape[1])
    slope = solved * shrink[:, None]
    offset = -0.5 * (slope * shift.mT).sum(1) * shrink - torch.einsum("mi,mik->mk", mean, slope)
    curved = _curvature(sums, means, common)
    return Discriminants(*(v.float() for v in (slope, offset, *curved)))


def _shrunk(s: Float[Tensor, "*m d d"], free: Float[Tensor, "*m"]) -> Float[Tensor, "*m d d"]:
    """Oracle-approximating shrinkage toward the identity times the mean variance."""
    d = s.shape[-1]
    trace, square = s.diagonal(dim1=-2, dim2=-1).sum(-1), s.square().sum((-2, -1))
    spread = (square - trace.square() / d).clamp_min(1e-12 * square + 1e-300)
    rho = (((1 - 2 / d) * square + trace.square()) / ((free + 1 - 2 / d).clamp_min(1) * spread)).clamp(1e-5, 1)
    identity = torch.eye(d, dtype=s.dtype, device=s.device)
    floor = (rho * trace / d + 1e-12)[..., None, None] * identity
    return (1 - rho)[..., None, None] * s + floor


def _mean_shrinkage(count: Float[Tensor, "m k"], distance: Float[Tensor, "m k"], d: int) -> Float[Tensor, "m k"]:
    """Share n_k/(n_k + α) of each class mean's shift that is not noise; α from the spread of all of them."""
    rows, present = count.sum(1), (count > 0).sum(1)
    noise = d * (present - 1)
    signal = ((count * distance).sum(1) - noise).clamp_min(1e-3 * noise + 1e-9)
    alpha = d * (rows - count.square().sum(1) / rows.clamp_min(1)) / signal
    # Only its size relative to the classes matters, as scores are rescaled later; a bound keeps them in range.
    alpha = alpha.minimum(10 * rows / present.clamp_min(1))
    return count / (count + alpha[:, None]).clamp_min(1e-9)


def _curvature(
    sums: Moments, means: Float[Tensor, "m k d"], common: Float[Tensor, "m d d"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    q = sums.by_class.shape[-1]
    root = torch.linalg.cholesky(common[:, :q, :q])
    identity = torch.eye(q, dtype=root.dtype, device=root.device)
    whitening = torch.linalg.solve_triangular(root, identity, upper=False).mT
    centre = means[..., :q] @ whitening
    free = (sums.count - 1).clamp_min(0)
    inner = whitening.mT[:, None] @ sums.by_class @ whitening[:, None]
    scatter = inner - sums.count[..., None, None] * centre[..., None] * centre[..., None, :]
    own = _shrunk(scatter / free.clamp_min(1)[..., None, None], free)
    # One pseudo-row of the common covariance: a class that is missing or single has no shape of its own.
    own = (free[..., None, None] * own + identity) / (free + 1)[..., None, None]
    own_root = torch.linalg.cholesky(own)
    excess = torch.cholesky_inverse(own_root) - identity
    tilt = (excess @ centre[..., None])[..., 0]
    constant = -own_root.diagonal(dim1=-2, dim2=-1).log().sum(-1) - 0.5 * (tilt * centre).sum(-1)
    return whitening, -0.5 * excess.flatten(2).mT, tilt.mT, constant

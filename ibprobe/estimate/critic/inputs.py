"""What a critic looks at: the two sides of a pair in coordinates fitted on training rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.pairs import Pair

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MAX_COLUMNS = 64
"""Wider sides are reduced to this many principal columns."""
WIDTH = MAX_COLUMNS + 1
"""Most columns of a side: the principal ones and its length."""
FAR = 6.0
"""Standard deviations that a few thousand rows reach only with heavy tails."""


Basis = tuple["Float[Tensor, 'd k']", float]
"""Principal directions of a wide side, and the share of the variance that they held when they were found."""


@dataclass(frozen=True, slots=True)
class Bases:
    """Of both sides, where they are wide."""

    a: Basis | None
    b: Basis | None


@dataclass(frozen=True, slots=True)
class Inputs:
    """A pair in the coordinates of its critic: b + noise·ε, column by column."""

    a: Float[Tensor, "n ka"]
    b: Float[Tensor, "n kb"]
    noise: Float[Tensor, " kb"]
    bases: Bases
    ranked: bool

    def noisy(self, eps: Float[Tensor, "m e"], rows: Int[Tensor, " m"]) -> Float[Tensor, "m kb"]:
        """Some rows of the b side with their noise, from standard normal draws of the full width."""
        return self.b[rows] + eps[:, : self.b.shape[1]] * self.noise

    @property
    def far(self) -> bool:
        """Whether some value is so far out that it would rule a model of the columns as they are."""
        return float(self.a.abs().max()) > FAR or float(self.b.abs().max()) > FAR

    @property
    def without_length(self) -> Inputs:
        """The columns alone, for a Gaussian model of them."""
        a, b = (side[:, : max(1, side.shape[1] - 1)] for side in (self.a, self.b))
        return self if self.noise.any() else Inputs(a, b, self.noise[: b.shape[1]], self.bases, self.ranked)


def affine(pair: Pair, rows: Int[Tensor, " m"], bases: Bases | None = None) -> Inputs:
    """Affine coordinates, in which added Gaussian noise stays Gaussian and a channel stays a straight line.

    Args:
        pair: both sides as matrices of numbers.
        rows: training rows, which alone decide the coordinates.
        bases: principal directions of an earlier step, kept while they hold nearly as much variance as then: a warm
            critic would not recognise new ones.
    """
    known = bases or Bases(None, None)
    a, _, basis_a = _affine(pair.a, rows, 0.0, known.a)
    b, scale, basis_b = _affine(pair.b, rows, pair.std, known.b)
    if pair.std == 0:
        a, b = _with_length(a, rows), _with_length(b, rows)
        scale = torch.zeros_like(b[0])
    return Inputs(a, b, scale * pair.std, Bases(basis_a, basis_b), ranked=False)


def ranks(pair: Pair, rows: Int[Tensor, " m"], bases: Bases | None = None) -> Inputs:
    """Normal scores: blind to any monotone map of a column, and safe with heavy tails; for a pair without noise."""
    known = bases or Bases(None, None)
    a, basis_a = _ranks(pair.a, rows, known.a)
    b, basis_b = _ranks(pair.b, rows, known.b)
    return Inputs(a, b, torch.zeros_like(b[0]), Bases(basis_a, basis_b), ranked=True)


def _ranks(x: Float[Tensor, "n d"], rows: Int[Tensor, " m"], known: Basis | None) -> tuple[Tensor, Basis | None]:
    """Normal scores of the columns, or of their principal columns, and of the rows' length."""
    u, basis = _ranked(x, rows), None
    if x.shape[1] > MAX_COLUMNS:
        basis = _principal(u[rows], known)
        u = _ranked(u @ basis[0], rows)
    return _with_length(u, rows), basis


def _affine(
    x: Float[Tensor, "n d"], rows: Int[Tensor, " m"], std: float, known: Basis | None
) -> tuple[Float[Tensor, "n k"], Float[Tensor, " k"], Basis | None]:
    """Centred, reduced and scaled columns, the scales, and the directions of a reduction; constant columns are 0."""
    mean = x[rows].mean(0)
    # Up to rounding: a constant column differs from its own mean by a few ulp.
    unit = _inverse(x[rows].std(0), 1e-6 * mean.abs())
    x = (x - mean) * (unit > 0)
    basis = None
    if x.shape[1] > MAX_COLUMNS:
        basis = _principal(x[rows], known)
        x = x @ basis[0]
        unit = _inverse(x[rows].std(0), 1e-6 * x[rows].std(0).max())
    scale = unit if std == 0 else (x[rows].var(0) + std**2).rsqrt()
    return x * scale, scale, basis


def _inverse(spread: Float[Tensor, " k"], floor: Float[Tensor, "*k"]) -> Float[Tensor, " k"]:
    inverse: Tensor = torch.where(spread <= floor, 0.0, 1 / spread)
    return inverse


def _principal(x: Float[Tensor, "m d"], known: Basis | None) -> Basis:
    """Orthonormal directions of largest variance, so that isotropic noise stays isotropic."""
    total = float(x.var(0).sum()) or 1.0
    if known is not None and float((x @ known[0]).var(0).sum()) / total > 0.95 * known[1]:
        return known
    _, values, directions = torch.linalg.svd(x.double().cpu(), full_matrices=False)
    power = values.square()
    share = float(power[:MAX_COLUMNS].sum() / power.sum().clamp_min(1e-300))
    return directions[:MAX_COLUMNS].T.to(x), share


def _ranked(x: Float[Tensor, "n k"], rows: Int[Tensor, " m"]) -> Float[Tensor, "n k"]:
    """Ranks among the rows as normal scores: blind to any monotone map of a column, and safe with heavy tails."""
    table = x[rows].T.contiguous().sort(-1).values
    columns = x.T.contiguous()
    # The mean of both sides is the middle rank of a tie: a constant column lands on 0.
    below = torch.searchsorted(table, columns) + torch.searchsorted(table, columns, right=True)
    scores: Tensor = torch.special.ndtri((below + 1) / (2 * (len(rows) + 1)))
    return scores.to(x.dtype).T.contiguous()


def _with_length(u: Float[Tensor, "n k"], rows: Int[Tensor, " m"]) -> Float[Tensor, "n k2"]:
    """The row's length as one more column: what two sides share is often their scale (heavy tails, gain, rotation)."""
    if u.shape[1] == 1:
        return u
    return torch.cat([u, _ranked(u.square().sum(1, keepdim=True), rows)], 1)

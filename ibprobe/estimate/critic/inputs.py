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


@dataclass(frozen=True, slots=True)
class Inputs:
    """A pair in the coordinates of its critic: b + noise·ε, column by column."""

    a: Float[Tensor, "n ka"]
    b: Float[Tensor, "n kb"]
    noise: Float[Tensor, " kb"]

    def noisy(self, eps: Float[Tensor, "m 64"], rows: Int[Tensor, " m"]) -> Float[Tensor, "m kb"]:
        """Some rows of the b side with their noise, from standard normal draws of the full width."""
        return self.b[rows] + eps[:, : self.b.shape[1]] * self.noise


def standardised(pair: Pair, rows: Int[Tensor, " m"]) -> Inputs:
    """Affine coordinates, in which added Gaussian noise stays Gaussian and a channel stays a straight line."""
    a, _ = _affine(pair.a, rows, pair.std > 0, 0.0)
    b, scale = _affine(pair.b, rows, pair.std > 0, pair.std)
    return Inputs(a, b, pair.std * scale)


def normal_scores(pair: Pair, rows: Int[Tensor, " m"]) -> Inputs:
    """Ranks among the rows as normal scores: blind to any monotone map of a column, and safe with heavy tails."""
    plain = standardised(pair, rows)
    return Inputs(_ranked(plain.a, rows), _ranked(plain.b, rows), torch.zeros_like(plain.noise))


def _affine(
    x: Float[Tensor, "n d"], rows: Int[Tensor, " m"], isotropic: bool, std: float
) -> tuple[Float[Tensor, "n k"], Float[Tensor, " k"]]:
    """Centred, reduced and scaled columns, and the scales; a constant column becomes 0."""
    mean = x[rows].mean(0)
    # Up to rounding: a constant column differs from its own mean by a few ulp.
    unit = _inverse(x[rows].std(0), 1e-6 * mean.abs())
    x = (x - mean) * (unit > 0)
    if x.shape[1] > MAX_COLUMNS:
        # Noise of one std on all columns makes their variance comparable; without it each has its own unit.
        x = x if isotropic else x * unit
        x = x @ _principal(x[rows])
        unit = _inverse(x[rows].std(0), 1e-6 * x[rows].std(0).max())
    scale = unit if std == 0 else (x[rows].var(0) + std**2).rsqrt()
    return x * scale, scale


def _inverse(spread: Float[Tensor, " k"], floor: Float[Tensor, "*k"]) -> Float[Tensor, " k"]:
    inverse: Tensor = torch.where(spread <= floor, 0.0, 1 / spread)
    return inverse


def _principal(x: Float[Tensor, "m d"]) -> Float[Tensor, "d k"]:
    """Orthonormal directions of largest variance, so that isotropic noise stays isotropic."""
    _, _, directions = torch.linalg.svd(x.double().cpu(), full_matrices=False)
    reduced: Tensor = directions[:MAX_COLUMNS].T.to(x)
    return reduced


def _ranked(x: Float[Tensor, "n k"], rows: Int[Tensor, " m"]) -> Float[Tensor, "n k"]:
    table = x[rows].T.contiguous().sort(-1).values
    columns = x.T.contiguous()
    # The mean of both sides is the middle rank of a tie: a constant column lands on 0.
    below = torch.searchsorted(table, columns) + torch.searchsorted(table, columns, right=True)
    scores: Tensor = torch.special.ndtri((below + 1) / (2 * (len(rows) + 1)))
    return scores.to(x.dtype).T.contiguous()

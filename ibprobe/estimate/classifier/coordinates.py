"""The numbers side of a pair as a classifier sees it: draws of its noise in tame principal coordinates.

Labels are not looked at here, so a map that was fitted on all rows leaks nothing about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Shaped
    from torch import Tensor

MAX_COLUMNS = 256
"""Wider sides are reduced to this many principal columns."""
HEAVY_KURTOSIS = 20.0
"""Beyond it a few outliers hold a column's variance; the exponential has 9."""


def drawn_rows(
    b: Shaped[Tensor, "n d"], std: float, draws: int, generator: torch.Generator
) -> Float[Tensor, "draws n k"]:
    """Rows with `draws` draws of their noise, in principal coordinates of mean square 1.

    Columns in units of their own are standardised; where isotropic noise was added they share a unit and keep their
    scale, so that columns of mere noise stay as small as they are. Heavy-tailed columns are passed through asinh.

    Args:
        b: finite numbers; constant columns are left out.
        std: of the noise; 0 gives a single draw.
        draws: of the noise.
        generator: of the noise, on the CPU.
    """
    x = b.to(torch.float64 if b.dtype == torch.float64 else torch.float32)
    # A power of two costs no digits; without it, squares of large half-precision values are near the float32 limit.
    unit = _power_of_two(x.abs().amax())
    x = x / unit
    largest, x = x.abs().amax(0), x - x.mean(0)
    # Up to rounding: a constant column differs from its own mean by a few ulp.
    x = x[:, x.abs().amax(0) > 16 * torch.finfo(x.dtype).eps * largest].float()
    if x.shape[1] == 0:
        return x.new_zeros(1, len(x), 1)
    if std == 0:
        x = _tame(x[None])[0]
        x = x / _spread(x)
    x = x @ _principal(x)[:, :MAX_COLUMNS]
    x = x[None]
    if std > 0:
        noise = torch.randn(draws, *x.shape[1:], generator=generator).to(x.device)
        x = _tame(x + std / unit * noise)
    x = x - x.mean((0, 1))
    return x / x.square().mean().sqrt().clamp_min(1e-30)


def _power_of_two(value: Float[Tensor, ""]) -> float:
    return float(2.0 ** torch.frexp(value.double()).exponent)


def _spread(x: Float[Tensor, "*n d"]) -> Float[Tensor, " d"]:
    return x.flatten(0, -2).square().mean(0).sqrt().clamp_min(1e-30)


def _tame(x: Float[Tensor, "r n d"]) -> Float[Tensor, "r n d"]:
    """Heavy-tailed columns through asinh at the scale of their bulk: one to one, and nothing dominates."""
    flat = x.flatten(0, 1)
    spread = _spread(flat)
    heavy = (flat / spread).pow(4).mean(0) > HEAVY_KURTOSIS
    if not bool(heavy.any()):
        return x
    columns = flat[:, heavy]
    ordered = columns.sort(0).values
    low, middle, high = (ordered[int(q * (len(ordered) - 1))] for q in (0.25, 0.5, 0.75))
    # Mostly one value, as behind a ReLU: the mean distance stands in for the quartiles.
    bulk = torch.where(high > low, (high - low) / 1.35, (columns - middle).abs().mean(0))
    tamed = torch.asinh((columns - middle) / bulk.clamp_min(1e-30))
    result = flat.clone()
    result[:, heavy] = (tamed - tamed.mean(0)) / _spread(tamed - tamed.mean(0)) * bulk
    return result.view_as(x)


def _principal(x: Float[Tensor, "n d"]) -> Float[Tensor, "d k"]:
    """Orthonormal directions of decreasing variance, from the smaller of the two Gram matrices."""
    x = x.double()
    wide = x.shape[1] > len(x)
    values, vectors = torch.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = values > 1e-10 * values[-1] if wide else torch.ones_like(values, dtype=torch.bool)
    directions: Tensor = x.T @ vectors[:, kept] / values[kept].sqrt() if wide else vectors
    return directions.flip(1).float()

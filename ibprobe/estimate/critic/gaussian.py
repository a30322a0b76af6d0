"""What a Gaussian model of the whole data tells: the part of the dependence that needs no training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.critic.bounds import Bound, donsker_varadhan
from ibprobe.estimate.critic.inputs import Inputs

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

PAIRED_ROWS = 4096
"""Rows behind the average over pairs, which bounds its memory to 64 MiB."""
_LARGEST = 1 - 1e-9


def gaussian_part(inputs: Inputs) -> Bound | None:
    """Donsker-Varadhan bound of the Gaussian log-ratio fitted to all rows, less what the fit itself adds.

    The plug-in −½ Σ ln(1 − ρ²) is too high by a known amount for Gaussian rows: E ln det of a Wishart matrix is a sum
    of digammas (Muirhead 1982, Theorem 3.2.15). The normaliser ln E[eᶠ] over unpaired rows is 0 for Gaussian sides;
    where it is positive the model claims too much and it is taken off, where it is negative nothing is added.

    Args:
        inputs: a pair without added noise.

    Returns:
        The value in nats, its standard error and effective sample size; None with too few rows for the columns.
    """
    n = len(inputs.a)
    left, right = _orthonormal(inputs.a), _orthonormal(inputs.b)
    p, q = left.shape[1], right.shape[1]
    if not p or not q or 4 * (p + q) > n:
        return None
    u, rho, vh = torch.linalg.svd(left.T @ right, full_matrices=False)
    rho = rho.clamp(0, _LARGEST)
    plug_in = -0.5 * float(torch.log1p(-rho.square()).sum())
    x, y = left @ u * math.sqrt(n), right @ vh.T * math.sqrt(n)
    some = _any_rows(n, x)
    excess, ess = _normaliser(x[some], y[some], rho)
    joint = (rho * x * y - rho.square() * (x.square() + y.square()) / 2) / (1 - rho.square())
    spread = float(joint.sum(1).std()) / math.sqrt(n)
    se = math.hypot(spread, math.sqrt(2 * p * q) / (2 * n))
    return Bound(plug_in - _optimism(n - 1, p, q) - max(0.0, excess), se, ess)


def _any_rows(n: int, like: Tensor) -> Int[Tensor, " m"]:
    """At most so many, in no order: users sort their data."""
    if n <= PAIRED_ROWS:
        return torch.arange(n, device=like.device)
    return torch.randperm(n, generator=torch.Generator().manual_seed(n))[:PAIRED_ROWS].to(like.device)


def _orthonormal(x: Float[Tensor, "n k"]) -> Float[Tensor, "n r"]:
    """An orthonormal basis of the centred columns; constant and collinear ones bring nothing."""
    x = x.double()
    basis, values, _ = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    kept: Tensor = basis[:, values > 1e-5 * values.max().clamp_min(1e-12)]
    return kept


def _optimism(m: int, p: int, q: int) -> float:
    """Expected excess of the plug-in for m degrees of freedom, p and q columns."""
    half = torch.digamma((m - torch.arange(p + q, dtype=torch.float64)) / 2).cumsum(0)
    return float(half[p - 1] + half[q - 1] - half[p + q - 1]) / 2


def _normaliser(x: Float[Tensor, "m r"], y: Float[Tensor, "m r"], rho: Float[Tensor, " r"]) -> tuple[float, float]:
    """The normaliser ln E[eᶠ] over unpaired rows, and its effective sample size."""
    weight = rho.square() / (2 * (1 - rho.square()))
    constant = -0.5 * torch.log1p(-rho.square()).sum()
    ones = torch.ones_like(x[:, :1])
    of_x = torch.cat([x * (rho / (1 - rho.square())), constant - x.square() @ weight[:, None], ones], 1)
    of_y = torch.cat([y, ones, -(y.square() @ weight[:, None])], 1)
    bound = donsker_varadhan(of_x.float() @ of_y.float().T)
    joint = float((of_x * of_y).sum(1).mean())
    return joint - bound.nats, bound.ess

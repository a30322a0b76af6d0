"""The Gaussian head start of a critic: canonical directions and their log-ratio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.critic.inputs import Inputs

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MAX_SQUARED_CORRELATION = 1 - 1e-5
"""A deterministic pair would have an infinite log-ratio."""


@dataclass(frozen=True, slots=True)
class Canonical:
    """Canonical directions of both sides, strongest first."""

    mean_a: Float[Tensor, " ka"]
    mean_b: Float[Tensor, " kb"]
    a: Float[Tensor, "ka r"]
    b: Float[Tensor, "kb r"]


def canonical(inputs: Inputs, rows: Int[Tensor, " m"]) -> Canonical:
    """Canonical correlation analysis of some rows, covariances shrunk toward the identity by (k/m)².

    The noise enters as its covariance, not as a draw: it costs the directions no accuracy.

    Returns:
        Directions in which these rows have unit variance; one without variance is 0.
    """
    x, y, noise = inputs.a[rows].double().cpu(), inputs.b[rows].double().cpu(), inputs.noise.double().cpu()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    cov_x, cov_y = x.T @ x / len(x), y.T @ y / len(y) + noise.square().diag()
    white_x, white_y = _whitening(cov_x, len(x)), _whitening(cov_y, len(y))
    u, _, vh = torch.linalg.svd(white_x @ (x.T @ y / len(x)) @ white_y, full_matrices=False)
    left, right = _unit_variance(cov_x, white_x @ u), _unit_variance(cov_y, white_y @ vh.T)
    a, b = inputs.a, inputs.b
    return Canonical(mean_x.to(a), mean_y.to(b), left.to(a), right.to(b))


def _whitening(covariance: Float[Tensor, "k k"], m: int) -> Float[Tensor, "k k"]:
    identity = torch.eye(len(covariance), dtype=covariance.dtype)
    # Quadratic, as a layer's noise can be a 1e-4th of its variance and must not drown in the shrinkage.
    shrink = min(0.5, (len(covariance) / m) ** 2)
    # The last term keeps collinear columns, such as one-hot labels, invertible.
    values, vectors = torch.linalg.eigh((1 - shrink) * covariance + (shrink + 1e-6) * identity)
    whitening: Tensor = vectors @ (values.rsqrt()[:, None] * vectors.T)
    return whitening


def _unit_variance(covariance: Float[Tensor, "k k"], directions: Float[Tensor, "k r"]) -> Float[Tensor, "k r"]:
    spread = (directions * (covariance @ directions)).sum(0).clamp_min(0).sqrt()
    return torch.where(spread > 1e-2, directions / spread.clamp_min(1e-2), 0.0)


def held_out_correlations(inputs: Inputs, rows: Int[Tensor, " m"]) -> Float[Tensor, " r"]:
    """Canonical correlations by rank, each measured on rows that did not choose the directions.

    Averaged over the four parts of an inner cross-validation and shrunk by their own error; 0 drops a direction.
    """
    pieces = rows.tensor_split(4)
    rho = torch.stack(
        [
            _correlations(canonical(inputs, torch.cat([*pieces[:i], *pieces[i + 1 :]])), inputs, piece)
            for i, piece in enumerate(pieces)
        ]
    ).mean(0)
    squared = rho.square() - (1 - rho.square()) / len(rows)
    return torch.where(rho > 0, squared.clamp(0, MAX_SQUARED_CORRELATION), 0.0).sqrt()


def _correlations(directions: Canonical, inputs: Inputs, rows: Int[Tensor, " m"]) -> Float[Tensor, " r"]:
    x, y = inputs.a[rows] @ directions.a, inputs.b[rows] @ directions.b
    x, y = x - x.mean(0), y - y.mean(0)
    noise = inputs.noise.square() @ directions.b.square()
    spread = (x.square().mean(0) * (y.square().mean(0) + noise)).sqrt()
    return (x * y).mean(0) / spread.clamp_min(1e-12)


@dataclass(frozen=True, slots=True)
class GaussianHead:
    """Gaussian log-ratio Σ [ρ·u·v − ρ²·(u² + v²)/2]/(1 − ρ²) − ½·ln(1 − ρ²) as an inner product of two row features.

    Along a direction in which b = ρ·a + Gaussian noise it is, up to a term in b alone, the channel's own log-density,
    whatever the distribution of a: this is why it is a good start for a layer's clean output.
    """

    directions: Canonical
    rho: Float[Tensor, " r"]

    def of_a(self, a: Float[Tensor, "n ka"]) -> Float[Tensor, "n r2"]:
        """Features of the a side; columns beyond those that the head was fitted to are left out."""
        u = (a[:, : len(self.directions.mean_a)] - self.directions.mean_a) @ self.directions.a
        return torch.cat([u, self._square(u), torch.ones_like(u[:, :1])], 1)

    def of_b(self, b: Float[Tensor, "n kb"]) -> Float[Tensor, "n r2"]:
        """Features of the b side."""
        v = (b[:, : len(self.directions.mean_b)] - self.directions.mean_b) @ self.directions.b
        constant = 0.5 * torch.log1p(-self.rho.square()).sum()
        slope = self.rho / (1 - self.rho.square())
        return torch.cat([v * slope, torch.ones_like(v[:, :1]), self._square(v) - constant], 1)

    def _square(self, u: Float[Tensor, "n r"]) -> Float[Tensor, "n 1"]:
        weight = self.rho.square() / (2 * (1 - self.rho.square()))
        return -(u.square() @ weight)[:, None]

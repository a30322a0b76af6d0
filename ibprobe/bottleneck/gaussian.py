"""The Gaussian information bottleneck in closed form (Chechik, Globerson, Tishby & Weiss 2005, JMLR 6:165–188).

For jointly Gaussian X and Y the best T is a noisy linear map of X onto the canonical directions. Direction i, of
canonical correlation ρ_i and λ_i = 1 − ρ_i², is used from β_i = 1/ρ_i² on:

    I(X;T) = ½ Σ ln((β − 1)(1 − λ_i)/λ_i),   I(T;Y) = I(X;T) − ½ Σ ln(β(1 − λ_i)),   over those with β > β_i
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ibprobe.bottleneck.discrete import positive_betas
from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_ROUNDING = 1e-12
_CERTAIN = 1 - 1e-10
_FAINT = 1e-6
"""Correlations below this are rounding."""


@dataclass(frozen=True, eq=False)
class GaussianCurve:
    """The exact curve of Gaussian variables, by increasing β, in nats."""

    beta: Float[np.ndarray, " b"]
    """What multiplies relevance."""
    i_xt: Float[np.ndarray, " b"]
    """I(X;T)."""
    i_ty: Float[np.ndarray, " b"]
    """I(T;Y)."""
    active: Int[np.ndarray, " b"]
    """How many canonical directions T uses."""
    correlations: Float[np.ndarray, " r"]
    """Canonical correlations ρ, the largest first."""
    critical_betas: Float[np.ndarray, " r"]
    """1/ρ²: where each direction sets in."""
    directions: Float[np.ndarray, "r x"]
    """Rows are the canonical directions of x, with unit variance."""
    i_xy: float
    """I(X;Y): what no T can exceed."""

    def __len__(self) -> int:
        return len(self.beta)

    @property
    def frontier(self) -> Float[np.ndarray, "m 2"]:
        """Points (I(X;T), I(T;Y)), from (0, 0) on."""
        return np.concatenate([np.zeros((1, 2)), np.column_stack([self.i_xt, self.i_ty])])

    def encoder(self, k: int) -> Float[np.ndarray, "a x"]:
        """A of point ``k``: T = A x + noise of unit covariance (Chechik 2005, theorem 3.1), ``(active, dim_x)``."""
        count, keep = int(self.active[k]), self.correlations[: int(self.active[k])] ** 2
        scale = np.sqrt(np.maximum(self.beta[k] * keep - 1, 0.0) / (1 - keep))
        found: np.ndarray = scale[:, None] * self.directions[:count]
        return found


def gaussian_ib(cov: Any, dim_x: int, betas: Any = None, *, points: int = 50) -> GaussianCurve:
    """The information bottleneck's curve of jointly Gaussian X and Y, exact.

    Args:
        cov: ``(dim_x + dim_y, dim_x + dim_y)`` covariance of the stacked (x, y).
        dim_x: how many of the coordinates are x.
        betas: β ≥ 0, in any order; by default from before the first critical β to where I(T;Y) is near I(X;Y).
        points: how many, where betas are chosen.

    Returns:
        The curve in nats. Directions in which x or y does not vary are left out.

    Raises:
        BadInput: cov is no covariance matrix, dim_x leaves no x or no y, or x tells a direction of y for certain.
    """
    matrix = _covariance(cov, dim_x)
    rho, directions = _canonical(matrix, dim_x)
    if len(rho) and rho[0] > _CERTAIN:
        raise BadInput("x tells a direction of y for certain, so that I(X;Y) is infinite: add y's noise to cov")
    critical = 1 / rho**2
    given = _chosen(critical, points) if betas is None else positive_betas(betas)
    i_xt, i_ty, active = _closed_form(given, rho)
    i_xy = -0.5 * float(np.log1p(-(rho**2)).sum())
    return GaussianCurve(given, i_xt, i_ty, active, rho, critical, directions, i_xy)


def gaussian_ib_from_samples(x: Any, y: Any, betas: Any = None, *, points: int = 50) -> GaussianCurve:
    """``gaussian_ib`` of the sample covariance.

    Sample correlations are too large: by chance alone, I(X;Y) is about dim_x · dim_y/2n nats for independent x and y.

    Args:
        x: ``(n, d)`` or ``(n,)``.
        y: likewise, aligned with x.
        betas: see ``gaussian_ib``.
        points: likewise.

    Raises:
        BadInput: lengths differ, there are no more rows than coordinates, or what ``gaussian_ib`` raises.
    """
    a, b = _rows(x, "x"), _rows(y, "y")
    if len(a) != len(b):
        raise BadInput(f"x has {len(a)} rows, y has {len(b)}: they must be aligned")
    both = np.concatenate([a, b], axis=1)
    if len(both) <= both.shape[1]:
        raise BadInput(f"{len(both)} rows of {both.shape[1]} coordinates: their covariance needs more rows than those")
    return gaussian_ib(np.cov(both, rowvar=False), a.shape[1], betas, points=points)


def _closed_form(beta: Any, rho: Any) -> tuple[Any, Any, Any]:
    """The sums over the active directions, ``(b,)`` each."""
    keep = rho**2
    on = beta[:, None] * keep > 1
    safe = np.where(on, beta[:, None], 2 / np.where(keep > 0, keep, 1.0))
    i_xt = 0.5 * np.where(on, np.log((safe - 1) * keep / (1 - keep)), 0.0).sum(axis=1)
    lost = 0.5 * np.where(on, np.log(safe * keep), 0.0).sum(axis=1)
    return i_xt, i_xt - lost, on.sum(axis=1)


def _canonical(cov: Any, dim_x: int) -> tuple[Any, Any]:
    """Correlations and the directions of x, by the singular values of the whitened cross-covariance."""
    white_x, white_y = (_whitening(block) for block in (cov[:dim_x, :dim_x], cov[dim_x:, dim_x:]))
    left, rho, _ = np.linalg.svd(white_x.T @ cov[:dim_x, dim_x:] @ white_y, full_matrices=False)
    used = rho > _FAINT
    return np.minimum(rho[used], 1.0), (white_x @ left).T[used]


def _whitening(block: Any) -> Any:
    """W with Wᵀ block W = 1, over the directions that vary."""
    values, vectors = np.linalg.eigh(block)
    varies = values > _ROUNDING * max(values.max(), 0.0)
    return vectors[:, varies] / np.sqrt(values[varies])


def _chosen(critical: Any, points: int) -> Any:
    """From before the first critical β; I(X;Y) − I(T;Y) falls like r/2β, so to a thousand times r."""
    if points < 2:
        raise BadInput(f"points={points}: expected at least 2")
    if not len(critical):
        return np.array([1.0])
    return np.geomspace(0.98 * critical[0], 1000 * max(critical[-1], len(critical)), points)


def _covariance(cov: Any, dim_x: int) -> Any:
    try:
        given = np.array(cov.detach().cpu().numpy() if hasattr(cov, "detach") else cov, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise BadInput(f"cov: expected a matrix of numbers, got {type(cov).__name__}") from e
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not np.isfinite(given).all():
        raise BadInput(f"cov: expected a square matrix of finite numbers, got shape {given.shape}")
    if not 0 < dim_x < len(given):
        raise BadInput(f"dim_x={dim_x}: expected 1 to {len(given) - 1}, so that x and y both have coordinates")
    largest = float(np.abs(given).max())
    if np.abs(given - given.T).max() > 1e-8 * largest:
        raise BadInput("cov: expected a symmetric matrix")
    lowest = float(np.linalg.eigvalsh(given).min())
    if lowest < -1e-8 * largest:
        raise BadInput(f"cov: a covariance has no negative eigenvalue, this has {lowest:.3g}")
    return given


def _rows(values: Any, name: str) -> Any:
    given = np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values, dtype=np.float64)
    if not given.ndim or not np.isfinite(given).all():
        raise BadInput(f"{name}: expected finite rows (n, d), got shape {given.shape} with NaN or infinite numbers")
    return given.reshape(len(given), -1)

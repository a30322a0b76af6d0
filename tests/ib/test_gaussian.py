"""The Gaussian bottleneck against its table, and against what its own encoders keep."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ibprobe.bottleneck import gaussian_ib, gaussian_ib_from_samples
from ibprobe.errors import BadInput

RHO = np.array([0.9, 0.6, 0.3])
TABLE = {
    1.5: (0.378431, 0.281059), 2: (0.725005, 0.483792), 3: (1.130470, 0.648044), 5: (1.823617, 0.830366),
    10: (2.634548, 0.948149), 20: (3.697164, 1.023725), 100: (6.173185, 1.085589),
}  # fmt: skip


def correlated(rho: np.ndarray = RHO, seed: int | None = None) -> np.ndarray:
    """A covariance with these canonical correlations; with a seed, behind random linear maps."""
    n = len(rho)
    cov = np.block([[np.eye(n), np.diag(rho)], [np.diag(rho), np.eye(n)]])
    if seed is None:
        return cov
    rng = np.random.default_rng(seed)
    both = np.zeros((2 * n, 2 * n))
    both[:n, :n], both[n:, n:] = rng.normal(size=(n, n)), rng.normal(size=(n, n))
    return both @ cov @ both.T


def kept(cov: np.ndarray, dim_x: int, a: np.ndarray) -> tuple[float, float]:
    """I(X;T) and I(T;Y) of T = A x + unit noise, by determinants."""
    xx, yy = cov[:dim_x, :dim_x], cov[dim_x:, dim_x:]
    tt = a @ xx @ a.T + np.eye(len(a))
    ty = a @ cov[:dim_x, dim_x:]
    given_y = tt - ty @ np.linalg.solve(yy, ty.T)
    half = [0.5 * np.linalg.slogdet(m)[1] for m in (tt, given_y)]
    return half[0], half[0] - half[1]


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_the_table_to_its_digits(seed: int | None) -> None:
    curve = gaussian_ib(correlated(seed=seed), 3, list(TABLE))
    assert curve.correlations == pytest.approx(RHO, abs=1e-9)
    for beta, i_xt, i_ty in zip(curve.beta, curve.i_xt, curve.i_ty, strict=True):
        assert (i_xt, i_ty) == pytest.approx(TABLE[beta], abs=5.1e-7)
    assert curve.i_xy == pytest.approx(1.100664, abs=5.1e-7)
    assert curve.critical_betas == pytest.approx([1.2346, 2.7778, 11.1111], abs=5.1e-5)
    assert curve.active.tolist() == [1, 1, 2, 2, 2, 3, 3]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_curve_is_what_its_encoders_keep_to_nine_digits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(7, 7))
    cov = root @ root.T
    curve = gaussian_ib(cov, 4, np.geomspace(1, 300, 20))
    for k in range(len(curve)):
        a = curve.encoder(k)
        assert a.shape == (curve.active[k], 4)
        wanted = kept(cov, 4, a) if len(a) else (0.0, 0.0)
        assert (curve.i_xt[k], curve.i_ty[k]) == pytest.approx(wanted, abs=1e-9)


def test_no_other_linear_map_is_better() -> None:
    cov, rng = correlated(seed=3), np.random.default_rng(0)
    curve = gaussian_ib(cov, 3, [2.0, 6.0, 30.0])
    best = curve.i_xt - curve.beta * curve.i_ty
    for k, beta in enumerate(curve.beta):
        for size in (1e-4, 1e-2, 1.0):
            padded = np.zeros((3, 3))
            padded[: curve.active[k]] = curve.encoder(k)
            i_xt, i_ty = kept(cov, 3, padded + size * rng.normal(size=(3, 3)))
            assert i_xt - beta * i_ty >= best[k] - 1e-10


def test_the_chosen_betas_reach_from_nothing_to_saturation() -> None:
    curve = gaussian_ib(correlated(), 3)
    assert len(curve) == 50
    assert curve.i_xt[0] == 0
    assert curve.i_ty[-1] > curve.i_xy - 1e-3
    assert (np.diff(curve.i_xt) > 0).all()
    assert curve.frontier.shape == (51, 2)


def test_samples_come_near_the_truth() -> None:
    rng = np.random.default_rng(0)
    rows = rng.multivariate_normal(np.zeros(6), correlated(), size=40_000)
    curve = gaussian_ib_from_samples(rows[:, :3], rows[:, 3:], list(TABLE))
    # A correlation's standard error is (1 − ρ²)/√n, at most .005 here, and dI/dρ is below 5.
    assert curve.i_xt == pytest.approx([v[0] for v in TABLE.values()], abs=0.08)
    assert curve.i_ty == pytest.approx([v[1] for v in TABLE.values()], abs=0.08)


def test_directions_that_do_not_vary_are_left_out_and_independence_is_nothing() -> None:
    cov = np.zeros((7, 7))
    kept_rows = [0, 1, 2, 4, 5, 6]
    cov[np.ix_(kept_rows, kept_rows)] = correlated()
    assert gaussian_ib(cov, 4, [5.0]).i_xt == pytest.approx(TABLE[5][0], abs=1e-6)
    none = gaussian_ib(np.eye(4), 2)
    assert (none.i_xt.tolist(), none.i_xy, len(none.critical_betas)) == ([0.0], 0.0, 0)


@pytest.mark.parametrize(
    ("cov", "dim_x", "message"),
    [
        (np.eye(3)[:2], 1, "square matrix"),
        (np.eye(3), 3, "1 to 2"),
        (np.eye(3), 0, "1 to 2"),
        (np.array([[1, 0.5], [0.2, 1]]), 1, "symmetric"),
        (np.array([[1, 2.0], [2.0, 1]]), 1, "negative eigenvalue"),
        (np.array([[1, 1.0], [1.0, 1]]), 1, "for certain"),
        (np.array([[1, math.nan], [math.nan, 1]]), 1, "finite numbers"),
    ],
)
def test_what_is_no_covariance_is_refused(cov: np.ndarray, dim_x: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        gaussian_ib(cov, dim_x)


def test_samples_that_are_none_are_refused() -> None:
    with pytest.raises(BadInput, match="aligned"):
        gaussian_ib_from_samples(np.zeros((5, 2)), np.zeros((4, 2)))
    with pytest.raises(BadInput, match="more rows"):
        gaussian_ib_from_samples(np.zeros((4, 2)), np.zeros((4, 2)))
    with pytest.raises(BadInput, match="finite rows"):
        gaussian_ib_from_samples(np.full((9, 1), np.nan), np.zeros((9, 1)))

"""What is known of the bottleneck exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ib.joints import binary_entropy, erasing, gerber, hard_objective, labels, partitions, random_joint, symmetric

from ibprobe.bottleneck import ib_curve


@pytest.mark.parametrize("d", [0.02, 0.1, 0.3])
def test_the_symmetric_channel_is_mrs_gerbers_lemma(d: float) -> None:
    curve = ib_curve(symmetric(d))
    assert curve.onset == pytest.approx(1 / (1 - 2 * d) ** 2, rel=1e-9)
    assert curve.local_onset == pytest.approx(1 / (1 - 2 * d) ** 2, rel=1e-9)
    # The solver's own bound is 10⁻⁶ in I(X;T) − β I(T;Y); a point below the curve by y has that objective off by β y.
    for beta, i_xt, i_ty in zip(curve.beta, curve.i_xt, curve.i_ty, strict=True):
        assert gerber(i_xt, d) - 1e-6 / beta - 1e-9 <= i_ty <= gerber(i_xt, d) + 1e-9
    assert curve.i_xy == pytest.approx(math.log(2) - binary_entropy(d), abs=1e-12)
    assert curve.i_ty[-1] > 0.998 * curve.i_xy


@pytest.mark.parametrize("e", [0.1, 0.5, 0.8])
def test_the_erasing_channel_is_a_straight_line_with_two_ends(e: float) -> None:
    curve = ib_curve(erasing(e))
    assert curve.onset == pytest.approx(1 / (1 - e), rel=1e-9)
    # Away from the jump there are the ends and nothing else.
    clear = np.abs(curve.beta / curve.onset - 1) > 1e-3
    ends = np.minimum(curve.i_xt, math.log(2) - curve.i_xt)[clear]
    assert ends.max() < 1e-6
    assert any("straight piece" in note for note in curve.notes)
    squared = ib_curve(erasing(e), form="squared", points=9)
    assert squared.i_ty == pytest.approx((1 - e) * squared.i_xt, abs=1e-6)
    between = squared.i_xt[1:-1]
    # Its betas are equally spaced, and I(X;T) is in proportion to β up to the corner.
    assert np.diff(between[between < math.log(2) - 1e-6]) == pytest.approx(between[0], rel=1e-4)


def test_below_the_onset_t_is_trivial() -> None:
    for seed in range(4):
        p = random_joint(30, 4, seed)
        curve = ib_curve(p, betas=[0.0, 0.5, 1.0, 0.999 * ib_curve(p, betas=[1.0]).onset])
        assert curve.i_xt.tolist() == curve.i_ty.tolist() == [0.0] * 4
        assert curve.clusters == [1] * 4
        assert 1 < curve.onset <= curve.local_onset


def test_the_onset_is_where_something_better_than_nothing_begins() -> None:
    first_order = 0
    for seed in range(6):
        p = random_joint(30, 4, seed)
        onset = ib_curve(p, betas=[1.0]).onset
        above = ib_curve(p, betas=[1.01 * onset], tol=1e-9)
        assert above.objective[0] < -1e-9
        first_order += above.onset < 0.99 * above.local_onset
    # Both kinds of onset occur.
    assert 0 < first_order


def test_the_local_onset_is_the_second_singular_value() -> None:
    p = random_joint(20, 5, 1)
    _, s, _ = np.linalg.svd(p / np.sqrt(np.outer(p.sum(1), p.sum(0))))
    assert ib_curve(p, betas=[1.0]).local_onset == pytest.approx(1 / s[1] ** 2, rel=1e-9)


def test_labels_that_are_a_function_of_x_jump_and_the_square_fills_the_jump() -> None:
    p = labels()
    curve = ib_curve(p)
    assert curve.onset == pytest.approx(1.0, abs=1e-9)
    assert curve.i_xt[curve.beta < 1].max() == 0
    above = curve.beta > 1.001
    assert curve.i_xt[above] == pytest.approx(curve.h_y, abs=1e-5)
    assert curve.i_ty[above] == pytest.approx(curve.h_y, abs=1e-5)
    assert any('form="squared"' in note for note in curve.notes)
    squared = ib_curve(p, betas=np.linspace(0, 3 * curve.h_y, 13), form="squared")
    # I² − β min(I, H): I = β/2 up to H.
    assert squared.i_xt == pytest.approx(np.minimum(squared.beta / 2, curve.h_y), abs=1e-5)
    assert squared.i_ty == pytest.approx(squared.i_xt, abs=1e-6)


def test_at_large_beta_t_is_the_minimal_sufficient_statistic() -> None:
    p = random_joint(8, 3, 2)
    doubled = np.concatenate([0.3 * p, 0.7 * p])
    curve = ib_curve(doubled, betas=[1e4])
    encoder = curve.encoders[0]
    assert encoder[:, :8] == pytest.approx(encoder[:, 8:], abs=1e-12)
    assert curve.clusters == [8]
    assert curve.i_ty[0] == pytest.approx(curve.i_xy, abs=1e-9)
    assert curve.i_xt[0] < curve.h_x - 0.5


def test_the_curve_is_monotone_concave_and_its_slope_is_one_over_beta() -> None:
    curve = ib_curve(random_joint(25, 4, 3), betas=np.geomspace(2, 60, 60), tol=1e-9)
    assert (np.diff(curve.i_xt) > -1e-6).all()
    assert (np.diff(curve.i_ty) > -1e-6).all()
    dx, dy = np.diff(curve.i_xt), np.diff(curve.i_ty)
    moved = dx > 1e-3
    slope = dy[moved] / dx[moved]
    # A chord's slope lies between the slopes at its ends, which the objective's own error of 10⁻⁹ hardly moves.
    assert (slope <= 1 / curve.beta[:-1][moved] + 1e-5).all()
    assert (slope >= 1 / curve.beta[1:][moved] - 1e-5).all()
    # The optimal value's derivative is −I(T;Y).
    value = np.diff(curve.objective) / np.diff(curve.beta)
    assert (value <= -curve.i_ty[:-1] + 1e-6).all()
    assert (value >= -curve.i_ty[1:] - 1e-6).all()


@pytest.mark.parametrize("seed", range(3))
def test_with_two_labels_hard_clusterings_are_the_best_of_all(seed: int) -> None:
    p = random_joint(7, 2, seed)
    betas = [1.0, 2.0, 4.0, 8.0, 16.0, 64.0]
    curve = ib_curve(p, betas, "dib")
    best = [min(hard_objective(p, labels, beta) for labels in partitions(7)) for beta in betas]
    assert curve.objective == pytest.approx(best, abs=1e-12)
    assert curve.gap.max() == 0


def test_with_more_labels_hard_clusterings_are_the_best_of_all_at_nearly_every_beta() -> None:
    p = random_joint(7, 3, 5)
    betas = np.geomspace(1, 100, 12)
    curve = ib_curve(p, betas, "dib")
    best = np.array([min(hard_objective(p, labels, beta) for labels in partitions(7)) for beta in betas])
    # The search is local: no proof, but at this size it misses nothing.
    assert curve.objective == pytest.approx(best, abs=1e-12)
    assert np.isnan(curve.gap).all()

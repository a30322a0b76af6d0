"""MIG, DCI and the FactorVAE score on codes whose scores are known: identity, zeros, duplicates, a rotation."""

import math
import sys
from itertools import product
from typing import Any

import numpy as np
import pytest

from ibprobe.bottleneck.disentanglement import dci, factor_vae_score, mig
from ibprobe.errors import BadInput, MissingExtra

FACTORS = np.array(list(product(range(4), repeat=2)) * 60)
"""Every combination equally often: two factors that are independent exactly, 960 rows."""
IDENTITY = FACTORS.astype(float)
ZEROS = np.zeros_like(IDENTITY)
TWICE = np.repeat(IDENTITY, 2, axis=1)
ROTATED = IDENTITY @ np.array([[1, 1], [-1, 1]]) / math.sqrt(2)
MIRRORED = -3 * IDENTITY[:, ::-1] + 1


@pytest.mark.parametrize(("codes", "score"), [(IDENTITY, 1), (MIRRORED, 1), (ZEROS, 0), (TWICE, 0), (ROTATED, 0)])
def test_the_gap_of_known_codes(codes: Any, score: float) -> None:
    # Exact: by symmetry, both rotated units tell equally much of both factors, and so do both copies.
    assert mig(codes, FACTORS) == pytest.approx(score, abs=1e-12)


def test_the_gap_of_a_noisy_unit_is_what_its_channel_keeps() -> None:
    # One unit holds the first factor, another one bit of it, the second factor is nowhere: (ln 4 − ln 2)/ln 4, and 0.
    codes = np.stack([FACTORS[:, 0], FACTORS[:, 0] // 2, np.zeros(len(FACTORS))], 1)
    assert mig(codes, FACTORS) == pytest.approx((0.5 + 0) / 2)


def test_units_are_binned_over_their_own_range() -> None:
    # Two bins keep one of the two bits of each factor.
    assert mig(IDENTITY, FACTORS, bins=2) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("codes", "disentanglement", "completeness", "informativeness"),
    [
        (IDENTITY, 1, 1, 1),
        (MIRRORED, 1, 1, 1),
        # Nothing matters, and the largest class is guessed: a quarter.
        (ZEROS, 0, 0, 0.25),
        # Each of two copies matters half: 1 − ln 2/ln 4.
        (TWICE, 1, 0.5, 1),
    ],
)
def test_dci_of_known_codes(codes: Any, disentanglement: float, completeness: float, informativeness: float) -> None:
    found = dci(codes, FACTORS)
    assert found.disentanglement == pytest.approx(disentanglement, abs=1e-12)
    # 30 trees choose between two equal copies: a share of a half is good to 0.1, and 1 − H is flat there.
    assert found.completeness == pytest.approx(completeness, abs=0.02)
    # Half of 960 rows are tested: a quarter of them to two standard errors of 0.02.
    assert found.informativeness == pytest.approx(informativeness, abs=0.04)


def test_a_rotation_lowers_both_scores_of_dci_and_not_what_is_known() -> None:
    found = dci(ROTATED, FACTORS)
    # Both units matter alike for both factors, up to which of them a tree splits first.
    assert found.disentanglement < 0.1
    assert found.completeness < 0.1
    assert found.informativeness == 1
    assert found.importance.sum(0) == pytest.approx([1, 1])


def test_a_unit_of_noise_matters_little() -> None:
    noise = np.random.default_rng(0).normal(size=(len(FACTORS), 1))
    found = dci(np.hstack([IDENTITY, noise]), FACTORS)
    assert found.disentanglement == pytest.approx(1)
    assert found.importance[2] == pytest.approx([0, 0])


@pytest.mark.parametrize(("codes", "score"), [(IDENTITY, 1), (MIRRORED, 1), (ZEROS, 0), (TWICE, 1)])
def test_the_factor_vae_score_of_known_codes(codes: Any, score: float) -> None:
    assert factor_vae_score(codes, FACTORS) == score


def test_the_factor_vae_score_of_a_rotation_is_chance() -> None:
    # Both units vary alike whichever factor is fixed: ½ with a standard error of 0.02 over 800 votes.
    assert factor_vae_score(ROTATED, FACTORS) == pytest.approx(0.5, abs=0.06)


def test_inactive_units_are_not_looked_at() -> None:
    # A unit that is silent but for two rows varies least in nearly every batch, and hides the others.
    silent = np.zeros((len(FACTORS), 1))
    silent[:2] = [[1], [-1]]
    codes = np.hstack([silent, IDENTITY])
    assert factor_vae_score(codes, FACTORS) < 0.9
    assert factor_vae_score(codes, FACTORS, active=np.array([False, True, True])) == 1
    assert factor_vae_score(codes, FACTORS, active=np.array([False] * 3)) == 0


def test_values_of_factors_may_be_any_and_seeds_decide() -> None:
    named = np.array([["a", "b", "c", "d"][v] for v in FACTORS[:, 0]])[:, None]
    both = np.hstack([named, np.array([str(v * 0.5) for v in FACTORS[:, 1]])[:, None]])
    assert mig(IDENTITY, both) == pytest.approx(1)
    scores = [factor_vae_score(ROTATED, FACTORS, seed=s) for s in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]


@pytest.mark.parametrize("score", [mig, dci, factor_vae_score])
@pytest.mark.parametrize(
    ("codes", "factors", "said"),
    [
        (IDENTITY[:5], FACTORS, r"got \(5, 2\) and \(960, 2\)"),
        (IDENTITY[:, 0], FACTORS, "aligned rows"),
        (IDENTITY * math.nan, FACTORS, "codes are finite numbers"),
        (IDENTITY, FACTORS * [0, 1], "factor 0 has one value"),
        (IDENTITY, np.random.default_rng(0).normal(size=(960, 2)), "factor 0 has 960 values in 960 rows: bin it"),
        (IDENTITY, FACTORS * np.array([1.0, math.nan]), "factor 1 holds NaN"),
    ],
)
def test_what_cannot_be_scored_is_refused(score: Any, codes: Any, factors: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        score(codes, factors)


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(BadInput, match="two units"):
        mig(IDENTITY[:, :1], FACTORS)
    with pytest.raises(BadInput, match=r"active= is \(2,\) booleans"):
        factor_vae_score(IDENTITY, FACTORS, active=[0, 1])
    with pytest.raises(BadInput, match="at least 2 factors"):
        factor_vae_score(IDENTITY, FACTORS[:, :1])


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.ensemble", None)
    with pytest.raises(MissingExtra, match=r"ibprobe\[bottleneck\]"):
        dci(IDENTITY, FACTORS)

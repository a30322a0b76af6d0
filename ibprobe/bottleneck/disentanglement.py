"""How far single units of a code stand for single known factors: MIG, DCI and the FactorVAE score.

They answer different questions and often disagree (Locatello et al. 2019, arXiv 1811.12359): report at least two.
All take the codes of rows, means for example, and the factors that made the rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ibprobe.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Codes = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, eq=False)
class DCI:
    """Three scores between 0 and 1, and the matrix behind two of them."""

    disentanglement: float
    """1 where every unit matters for one factor only; units weigh as much as they matter."""
    completeness: float
    """1 where every factor is read off one unit only."""
    informativeness: float
    """Mean accuracy with which held-out factors are predicted from the whole code."""
    importance: Float[Codes, "d k"]
    """How much each unit matters for each factor; columns sum to 1, or to 0 where nothing predicts the factor."""


def mig(codes: Any, factors: Any, *, bins: int = 20) -> float:
    """Mutual information gap: mean over factors of (largest − second largest I(zⱼ;vₖ))/H(vₖ).

    Chen et al. 2018 (arXiv 1802.04942, section 4), with codes counted in equal-width bins as in Locatello et al. 2019.
    It is 1 where each factor is held, whole, by one unit, and no other unit tells of it; duplicated units make it 0.
    Counting adds about (bins − 1)(values − 1)/2n nats to each information: use 5,000 rows or more.

    Args:
        codes: numbers ``(n, d)``, d ≥ 2.
        factors: discrete values ``(n, k)``.
        bins: of each unit, over its own range.

    Raises:
        BadInput: shapes that do not fit, values that are not finite, constant or continuous factors.
    """
    z, v = _checked(codes, factors)
    if z.shape[1] < 2 or bins < 2:
        raise BadInput(f"a gap needs two units and two bins; got {z.shape[1]} units, bins={bins}")
    binned = np.stack([_binned(unit, bins) for unit in z.T], 1)
    gaps = []
    for factor in v.T:
        shared = sorted(_mutual_information(unit, factor) for unit in binned.T)
        gaps.append((shared[-1] - shared[-2]) / _entropy(factor))
    return float(np.mean(gaps))


def dci(codes: Any, factors: Any, *, trees: int = 30, depth: int = 10, seed: int = 0) -> DCI:
    """Disentanglement, completeness and informativeness of random forests that predict each factor from the code.

    Eastwood & Williams 2018 (ICLR, OpenReview By-7dz-AZ), with impurity importances and accuracy on the half of
    the rows that no tree has seen. Duplicated units leave disentanglement at 1 and lower completeness.

    Args:
        codes: numbers ``(n, d)``.
        factors: discrete values ``(n, k)``.
        trees: of each forest.
        depth: of each tree.
        seed: of forests and of the split.

    Raises:
        BadInput: shapes that do not fit, values that are not finite, constant or continuous factors.
        MissingExtra: scikit-learn is not installed.
    """
    z, v = _checked(codes, factors)
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError as e:
        raise MissingExtra("dci", "scikit-learn", "bottleneck") from e
    order = np.random.default_rng(seed).permutation(len(z))
    fit, test = order[: len(z) // 2], order[len(z) // 2 :]
    importance, accuracy = [], []
    for factor in v.T:
        # All units are looked at in every node: a random subset would make units matter that tell nothing.
        forest = RandomForestClassifier(trees, max_depth=depth, max_features=None, random_state=seed)
        forest.fit(z[fit], factor[fit])
        importance.append(forest.feature_importances_)
        accuracy.append(forest.score(z[test], factor[test]))
    by_unit = np.stack(importance, 1)
    weights = by_unit.sum(1) / max(by_unit.sum(), 1e-300)
    disentanglement = float((weights * (1 - _scatter(by_unit))).sum())
    used = by_unit.sum(0) > 0
    completeness = float(((1 - _scatter(by_unit.T)) * used).mean())
    return DCI(disentanglement, completeness, float(np.mean(accuracy)), by_unit)


def factor_vae_score(
    codes: Any, factors: Any, *, active: Any = None, votes: int = 800, batch: int = 64, seed: int = 0
) -> float:
    """Accuracy with which the unit that varies least tells which factor was held fixed.

    Kim & Mnih 2018 (arXiv 1802.05983, section 4): units are divided by their spread over all rows, a batch shares one
    value of one factor, and a majority vote maps units to factors; half of the votes train it, half test it. Duplicated
    units cost nothing; chance is 1/k. Without an active unit it is 0.

    Args:
        codes: numbers ``(n, d)``.
        factors: discrete values ``(n, k)``, k ≥ 2.
        active: booleans ``(d,)``, units to be looked at; units that vary, by default. Units of a VAE at the prior are
            better left out: those whose rate is below 0.01 nats, for example.
        votes: batches for training, and again for testing.
        batch: rows of a batch, drawn with replacement from those that share the value.
        seed: of the batches.

    Raises:
        BadInput: shapes that do not fit, values that are not finite, constant or continuous factors.
    """
    z, v = _checked(codes, factors)
    if v.shape[1] < 2 or votes < 1 or batch < 2:
        raise BadInput(f"at least 2 factors, 1 vote and batches of 2; got {v.shape[1]}, votes={votes}, batch={batch}")
    kept = z.std(0) > 1e-12 * np.abs(z).max(0)
    if active is not None:
        kept &= _mask(active, z.shape[1])
    if not kept.any():
        return 0.0
    scaled = z[:, kept] / z[:, kept].std(0)
    rng = np.random.default_rng(seed)
    ballots = np.zeros((2, scaled.shape[1], v.shape[1]), dtype=np.int64)
    rows_of = [[np.flatnonzero(factor == value) for value in range(factor.max() + 1)] for factor in v.T]
    for vote in range(2 * votes):
        factor = rng.integers(v.shape[1])
        same = rows_of[factor][v[rng.integers(len(v)), factor]]
        spread = scaled[same[rng.integers(len(same), size=batch)]].var(0)
        ballots[vote % 2, spread.argmin(), factor] += 1
    chosen = ballots[0].argmax(1)
    return float(ballots[1][np.arange(len(chosen)), chosen].sum() / votes)


def _checked(codes: Any, factors: Any) -> tuple[Float[Codes, "n d"], Int[Codes, "n k"]]:
    """Codes in float64, factors as 0 … K−1."""
    z, v = np.asarray(codes), np.asarray(factors)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v) or len(z) < 2 or not z.shape[1] or not v.shape[1]:
        raise BadInput(f"codes are (n, d) and factors (n, k), aligned rows; got {z.shape} and {v.shape}")
    if not (np.issubdtype(z.dtype, np.number) and np.isfinite(z).all()):
        raise BadInput("codes are finite numbers; some are not")
    numbered = np.empty(v.shape, dtype=np.int64)
    for k, factor in enumerate(v.T):
        if np.issubdtype(v.dtype, np.floating) and not np.isfinite(factor).all():
            raise BadInput(f"factor {k} holds NaN or infinity")
        values, numbered[:, k] = np.unique(factor, return_inverse=True)
        if len(values) < 2:
            raise BadInput(f"factor {k} has one value in all {len(v)} rows: leave it out")
        if len(values) > len(v) / 4:
            raise BadInput(f"factor {k} has {len(values)} values in {len(v)} rows: bin it first, factors are discrete")
    return z.astype(np.float64), numbered


def _mask(active: Any, d: int) -> Bool[Codes, " d"]:
    mask = np.asarray(active)
    if mask.shape != (d,) or mask.dtype != np.bool_:
        raise BadInput(f"active= is ({d},) booleans, one a unit; got {mask.shape} of {mask.dtype}")
    return mask


def _binned(unit: Float[Codes, " n"], bins: int) -> Int[Codes, " n"]:
    low, high = unit.min(), unit.max()
    if high <= low:
        return np.zeros(len(unit), dtype=np.int64)
    places: Codes = np.minimum(((unit - low) / (high - low) * bins).astype(np.int64), bins - 1)
    return places


def _entropy(symbols: Int[Codes, " n"]) -> float:
    p = np.unique(symbols, return_counts=True)[1] / len(symbols)
    return float(-(p * np.log(p)).sum())


def _mutual_information(a: Int[Codes, " n"], b: Int[Codes, " n"]) -> float:
    return _entropy(a) + _entropy(b) - _entropy(a * (int(b.max()) + 1) + b)


def _scatter(rows: Float[Codes, "a b"]) -> Float[Codes, " a"]:
    """Entropy of each row's shares, 1 where all are equal; of a row of zeros too."""
    a, b = rows.shape
    if b == 1:
        return np.zeros(a)
    total = rows.sum(1, keepdims=True)
    shares = np.where(total > 0, rows / np.where(total > 0, total, 1), 1 / b)
    terms = np.where(shares > 0, shares * np.log(np.where(shares > 0, shares, 1)), 0)
    scattered: Codes = -terms.sum(1) / math.log(b)
    return scattered

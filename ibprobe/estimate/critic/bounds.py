"""Lower bounds on mutual information, read off a score matrix.

`scores[i, j]` is the critic's value f(aⱼ, bᵢ): rows are b, columns are a, and the diagonal holds the joint pairs.
A bound holds for any critic that did not see these rows; on rows it was trained on, each of these numbers is a
training loss and bounds nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Bound:
    """One reading of a bound, with what is needed to doubt it."""

    nats: float
    """The value of the bound, in nats; it may be negative."""
    se: float
    """Standard error over the rows by the influence function, the critic held fixed."""
    ess: float
    """Effective number of off-diagonal pairs behind E[eᶠ], at most n·(n−1); below 100 the value rests on few pairs."""


def donsker_varadhan(scores: Float[Tensor, "n n"]) -> Bound:
    """Donsker-Varadhan bound, E_joint[f] − ln E_product[eᶠ].

    Donsker & Varadhan (1983), Theorem 5.2; as an estimator Belghazi et al. (2018), arXiv 1801.04062, eq. 5 (MINE).
    The product average runs over all off-diagonal pairs. Limit: that average has outliers that grow like eᴵ (Song &
    Ermon 2020, arXiv 1910.06222, Theorem 2), its logarithm is too small when none of them was drawn (McAllester &
    Stratos 2020, arXiv 1811.04251), and then the value is too high: read it together with `ess`.

    Args:
        scores: critic values (n, n), joint pairs on the diagonal, n ≥ 2.

    Returns:
        The bound in nats.
    """
    n = scores.shape[0]
    joint = scores.diagonal()
    weights = scores.clone().fill_diagonal_(-math.inf)
    top = weights.amax()
    weights.sub_(top).exp_()
    mean = weights.sum() / (n * (n - 1))
    log_mean = top + mean.log()
    weights.div_(mean)
    # Derivative of the value by the weight of row i, which enters once as an a and once as a b.
    influence = joint - (weights.sum(0) + weights.sum(1)) / (n - 1)
    return Bound(float(joint.mean() - log_mean), _standard_error(influence), _effective(weights))


def infonce(scores: Float[Tensor, "n n"]) -> Bound:
    """InfoNCE, E[fᵢᵢ − ln mean_j e^fᵢⱼ], the contrast taken over the a of each b.

    van den Oord et al. (2018), arXiv 1807.03748, eq. 4; that it is a lower bound for a finite n, in expectation and
    without any assumption on f: Poole et al. (2019), arXiv 1905.06922, eq. 12. Limit: it cannot exceed ln n and falls
    short from about ln n − 1.5 on. A term of f that depends on b alone cancels, so such a critic may read absurdly
    under `donsker_varadhan`.

    Args:
        scores: critic values (n, n), joint pairs on the diagonal, n ≥ 2.

    Returns:
        The bound in nats.
    """
    n = scores.shape[0]
    top = scores.amax(1, keepdim=True)
    weights = (scores - top).exp_()
    total = weights.sum(1, keepdim=True)
    terms = scores.diagonal() - (top + total.log())[:, 0] + math.log(n)
    weights.mul_(n / total)
    # Row i is also one of the contrasts of every other row: the share it takes there is its column's sum.
    influence = terms - weights.mean(0)
    return Bound(float(terms.mean()), _standard_error(influence), _effective(weights.fill_diagonal_(0.0)))


def _standard_error(influence: Float[Tensor, " n"]) -> float:
    return float(influence.std() / math.sqrt(len(influence)))


def _effective(weights: Float[Tensor, "n n"]) -> float:
    total, squares = float(weights.sum()), float(weights.flatten() @ weights.flatten())
    return total**2 / squares if squares > 0 else 0.0

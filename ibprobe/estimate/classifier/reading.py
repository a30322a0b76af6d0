"""Log-ratios of rows to a reading: point value, interval and lower bound."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ibprobe.estimate.classifier.crossfit import CrossFit
from ibprobe.estimate.classifier.weights import Priors
from ibprobe.estimate.pairs import Reading

BOUND = "cross-entropy"
HEAD_SHARE, NETWORK_SHARE = 0.5, 0.75
"""Where the truth lies between held-out value (0) and training value (1), for discriminants and for networks."""
NEAR_SHARE = 1.5
"""How much more endless rows would tell than these, in units of what these tell more than half of them. The variance of
a kernel sum falls like 1/n, so once for variance; half as much for the bias of the best width in two columns."""
HEAD_DOUBT, NETWORK_DOUBT, NEAR_DOUBT = 0.2, 0.65, 1.0
"""How far from there it may lie, in the same units."""
OVER_FITTED = 0.5


@dataclass(frozen=True, slots=True)
class _LabelEntropy:
    """H(Y) of the population, from counts: without the plug-in's bias (Miller 1955), at most ln K."""

    nats: float
    most: float
    """Upper end of its 95 % interval."""
    left_out: float
    """E ln p(y), each row's frequency from all rows but itself."""
    second_order: float
    """Variance of the plug-in that remains where all classes are equally frequent: χ² with K − 1 degrees."""

    @staticmethod
    def of(priors: Priors) -> _LabelEntropy:
        n, classes = float(priors.count.sum()), len(priors.count)
        p = priors.count / n
        entropy = -float((p * p.log()).sum())
        second_order = (classes - 1) / (2 * n * n)
        error = math.sqrt(max(0.0, float((p * p.log().square()).sum()) - entropy**2) / n + second_order)
        corrected = min(entropy + (classes - 1) / (2 * n), math.log(classes))
        own = priors.without_own(torch.arange(classes, device=p.device)).diagonal()
        return _LabelEntropy(
            corrected, min(corrected + 1.96 * error, math.log(classes)), float((p * own).sum()), second_order
        )


def reading_of(fit: CrossFit) -> Reading:
    """What the log-ratios of a cross-fitted classifier tell; see ``Classifier`` for what each value means."""
    ratios, label = fit.ratios, _LabelEntropy.of(fit.priors)
    n = len(ratios.held)
    heads, networks = ratios.seen - ratios.half_seen, ratios.half_seen - ratios.held
    more = ratios.held - ratios.thinned
    point = ratios.held + HEAD_SHARE * heads + NETWORK_SHARE * networks + NEAR_SHARE * more
    of_heads, of_networks = float(heads.mean()), float(networks.mean())
    error = math.sqrt(float(point.var()) / n + _undecided(fit, n) + label.second_order)
    doubt = HEAD_DOUBT * abs(of_heads) + NETWORK_DOUBT * abs(of_networks) + NEAR_DOUBT * abs(float(more.mean()))
    half_width = math.hypot(1.96 * error, doubt)
    held = label.nats + label.left_out + float(ratios.held.mean())
    held_error = math.sqrt(float(ratios.held.var()) / n + label.second_order)
    nats = min(max(0.0, float(point.mean())), label.nats)
    return Reading(
        nats=nats,
        ci_low=max(0.0, nats - half_width),
        ci_high=min(nats + half_width, label.most),
        lower_confidence=max(0.0, held - 1.645 * held_error),
        bound=BOUND,
        flags=frozenset({"over_fitted"} if of_heads + of_networks > OVER_FITTED else ()),
    )


def _undecided(fit: CrossFit, n: int) -> float:
    """Variance of the point value where signal and noise of the class means cannot be told apart, in nats².

    With weak dependence the point value is half of ‖class means‖², less the noise in it: a degenerate U-statistic,
    whose variance rows do not show. Noise of P parameters is P/n nats, and its standard error √(P/2)/n.
    """
    if fit.seen_margin <= 0:
        return 0.0
    noise = max(0.0, fit.seen_margin - max(0.0, fit.held_margin))
    # Shrunk means give shrunk scores: in scores of full size, margin and variance agree.
    size = fit.score_variance / fit.seen_margin
    return (noise / fit.seen_margin) ** 2 * noise / size / (2 * n)

"""How far class scores are trusted: weights of the scores, and a share of the plain class frequencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MAX_WEIGHT = 8.0
"""Where classes are told apart without error any weight fits; a larger one would change the value by nothing."""
ITERATIONS, TOLERANCE = 25, 1e-3
MAX_SCORES, MIN_ROWS = 2**19, 512
"""Rows times classes that weights are fitted on at most, but never on fewer rows: a few weights need no more."""


@dataclass(frozen=True, slots=True)
class Priors:
    """Log class frequencies, smoothed by one row that is spread over all classes."""

    count: Float[Tensor, " k"]

    @staticmethod
    def of(y: Int[Tensor, " n"], classes: int) -> Priors:
        """From the labels of all rows."""
        return Priors(torch.bincount(y, minlength=classes).double())

    @property
    def seen(self) -> Float[Tensor, " k"]:
        """Log frequencies from all rows."""
        return ((self.count + 1 / len(self.count)) / (self.count.sum() + 1)).log().float()

    def without_own(self, y: Int[Tensor, " m"]) -> Float[Tensor, "m k"]:
        """Log frequencies for rows of these labels, each from all rows but itself."""
        left = self.count.expand(len(y), -1).clone()
        left.scatter_add_(1, y[:, None], left.new_full((1, 1), -1.0).expand(len(y), 1))
        return ((left + 1 / len(self.count)) / self.count.sum()).log().float()


@dataclass(frozen=True, slots=True)
class Trust:
    """q(y|t) = (1 − ε)·softmax(ln p(y) + Σ weight·score) + ε·p(y)."""

    weights: Float[Tensor, " h"]
    share: float
    """ε: a row far from all classes must not cost more than ln 1/ε."""

    def log_ratio(
        self, scores: Float[Tensor, "h *n k"], log_prior: Float[Tensor, "*#n k"], y: Int[Tensor, " n"]
    ) -> Float[Tensor, "*n"]:
        """Log-ratio ln q(y|t)/p(y) of each row."""
        own, _ = _softmax(torch.tensordot(self.weights, scores, 1), log_prior, y)
        return torch.log(own.exp() * (1 - self.share) + self.share)


def _softmax(
    scores: Float[Tensor, "*n k"], log_prior: Float[Tensor, "*#n k"], y: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n k"]]:
    """Own log-ratio and all class probabilities."""
    logits = log_prior + scores
    norm = logits.logsumexp(-1, keepdim=True)
    own = (scores - norm).gather(-1, y.expand(logits.shape[:-1])[..., None])[..., 0]
    return own, (logits - norm).exp()


def fit_trust(scores: Float[Tensor, "h m k"], log_prior: Float[Tensor, "#m k"], y: Int[Tensor, " m"]) -> Trust:
    """Weights ≥ 0 and a share of the prior that maximise the likelihood of rows that the scores were not fitted on.

    Expectation-maximisation over which rows follow the scores; a Newton step for the weights in between. Rows come in
    no order, as not all of them need be used.
    """
    rows = max(MIN_ROWS, MAX_SCORES // scores.shape[2])
    scores, y = scores[:, :rows], y[:rows]
    own = scores.gather(2, y.expand(len(scores), -1)[..., None])[..., 0]
    weights, share = scores.new_zeros(len(scores)), 0.02
    for _ in range(ITERATIONS):
        ratio, q = _softmax(torch.tensordot(weights, scores, 1), log_prior, y)
        follows = (1 - share) * ratio.exp() / ((1 - share) * ratio.exp() + share)
        share = min(0.5, max(1 / len(y), float(1 - follows.mean())))
        mean = (q * scores).sum(2)
        gradient = ((own - mean) * follows).sum(1)
        weighted = (q * follows[:, None] * scores).flatten(1)
        curvature = weighted @ scores.flatten(1).T - (mean * follows) @ mean.T
        before, weights = weights, _bounded(weights, gradient, curvature)
        if float((weights - before).abs().max()) < TOLERANCE:
            break
    return Trust(weights, share)


def _bounded(
    weights: Float[Tensor, " h"], gradient: Float[Tensor, " h"], curvature: Float[Tensor, "h h"]
) -> Float[Tensor, " h"]:
    """A Newton step of limited length over the weights that are not held at 0."""
    free = (weights > 0) | (gradient > 0)
    scale = curvature.diagonal().clamp_min(1e-12)
    ridge = torch.diag(1e-4 * scale)
    hold = (~free).to(curvature)
    system = (curvature + ridge) * free * free[:, None] + torch.diag(hold)
    step = torch.linalg.solve(system.double(), (gradient * free).double()).to(weights)
    stepped: Tensor = (weights + step.clamp(-0.5, 0.5)).clamp(0, MAX_WEIGHT)
    return stepped


def is_gain(gain: Float[Tensor, " m"], errors: float) -> bool:
    """Whether the mean of a gain is more than so many of its standard errors."""
    return bool(gain.mean() > errors * gain.std(correction=0) / len(gain) ** 0.5)

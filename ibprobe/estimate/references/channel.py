"""The kernel of the known noise, behind the protocol of all estimators."""

from __future__ import annotations

import torch

from ibprobe.capture.rows import LayerRows
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.single import OneByOne


def build() -> OneByOne:
    """The estimator."""
    return OneByOne(channel)


def channel(pair: Pair, seed: int) -> Reading | str:
    """Bracket I(b; b + std·ε), or with labels I(b + std·ε; Y), from one distance matrix.

    See :func:`ibprobe.estimate_channel` for what the two ends are, and their limits.

    Args:
        pair: known noise on b; a holds the same rows as b, or labels.
        seed: of the noise.
    """
    if not pair.std:
        return "no noise of known size is added to b: estimate_channel adds it"
    if pair.b.ndim == 1:
        return "noise is added to numbers, and b holds labels"
    if pair.a.ndim != 1 and not (pair.a.shape == pair.b.shape and torch.equal(pair.a, pair.b)):
        return "b is not a function of a, so the kernel bounds I(b; b + noise) and not what is asked for"
    labels = pair.a if pair.a.ndim == 1 else None
    found, missing = channel_estimates(LayerRows(pair.b), labels, Channel("absolute", pair.std, seed))
    quantity = "I_XT" if labels is None else "I_TY"
    e = next((e for e in found if e.quantity == quantity), None)
    if e is None:
        return missing[0].why
    return Reading(
        nats=e.nats, ci_low=e.ci_low, ci_high=e.ci_high, lower_confidence=e.lower_confidence, bound=e.bound,
        bracket_low=e.bracket_low, bracket_low_se=e.bracket_low_se, bracket_high=e.bracket_high,
        bracket_high_se=e.bracket_high_se, flags=e.flags,
    )  # fmt: skip

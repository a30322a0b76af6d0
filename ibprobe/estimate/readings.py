"""A critic's reading as a record, with the doubts that its bracket and its own diagnostics raise."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from ibprobe.estimate.critic.critics import CriticReading
from ibprobe.record.records import Estimate

FOLDS = 2


def folds_of(keys: Tensor) -> Tensor:
    """Fold of each row: fixed by its input, so that a critic never meets a held-out row at a later step."""
    folds = keys % FOLDS
    smallest = int(torch.bincount(folds, minlength=FOLDS).min())
    return folds if smallest >= len(keys) // (2 * FOLDS) else torch.arange(len(keys)) % FOLDS


def record_of(reading: CriticReading, bracket: Estimate) -> Estimate:
    """The critic's record: the frame of its bracket, its own value, error and flags."""
    flags = bracket.flags - {"wide_bracket", "at_ceiling", "collapsed"}
    return replace(
        bracket, nats=reading.nats, ci_low=reading.nats - 1.96 * reading.se, ci_high=reading.nats + 1.96 * reading.se,
        lower_confidence=reading.nats - 1.645 * reading.se, bracket_low=None, bracket_low_se=None, bracket_high=None,
        bracket_high_se=None, estimator="mine", bound=reading.bound, ess=reading.ess, seconds=reading.seconds,
        flags=flags | _critic_doubts(reading, bracket),
    )  # fmt: skip


def _critic_doubts(reading: CriticReading, bracket: Estimate) -> set[str]:
    flags = {"low_ess": reading.ess < 100, "over_fitted": reading.train_nats - reading.nats > 0.5}
    if bracket.bracket_low is not None and bracket.bracket_low_se is not None:
        gap = bracket.bracket_low - reading.nats
        flags["critic_behind"] = gap > 1.96 * math.hypot(reading.se, bracket.bracket_low_se)
    if bracket.bracket_high is not None and bracket.bracket_high_se is not None:
        gap = reading.nats - bracket.bracket_high
        flags["outside_bracket"] = gap > 1.96 * math.hypot(reading.se, bracket.bracket_high_se)
    return {k for k, on in flags.items() if on}

"""An estimator's reading as a record, with the doubts that its bracket raises."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.pairs import Reading
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

FOLDS = 2
_OF_THE_BRACKET = {"wide_bracket", "at_ceiling", "collapsed", "low_rank", "dead_units"}


def folds_of(keys: Int[Tensor, " n"]) -> Int[Tensor, " n"]:
    """Fold of each row: fixed by its input, so that a critic never meets a held-out row at a later step."""
    folds = keys % FOLDS
    smallest = int(torch.bincount(folds, minlength=FOLDS).min())
    return folds if smallest >= len(keys) // (2 * FOLDS) else torch.arange(len(keys)) % FOLDS


def sound(reading: Reading | str | None) -> Reading | str:
    """The reading, or one sentence if it is missing or holds a value that is not finite."""
    if reading is None:
        return "it gave no reading"
    if isinstance(reading, str):
        return reading
    numbers = (reading.nats, reading.ci_low, reading.ci_high, reading.lower_confidence)
    return reading if all(map(math.isfinite, numbers)) else f"it gave a value that is not finite: {numbers}"


def record_of(reading: Reading, frame: Estimate, estimator: str, seconds: float) -> Estimate:
    """The reading's record beside a bracket, or in a frame without one.

    Args:
        reading: what the estimator gave.
        frame: the bracket of the same quantity: its rows, channel and ceiling hold for the reading too.
        estimator: the name that the user knows it by.
        seconds: what it cost.
    """
    flags = (frame.flags - _OF_THE_BRACKET) | reading.flags
    if reading.noiseless:
        frame = replace(frame, noise="none", sigma=0.0, std=0.0)
    return replace(
        frame, nats=reading.nats, ci_low=reading.ci_low, ci_high=reading.ci_high,
        lower_confidence=reading.lower_confidence, bracket_low=reading.bracket_low,
        bracket_low_se=reading.bracket_low_se, bracket_high=reading.bracket_high,
        bracket_high_se=reading.bracket_high_se, estimator=estimator, bound=reading.bound, ess=reading.ess,
        effective_rank=None, dead_share=None, seconds=seconds, flags=flags | _against(frame, reading),
    )  # fmt: skip


def _against(bracket: Estimate, reading: Reading) -> set[str]:
    """On which side of the bracket the reading lies, beyond both errors; they must be of one variable."""
    flags = {}
    if not reading.noiseless and bracket.bracket_low is not None and bracket.bracket_low_se is not None:
        reach = math.hypot(reading.ci_high - reading.nats, 1.96 * bracket.bracket_low_se)
        flags["critic_behind"] = bracket.bracket_low - reading.nats > reach
    if not reading.noiseless and bracket.bracket_high is not None and bracket.bracket_high_se is not None:
        reach = math.hypot(reading.nats - reading.ci_low, 1.96 * bracket.bracket_high_se)
        flags["outside_bracket"] = reading.nats - bracket.bracket_high > reach
    return {k for k, on in flags.items() if on}

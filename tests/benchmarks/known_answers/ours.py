"""Our estimators, through the calls that a user makes; the one exception says so."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import torch

from ibprobe import Estimate, estimate_channel, estimate_mi, measure
from ibprobe.estimate.critic.critics import fit_critics
from ibprobe.estimate.critic.intervals import reading_of
from ibprobe.estimate.pairs import Pair
from ibprobe.estimate.readings import folds_of

from .cases import Answer, Sample
from .twelve_bits import Recorded


def mine(sample: Sample, seed: int) -> Answer:
    return _answer(estimate_mi(sample.x, sample.y, seed=seed))


def mine_through_a_layer(sample: Sample, seed: int) -> Answer:
    """The critic of a probed layer: it sees the clean activations and redraws the noise, as :func:`measure` has it."""
    assert sample.clean is not None
    records = measure(
        Recorded(sample.x, sample.clean), sample.x, layers=["layer"], noise="absolute", sigma=sample.sigma,
        target="probe_set", estimator="mine", rows=len(sample.x), seed=seed,
    )  # fmt: skip
    return _answer(records.one(estimator="mine", quantity="I_XT"))


def classifier(sample: Sample, seed: int) -> Answer:
    return _answer(estimate_mi(sample.x, sample.y, estimator="classifier", seed=seed))


def bracket(sample: Sample, seed: int) -> Answer:
    """The rows are a sample."""
    found = estimate_channel(sample.clean, sigma=sample.sigma, noise="absolute", seed=seed)
    assert isinstance(found, Estimate)
    return _answer(found)


def bracket_of_all_inputs(sample: Sample, seed: int) -> Answer:
    """The rows are all inputs that there are."""
    found = estimate_channel(sample.clean, sigma=sample.sigma, noise="absolute", seed=seed, target="probe_set")
    assert isinstance(found, Estimate)
    return _answer(found)


def label_bracket(sample: Sample, seed: int) -> Answer:
    found = estimate_channel(sample.clean, sample.y, sigma=sample.sigma, noise="absolute", seed=seed)
    assert isinstance(found, tuple)
    return _answer(found[1])


def longer(factor: int) -> Callable[[Sample, int], Answer]:
    """MINE allowed so many times its steps. The only call past the public ones: no option for it is public."""

    def estimate(sample: Sample, seed: int) -> Answer:
        steps = factor * inspect.signature(fit_critics).parameters["steps"].default
        folds = folds_of(torch.arange(len(sample.x)))
        found = fit_critics([Pair(sample.x, sample.y)], folds, seed=seed, steps=steps)
        return Answer(nats=reading_of(found[0]).nats)

    return estimate


OURS: Mapping[str, Callable[[Sample, int], Answer]] = {
    "mine": mine,
    "mine, layer": mine_through_a_layer,
    "mine, steps x1": longer(1),
    "mine, steps x2": longer(2),
    "mine, steps x4": longer(4),
    "classifier": classifier,
    "channel": bracket,
    "channel, all inputs": bracket_of_all_inputs,
    "channel, labels": label_bracket,
}


def _answer(e: Estimate) -> Answer:
    return Answer(
        nats=e.nats, ci_low=e.ci_low, ci_high=e.ci_high, lower_confidence=e.lower_confidence,
        bracket_low=e.bracket_low, bracket_low_se=e.bracket_low_se, bracket_high=e.bracket_high,
        bracket_high_se=e.bracket_high_se, flags=tuple(sorted(e.flags)),
    )  # fmt: skip

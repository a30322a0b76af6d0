"""What every installed estimator promises, whichever it is."""

import math
from collections.abc import Mapping

import pytest
import torch
from helpers import random_states, same

from ibprobe.estimate.pairs import Estimator, Pair, Reading
from ibprobe.plugins import Plugins

N = 1000
# InfoNCE is the MINE estimator with one of its bounds.
NAMES = [pytest.param(n, marks=pytest.mark.slow if n == "infonce" else ()) for n in Plugins([]).offers("estimator")]


def draw(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def labels(seed: int = 4) -> torch.Tensor:
    return torch.randint(3, (N,), generator=torch.Generator().manual_seed(seed))


def independent() -> dict[str, tuple[Pair, float]]:
    """One pair of every kind, with its information."""
    return {
        "train/fc/I_XT": (Pair(draw(N, 1), draw(N, 1, seed=2)), 0.0),
        "labels": (Pair(labels(), draw(N, 1)), 0.0),
        "labels of a channel": (Pair(labels(), draw(N, 1), 0.5), 0.0),
        "two sides of labels": (Pair(labels(), labels(5)), 0.0),
    }


def dependent() -> dict[str, tuple[Pair, float]]:
    x, y = draw(N, 1), labels()
    return {
        "train/fc/I_XT": (Pair(x, 0.8 * x + 0.6 * draw(N, 1, seed=2)), -0.5 * math.log(1 - 0.8**2)),
        "channel": (Pair(x, x, 0.5), 0.5 * math.log1p(4)),
        # Classes eight standard deviations apart: I = H(Y).
        "labels": (Pair(y, 8.0 * y[:, None] + x), math.log(3)),
        "labels of a channel": (Pair(y, 8.0 * y[:, None] + x, 0.5), math.log(3)),
        "two sides of labels": (Pair(y, (y + 1) % 3), math.log(3)),
    }


def read(name: str, pairs: Mapping[str, tuple[Pair, float]], seed: int = 0) -> dict[str, Reading | str]:
    estimator: Estimator = Plugins([]).estimator(name)
    return dict(estimator({k: pair for k, (pair, _) in pairs.items()}, torch.arange(N) % 2, seed=seed))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pairs", [independent(), dependent()], ids=["independent", "dependent"])
def test_it_finds_nothing_where_nothing_is_and_the_truth_where_it_is_easy(name: str, pairs: dict) -> None:
    found = read(name, pairs)
    assert list(found) == list(pairs)
    readings = {k: r for k, r in found.items() if isinstance(r, Reading)}
    assert readings, "it must work on one kind of pair at least"
    for kind, r in readings.items():
        pair, truth = pairs[kind]
        if not r.noiseless:
            # A known answer at a thousand rows; bounds that are far apart say so by their interval.
            assert abs(r.nats - truth) < 0.08 or (abs(r.nats - truth) < 0.5 and r.ci_low <= truth <= r.ci_high), kind
        elif not pair.std:
            # Bins lose information and can add none, chance apart, which the interval holds.
            assert r.ci_low <= truth + 0.05, kind
            assert r.nats > 0.05 or not truth, kind


@pytest.mark.parametrize("name", NAMES)
def test_it_is_finite_ordered_repeatable_and_harmless(name: str) -> None:
    before = random_states()
    first, second = read(name, dependent(), seed=3), read(name, dependent(), seed=3)
    assert same(before, random_states())
    for one, other in zip(first.values(), second.values(), strict=True):
        assert type(one) is type(other)
        if isinstance(one, Reading) and isinstance(other, Reading):
            assert one.flags == other.flags
            # Where an array lies in memory decides in which order float32 sums are taken.
            assert (one.nats, one.ci_low, one.ci_high) == pytest.approx(
                (other.nats, other.ci_low, other.ci_high), abs=1e-5
            )
    for r in first.values():
        if isinstance(r, Reading):
            assert all(map(math.isfinite, (r.nats, r.ci_low, r.ci_high, r.lower_confidence)))
            assert r.ci_low <= r.nats <= r.ci_high
            assert r.lower_confidence <= r.nats
            assert r.bound
        else:
            assert len(r) > 10, "a reason is a sentence"


@pytest.mark.parametrize("name", NAMES)
def test_no_pairs_are_no_readings(name: str) -> None:
    assert read(name, {}) == {}

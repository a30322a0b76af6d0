"""The contract of estimators lets a good one pass, and says of a broken one what was expected and what came."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from ibprobe import Reading
from ibprobe.estimate.references.single import OneByOne, interval, with_noise
from ibprobe.testing import check_estimator


def correlation(pair: Any, seed: int) -> Reading | str:
    if pair.a.ndim == 1 or pair.b.ndim == 1:
        return "correlations are of numbers, and one side holds labels"
    rho = float(torch.corrcoef(torch.cat([pair.a, with_noise(pair, seed)], 1).T)[0, 1])
    return interval(-0.5 * math.log1p(-rho * rho), 1 / math.sqrt(len(pair.a)), "Gaussian")


def changed(**of: Callable[[Reading], Any]) -> Callable[[], Any]:
    """The good estimator with other numbers."""

    def read(pair: Any, seed: int) -> Reading | str:
        found = correlation(pair, seed)
        return found if isinstance(found, str) else replace(found, **{k: f(found) for k, f in of.items()})

    return lambda: OneByOne(read)


def test_a_good_one_passes_and_what_it_read_comes_back() -> None:
    found = check_estimator(lambda: OneByOne(correlation))
    read = [name for name, r in found.items() if isinstance(r, Reading)]
    assert read == ["independent columns", "columns with correlation 0.8", "a column and its noisy self"]


def of_global_numbers(pair: Any, seed: int) -> Any:
    torch.rand(1)
    return correlation(pair, seed)


def in_place(pair: Any, seed: int) -> Any:
    pair.b.add_(1)
    return correlation(pair, seed)


def by_chance(pair: Any, seed: int) -> Any:
    found = correlation(pair, seed)
    return found if isinstance(found, str) else interval(found.nats + 1e-3 * next(counting), 0.1, "Gaussian")


counting = iter(range(1000))


class Forgetful:
    """Its state is not what it has learned."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, pairs: Any, folds: Any, *, seed: int) -> Any:
        self.calls += bool(pairs)
        found = OneByOne(correlation)(pairs, folds, seed=seed)
        return {k: r if isinstance(r, str) else replace(r, ci_high=r.ci_high + self.calls) for k, r in found.items()}

    def state_dict(self) -> Any:
        return {"calls": 0}

    def load_state_dict(self, state: Any) -> None:
        self.calls = state["calls"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (changed(nats=lambda r: r.nats + 0.6, ci_high=lambda r: 9.0), "independent columns: expected 0.000 nats, got"),
        (changed(nats=lambda r: 0.0, ci_low=lambda r: -1.0, lower_confidence=lambda r: -1.0), "expected 0.511 nats"),
        (changed(ci_high=lambda r: r.nats - 0.1), "expected ci_low ≤ nats ≤ ci_high"),
        (changed(lower_confidence=lambda r: r.nats + 0.1), "expected lower_confidence ≤ nats"),
        (changed(nats=lambda r: math.nan), "expected nats to be a finite Python number, got nan"),
        (changed(bound=lambda r: ""), "expected `bound` to say"),
        (lambda: OneByOne(lambda pair, seed: "no, it reads nothing"), "expected a reading of one kind of pair"),
        (lambda: OneByOne(lambda pair, seed: "no"), "expected a sentence that says why"),
        (lambda: OneByOne(of_global_numbers), "the global generator of torch was drawn from"),
        (lambda: OneByOne(in_place), "b of 'independent columns' was changed in place"),
        (lambda: OneByOne(by_chance), "another estimator with the same seed: expected the same result"),
        (
            lambda: lambda pairs, folds, *, seed: {"x": "none at all, ever"},
            r"expected one reading or reason for each of \[\], got \['x'\]",
        ),
        (lambda: lambda pairs, folds, *, seed: {}, "expected one reading or reason for each of"),
        (lambda: lambda pairs, folds, *, seed: dict.fromkeys(pairs, 0.5), "expected a Reading or a sentence, got 0.5"),
        (lambda: 3, r"expected a function \(pairs, folds, \*, seed\), got 3"),
        (lambda: Forgetful, "expected an instance, got the class Forgetful"),
        (Forgetful, r"after state_dict\(\) and load_state_dict\(\): expected the same result"),
    ],
)
def test_a_broken_one_is_told(build: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_estimator(build)


def test_a_slow_one_is_told() -> None:
    with pytest.raises(AssertionError, match="expected at most 0 s for 4 pairs of 1000 rows; it took"):
        check_estimator(lambda: OneByOne(correlation), seconds=0.0)

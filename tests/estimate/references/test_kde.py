import math

import pytest
import torch
from torch import Tensor

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.kde import kde

T = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
Y = torch.arange(600) % 3


def read(pair: Pair) -> Reading:
    found = kde(pair, 0)
    assert isinstance(found, Reading)
    return found


def slow(t: Tensor, std: float, divisor: float) -> float:
    """The double sum, pair by pair of rows."""
    t = t.double()
    square = (t[:, None] - t[None]).square().sum(2)
    return float(-torch.exp(-square / (divisor * std**2)).mean(1).log().mean())


def test_it_is_the_double_sum() -> None:
    found = read(Pair(T, T, 0.5))
    assert found.nats == pytest.approx(slow(T, 0.5, 2), abs=1e-9)
    assert found.lower_confidence < slow(T, 0.5, 8)


@pytest.mark.parametrize("std", [0.3, 1.0, 3.0])
def test_the_interval_spans_the_truth_of_a_gaussian_channel(std: float) -> None:
    found = read(Pair(T, T, std))
    assert found.ci_low <= math.log1p(1 / std**2) <= found.ci_high


def test_clusters_far_apart_are_exact() -> None:
    t = 100.0 * Y[:, None].float()
    for pair in (Pair(t, t, 1.0), Pair(Y, t, 1.0)):
        assert read(pair).nats == pytest.approx(math.log(3), abs=1e-6)


def test_labels_without_known_noise_are_read_with_the_noise_that_the_record_names() -> None:
    found = read(Pair(Y, T))
    assert "noise 0.25 assumed" in found.bound
    # Classes of 200 rows look less spread than they are at a quarter of the spread.
    assert 0 <= found.nats < 0.12
    assert found.ci_low < 0
    assert read(Pair(T, Y)).nats == found.nats


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_do_not_matter(scale: float) -> None:
    scaled = T.double() * scale
    assert read(Pair(scaled, scaled, 0.5 * scale)).nats == pytest.approx(read(Pair(T, T, 0.5)).nats, abs=1e-5)


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (Pair(T, T), "noise of known size"),
        (Pair(T + 1, T, 0.5), "not a function"),
        (Pair(Y, Y), "use counts"),
        (Pair(Y, torch.ones(600, 2)), "constant"),
    ],
)
def test_what_it_cannot_read_is_said(pair: Pair, why: str) -> None:
    assert why in kde(pair, 0)

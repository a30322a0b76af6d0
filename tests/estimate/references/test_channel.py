import math

import pytest
import torch

from ibprobe import estimate_channel
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.channel import channel

T = torch.randn(600, 3, generator=torch.Generator().manual_seed(0))
Y = torch.arange(600) % 3


@pytest.mark.parametrize("labels", [False, True])
def test_it_is_the_public_bracket(labels: bool) -> None:
    found = channel(Pair(Y if labels else T, T, 0.5), 7)
    both = estimate_channel(T, Y, sigma=0.5, noise="absolute", seed=7)
    assert isinstance(found, Reading)
    assert isinstance(both, tuple)
    e = both[labels]
    # With labels rows are summed class by class, and float32 sums in another order differ in the last places.
    assert (found.nats, found.bracket_low, found.bracket_high, found.bracket_low_se) == pytest.approx(
        (e.nats, e.bracket_low, e.bracket_high, e.bracket_low_se), abs=1e-6
    )


def test_the_bracket_holds_a_gaussian_channel() -> None:
    found = channel(Pair(T, T, 1.0), 0)
    assert isinstance(found, Reading)
    assert found.ci_low <= 1.5 * math.log(2) <= found.ci_high


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (Pair(T, T), "no noise of known size"),
        (Pair(T + 1, T, 0.5), "not a function of a"),
        (Pair(T, Y, 0.5), "b holds labels"),
        (Pair(torch.arange(600), T, 0.5), "no class has two rows"),
    ],
)
def test_what_it_cannot_read_is_said(pair: Pair, why: str) -> None:
    assert why in channel(pair, 0)

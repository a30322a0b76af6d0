"""How many directions the rows fill and how many units are dead, against numpy."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ibprobe import Estimate
from ibprobe.capture.rows import LayerRows, evenly_spaced
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel
from ibprobe.estimate.pairs import Reading
from ibprobe.estimate.readings import record_of
from ibprobe.estimate.spread import effective_rank


def measured(t: Tensor, channel: Channel | None = None) -> Estimate:
    return channel_estimates(LayerRows(t), None, channel or Channel())[0][0]


def plainly(t: Tensor) -> float:
    """(tr C)²/tr C² by the covariance's eigenvalues."""
    spectrum = np.linalg.eigvalsh(np.cov(t.double().numpy().T))
    return float(spectrum.sum() ** 2 / (spectrum**2).sum())


@pytest.mark.parametrize(("n", "d"), [(64, 3), (200, 100), (200, 101), (60, 300), (3000, 5)])
def test_the_effective_rank_is_that_of_the_covariance_of_evenly_spaced_rows(n: int, d: int) -> None:
    t = torch.randn(n, d) * torch.linspace(0.1, 2, d)
    read = t[evenly_spaced(n, min(1024, n // 2))]
    assert effective_rank(t - t.mean(0)) == pytest.approx(plainly(read), rel=1e-4)


@pytest.mark.parametrize("scale", [1e-18, 1e18])
def test_the_effective_rank_does_not_depend_on_the_unit(scale: float) -> None:
    t = torch.randn(200, 8)
    assert measured(scale * t).effective_rank == pytest.approx(measured(t).effective_rank, rel=1e-4)


def test_activations_in_bfloat16_fill_as_many_directions_and_leave_as_many_units_dead() -> None:
    t = torch.randn(2048, 64)
    t[:, :16] = 3.0
    coarse, fine = measured(t.bfloat16()), measured(t)
    # Rounding moves each number by at most 1/256 of itself.
    assert coarse.effective_rank == pytest.approx(fine.effective_rank, rel=0.01)
    assert coarse.dead_share == fine.dead_share == 0.25


def test_equal_directions_count_each_and_one_direction_counts_as_one() -> None:
    t = torch.randn(4096, 4)
    assert measured(torch.cat([t, t], 1)).effective_rank == pytest.approx(4, abs=0.1)
    assert measured(t[:, :1].repeat(1, 9)).effective_rank == pytest.approx(1)


def test_under_per_unit_noise_it_is_that_of_standardised_units() -> None:
    t = torch.randn(2048, 8)
    t[:, 0] *= 1000
    assert measured(t).effective_rank == pytest.approx(1, abs=0.01)
    assert measured(t, Channel("per_unit")).effective_rank == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize("dead", [0, 1, 5, 8])
def test_the_share_of_dead_units_is_that_of_units_without_a_range(dead: int) -> None:
    t = torch.randn(200, 8)
    t[:, :dead] = torch.arange(8.0)[:dead]
    e = measured(t)
    assert e.dead_share == float((np.ptp(t.numpy(), axis=0) == 0).mean()) == dead / 8
    assert ("dead_units" in e.flags) == (dead > 4)


def test_a_constant_layer_fills_no_direction_and_is_all_dead_without_being_of_low_rank() -> None:
    e = measured(torch.full((200, 9), 3.7))
    assert (e.effective_rank, e.dead_share) == (0.0, 1.0)
    assert {"constant", "dead_units"} <= e.flags
    assert "low_rank" not in e.flags


def test_a_single_row_has_no_spread_to_speak_of() -> None:
    e = measured(torch.randn(1, 9))
    assert (e.effective_rank, e.dead_share) == (None, None)


def in_one_direction(share: float) -> Callable[[int], Tensor]:
    """Rows with this share of the variance along the first unit, the rest along the second."""
    root = torch.tensor([math.sqrt(share), math.sqrt(1 - share)])
    return lambda width: torch.cat([torch.randn(4096, 2) * root, torch.zeros(4096, width - 2)], 1)


@pytest.mark.parametrize(("share", "width", "low"), [(0.97, 8, True), (0.93, 8, False), (0.97, 7, False)])
def test_one_direction_with_most_of_the_variance_is_a_low_rank_in_wide_layers(
    share: float, width: int, low: bool
) -> None:
    assert ("low_rank" in measured(in_one_direction(share)(width)).flags) == low


def test_only_the_bracket_of_the_inputs_carries_the_spread() -> None:
    t = torch.randn(200, 1).repeat(1, 9)
    t[:, :5] = 0
    found, _ = channel_estimates(LayerRows(t), torch.arange(200) % 3, Channel())
    xt, *others = found
    assert {"low_rank", "dead_units"} <= xt.flags
    critic = record_of(Reading(nats=1.0, ci_low=1.0, ci_high=1.0, lower_confidence=1.0, bound="dv"), xt, "mine", 0.1)
    for e in (critic, *others):
        assert (e.effective_rank, e.dead_share) == (None, None)
        assert not e.flags & {"low_rank", "dead_units"}


def test_two_classes_may_lie_along_one_direction() -> None:
    t = torch.randn(200, 1).repeat(1, 9)
    for classes, low in ((2, False), (3, True)):
        found, _ = channel_estimates(LayerRows(t), torch.arange(200) % classes, Channel())
        assert ("low_rank" in found[0].flags) == low

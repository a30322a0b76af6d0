"""Cases in which a plausible estimator says more than it knows; each was wrong once."""

import math

import pytest
import torch
from torch import Tensor

from ibprobe import Estimate, check_plane, estimate_channel, estimate_mi
from ibprobe.capture.rows import LayerRows
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel


def by_quantity(t: Tensor, y: Tensor | None, channel: Channel | None = None, **layer: object) -> dict[str, Estimate]:
    found, _ = channel_estimates(LayerRows(t, **layer), y, channel or Channel())  # type: ignore[arg-type]
    return {e.quantity: e for e in found}


def pair(t: Tensor, y: Tensor, **options: object) -> tuple[Estimate, Estimate]:
    found = estimate_channel(t, y, **options)  # type: ignore[arg-type]
    assert isinstance(found, tuple)
    return found


def test_labels_are_measured_through_the_channel_of_all_rows() -> None:
    # Unlabelled rows are spread wide and set the noise; under it the labelled clusters cannot be told apart.
    y = torch.randint(0, 10, (2048,))
    t = 0.05 * torch.randn(10, 16)[y] + 0.01 * torch.randn(2048, 16)
    unlabelled = torch.rand(2048) < 0.5
    t[unlabelled] = 3 * torch.randn(int(unlabelled.sum()), 16)
    y[unlabelled] = -100
    found = by_quantity(t, y)
    assert found["I_TY"].std == found["I_XT"].std
    assert found["I_TY"].nats < 0.02


def test_guards_do_not_compare_coordinates_of_different_rows() -> None:
    y = torch.where(torch.rand(1024) < 0.2, torch.randint(0, 10, (1024,)), -100)
    t = torch.where((y >= 0)[:, None], torch.eye(10)[y.clamp_min(0)], 0.0) + 1e-3 * torch.randn(1024, 10)
    xt, ty = pair(t, y, sigma=0.1)
    assert ty.nats > xt.nats
    assert check_plane([xt, ty]) == []


@pytest.mark.parametrize("sigma", [0.0, 1e-4, 0.02])
def test_guards_hold_where_both_coordinates_sit_on_their_limits(sigma: float) -> None:
    # A layer that is one to one with the class: I(X;T) = I(T;Y) = H(Y), equal up to rounding.
    for seed in range(10):
        y = torch.randint(0, 10, (1024,), generator=torch.Generator().manual_seed(seed))
        assert check_plane(pair(torch.eye(10)[y], y, sigma=sigma, target="probe_set", seed=seed)) == []


def test_a_random_layer_does_not_know_random_labels_even_on_a_probe_set() -> None:
    t, y = torch.randn(512, 8), torch.randint(0, 10, (512,))
    found = by_quantity(t, y, Channel(sigma=0.1, target="probe_set"), stochastic=True)
    assert found["I_TY"].nats < 0.05
    assert found["I_TY"].lower_confidence < 0.05


def test_leaving_out_single_rows_does_not_select_the_informative_ones() -> None:
    # Half the rows have a label of their own; t is 4 for one of the two large classes and 0 for all else.
    y = torch.cat([torch.arange(1024) % 2, torch.arange(1024) + 10])
    t = torch.cat([4.0 * (torch.arange(1024) % 2), torch.zeros(1024)])[:, None].repeat(1, 2)
    # Ones and zeros: I(T;Y) of the labels with the single ones merged is the entropy of t, H(1/4) = 0.562.
    e = by_quantity(t, y, Channel("absolute", 0.1))["I_TY"]
    assert "singleton_classes" in e.flags
    assert e.lower_confidence <= 0.5624
    assert e.nats == pytest.approx(0.5623, abs=0.02)


def test_the_interval_of_many_balanced_classes_holds_their_entropy() -> None:
    y = torch.randint(0, 100, (2048,))
    e = by_quantity(10 * torch.eye(100)[y], y, Channel("absolute", 0.1))["I_TY"]
    assert e.ci_low <= math.log(100) <= e.ci_high + 1e-9
    assert e.ceiling <= math.log(100) + 1e-9


def test_classes_with_few_rows_each_are_flagged() -> None:
    y = torch.randint(0, 500, (2048,))
    assert "many_classes" in by_quantity(torch.randn(2048, 4), y)["I_TY"].flags


@pytest.mark.parametrize("copies", [2, 3, 4])
def test_repeated_rows_do_not_leak_between_folds(copies: int) -> None:
    x, y = (torch.randn(2048 // copies, 20).repeat(copies, 1) for _ in range(2))
    e = estimate_mi(x, y)
    assert e.nats < 0.05
    assert e.dropped_rows == 2048 // copies * (copies - 1)
    assert "repeated_rows" in e.flags


def test_two_label_vectors_keep_all_their_rows() -> None:
    y = torch.randint(0, 4, (2048,))
    e = estimate_mi(y, y)
    assert e.dropped_rows == 0
    assert e.nats == pytest.approx(math.log(4), abs=0.05)


def test_all_coordinates_of_stale_rows_say_so() -> None:
    steps = torch.arange(600) // 100
    t = torch.randn(600, 12) + 2 * steps[:, None]
    found = by_quantity(t, torch.arange(600) % 3, step_of_row=steps)
    assert all("stale_rows" in e.flags for e in found.values())


def test_one_fresh_row_of_a_still_layer_is_not_stale() -> None:
    steps = torch.cat([torch.zeros(64), torch.ones(1)]).long()
    assert "stale_rows" not in by_quantity(torch.randn(65, 12), None, step_of_row=steps)["I_XT"].flags


def test_a_few_outliers_do_not_carry_the_value_with_them() -> None:
    # 50 clusters with Zipf weights: I = H = 3.20 nats; the rare ones alone open the upper end.
    weights = 1 / torch.arange(1, 51).float()
    p = weights / weights.sum()
    errors = []
    for seed in range(5):
        g = torch.Generator().manual_seed(seed)
        symbols = torch.multinomial(p, 512, replacement=True, generator=g)
        t = 100 * torch.randn(50, 8, generator=g)[symbols]
        e = by_quantity(t, None, Channel("absolute", 1.0, seed))["I_XT"]
        errors.append(e.nats - float((p * -p.log()).sum()))
    # Five runs with an error of about 0.05 each.
    assert abs(sum(errors) / 5) < 0.08


def test_counts_without_noise_claim_nothing_about_a_population() -> None:
    y = torch.randint(0, 10, (1024,))
    _, label = pair(torch.randn(1024, 4), y, sigma=0.0)
    assert label.lower_confidence == 0.0
    _, counted = pair(torch.randn(1024, 4), y, sigma=0.0, target="probe_set")
    assert counted.lower_confidence == counted.nats


def test_a_critic_that_reads_nothing_keeps_its_doubt() -> None:
    e = estimate_mi(torch.randn(512, 5), torch.randn(512, 5))
    assert e.ci_low == 0.0 < e.ci_high


def test_coarse_activations_are_flagged_under_per_unit_noise_too() -> None:
    t = 300 + torch.randn(2048, 4)
    assert "dtype_resolution" in by_quantity(t.bfloat16(), None, Channel("per_unit"))["I_XT"].flags
    assert "dtype_resolution" not in by_quantity(t, None, Channel("per_unit"))["I_XT"].flags


@pytest.mark.parametrize("offset", [0.0, 1e6, 1.7e9])
def test_columns_far_from_zero_lose_nothing_in_the_critic(offset: float) -> None:
    x = torch.randn(1024, 1).double()
    y = 0.8 * x + 0.6 * torch.randn(1024, 1).double()
    # −½ ln(1 − 0.8²) = 0.511
    assert estimate_mi(x + offset, y).nats == pytest.approx(0.511, abs=0.1)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_extreme_scales_do_not_leave_the_range(scale: float) -> None:
    t = torch.randn(600, 4)
    assert by_quantity(scale * t, None)["I_XT"].nats == pytest.approx(by_quantity(t, None)["I_XT"].nats, abs=1e-3)

"""Records of a layer: values, limits and flags in every awkward case."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from ibprobe import BadInput, Estimate, Event
from ibprobe.capture.rows import LayerRows
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel

N = 600


@pytest.fixture
def t() -> Tensor:
    return torch.randn(N, 12, generator=torch.Generator().manual_seed(0))


def labels(classes: int = 3) -> Tensor:
    return torch.arange(N) % classes


def by_quantity(
    t: Tensor, y: Tensor | None, channel: Channel | None = None, **layer: object
) -> tuple[dict[str, Estimate], list[Event]]:
    found, events = channel_estimates(LayerRows(t, **layer), y, channel or Channel())  # type: ignore[arg-type]
    return {e.quantity: e for e in found}, events


def test_one_call_gives_three_quantities_with_their_ceilings(t: Tensor) -> None:
    found, events = by_quantity(t, labels())
    assert set(found) == {"I_XT", "I_TY", "I_XT_given_Y"}
    assert found["I_XT"].ceiling == pytest.approx(math.log(N))
    assert found["I_TY"].ceiling == pytest.approx(math.log(3))
    assert found["I_XT_given_Y"].ceiling == pytest.approx(math.log(N / 3))
    assert not events


def test_the_interval_spans_the_bracket_and_the_value_lies_inside(t: Tensor) -> None:
    for e in by_quantity(t, labels())[0].values():
        assert e.bracket_low is not None
        assert e.bracket_high is not None
        assert e.ci_low <= e.lower_confidence <= e.bracket_low <= e.nats <= e.bracket_high < e.ci_high


def test_without_labels_the_missing_coordinate_is_an_event(t: Tensor) -> None:
    found, events = by_quantity(t, None)
    assert list(found) == ["I_XT"]
    assert (events[0].quantity, events[0].kind) == ("I_TY", "not_measured")


def test_a_constant_layer_keeps_nothing_and_says_so() -> None:
    found, _ = by_quantity(torch.full((N, 12), 3.7), labels())
    assert {e.nats for e in found.values()} == {0.0}
    assert all("constant" in e.flags for e in found.values())


def test_a_nearly_constant_layer_is_collapsed() -> None:
    t = torch.zeros(N, 12)
    t[0] = 1.0
    assert "collapsed" in by_quantity(t, None)[0]["I_XT"].flags


def test_without_noise_symbols_are_counted_and_flagged() -> None:
    t = (torch.arange(N) % 4)[:, None].float()
    found, _ = by_quantity(t, torch.arange(N) % 2, Channel(sigma=0.0))
    assert found["I_XT"].nats == pytest.approx(math.log(4))
    assert found["I_TY"].nats == pytest.approx(math.log(2))
    assert found["I_XT_given_Y"].nats == pytest.approx(math.log(2))
    assert "deterministic" in found["I_XT"].flags


def test_a_stochastic_layer_has_no_lower_end_but_keeps_its_labels(t: Tensor) -> None:
    found, _ = by_quantity(t, labels(), stochastic=True)
    assert found["I_XT"].bracket_low is None
    assert found["I_XT"].lower_confidence == 0.0
    assert "stochastic" in found["I_XT"].flags
    assert found["I_TY"].bracket_low is not None


def test_a_single_row_reads_zero_under_a_ceiling_of_zero() -> None:
    e = by_quantity(torch.randn(1, 12), None, stochastic=True, dropped=2047)[0]["I_XT"]
    assert (e.nats, e.ceiling, e.bracket_low) == (0.0, 0.0, None)
    assert {"stochastic", "repeated_rows", "few_rows"} <= e.flags


def test_an_outlier_unit_is_flagged_under_relative_noise_only(t: Tensor) -> None:
    t[:, 5] *= 300
    assert "outlier_units" in by_quantity(t, None)[0]["I_XT"].flags
    assert "outlier_units" not in by_quantity(t, None, Channel("per_unit"))[0]["I_XT"].flags


def test_bfloat16_activations_far_from_zero_are_flagged_when_the_noise_drowns(t: Tensor) -> None:
    coarse = (t + 3).bfloat16()
    assert "dtype_resolution" in by_quantity(coarse, None, Channel("absolute", 0.01))[0]["I_XT"].flags
    fine = by_quantity(coarse, None)[0]["I_XT"]
    assert "dtype_resolution" not in fine.flags
    # At a noise far above the rounding, coarse storage must not move the value.
    assert fine.nats == pytest.approx(by_quantity(t + 3, None)[0]["I_XT"].nats, abs=0.02)


def test_a_class_with_one_row_is_left_out_and_flagged(t: Tensor) -> None:
    y = labels()
    y[7] = 99
    found, _ = by_quantity(t, y)
    assert (found["I_TY"].rows, found["I_TY"].dropped_rows) == (N - 1, 1)
    assert "singleton_classes" in found["I_TY"].flags
    assert found["I_XT"].rows == N


def test_equal_labels_carry_nothing(t: Tensor) -> None:
    found, _ = by_quantity(t, torch.zeros(N, dtype=torch.long))
    assert found["I_TY"].nats == 0.0
    assert "one_class" in found["I_TY"].flags


def test_rows_that_are_not_finite_are_left_out_and_flagged(t: Tensor) -> None:
    t[3, 2], t[4, 1] = math.nan, math.inf
    e = by_quantity(t, labels())[0]["I_XT"]
    assert (e.rows, e.dropped_rows) == (N - 2, 2)
    assert "nonfinite_rows" in e.flags
    assert math.isfinite(e.nats)


def test_mostly_broken_rows_are_a_clear_error(t: Tensor) -> None:
    t[: N // 2 + 1] = math.nan
    with pytest.raises(BadInput, match="301 of 600 rows"):
        by_quantity(t, None)


def test_misaligned_labels_and_empty_rows_are_clear_errors(t: Tensor) -> None:
    with pytest.raises(BadInput, match="600 rows, targets 10"):
        by_quantity(t, torch.zeros(10, dtype=torch.long))
    with pytest.raises(BadInput, match="no rows"):
        by_quantity(t[:0], None)


def test_too_little_noise_is_at_the_ceiling(t: Tensor) -> None:
    e = by_quantity(t, None, Channel(sigma=0.001))[0]["I_XT"]
    assert {"at_ceiling", "wide_bracket"} <= e.flags
    assert e.nats == pytest.approx(math.log(N))


def test_the_value_is_continuous_where_the_bracket_becomes_wide() -> None:
    # A layer whose bracket opens must not seem to jump: the value moves with sigma in small steps only.
    t = torch.randn(N, 12, generator=torch.Generator().manual_seed(0))
    sigmas = torch.linspace(0.2, 0.3, 21).tolist()
    values = [by_quantity(t, None, Channel(sigma=s))[0]["I_XT"].nats for s in sigmas]
    assert max(abs(a - b) for a, b in pairwise(values)) < 0.12


def test_rows_of_fast_moving_weights_are_stale_and_those_of_still_ones_are_not(t: Tensor) -> None:
    steps = torch.arange(N) // 100
    still = by_quantity(t, None, step_of_row=steps)[0]["I_XT"]
    moving = by_quantity(t + 2 * steps[:, None], None, step_of_row=steps)[0]["I_XT"]
    assert "stale_rows" not in still.flags
    assert "stale_rows" in moving.flags
    assert moving.bracket_low is None


def test_on_a_probe_set_the_error_is_that_of_the_noise_alone(t: Tensor) -> None:
    sample, whole = (by_quantity(t, labels(), Channel(target=k))[0]["I_XT"] for k in ("population", "probe_set"))
    assert whole.nats == whole.bracket_low
    assert whole.bracket_low_se is not None
    assert sample.bracket_low_se is not None
    assert whole.ci_high - whole.ci_low == pytest.approx(2 * 1.96 * whole.bracket_low_se)

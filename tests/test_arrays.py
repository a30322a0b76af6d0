"""The public estimators on arrays."""

import math

import numpy as np
import pytest
import torch

from ibprobe import BadInput, Estimate, UnknownName, estimate_channel, estimate_mi


def test_arrays_lists_and_tensors_give_the_same_bracket() -> None:
    t = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    values = [estimate_channel(form, sigma=0.25) for form in (t, torch.from_numpy(t), t.tolist())]
    assert {round(v.nats, 6) for v in values if isinstance(v, Estimate)} == {round(values[0].nats, 6)}  # type: ignore[union-attr]


def test_labels_give_a_pair_of_one_channel() -> None:
    t = torch.randn(600, 4)
    found = estimate_channel(t, torch.arange(600) % 2, sigma=0.25)
    assert isinstance(found, tuple)
    assert [e.quantity for e in found] == ["I_XT", "I_TY"]
    assert found[0].std == found[1].std


def test_repeated_inputs_are_reported_and_not_counted() -> None:
    x = torch.randn(1024, 8)
    once = estimate_channel(x, inputs=x)
    twice = estimate_channel(x.repeat(2, 1), inputs=x.repeat(2, 1))
    assert isinstance(once, Estimate)
    assert isinstance(twice, Estimate)
    assert (twice.nats, twice.dropped_rows) == (once.nats, 1024)
    assert "repeated_rows" in twice.flags


def test_a_continuous_target_is_refused_by_the_bracket() -> None:
    with pytest.raises(BadInput, match="not integer classes"):
        estimate_channel(torch.randn(600, 4), torch.rand(600))


def test_the_critic_understands_class_labels() -> None:
    y = torch.arange(1024) % 2
    found = estimate_mi(torch.randn(1024, 3) + 8 * y[:, None], y)
    # Well separated classes: I = H(Y) = ln 2; a held-out critic may stay a little below.
    assert found.nats == pytest.approx(math.log(2), abs=0.06)
    assert (found.ceiling, found.ceiling_name) == (pytest.approx(math.log(2)), "H(Y)")


def test_an_unknown_estimator_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean: mine"):
        estimate_mi(torch.randn(64, 2), torch.randn(64, 2), estimator="mime")


def test_the_channel_needs_its_own_call() -> None:
    with pytest.raises(BadInput, match="estimate_channel"):
        estimate_mi(torch.randn(64, 2), torch.randn(64, 2), estimator="channel")


@pytest.mark.parametrize("estimator", ["mine", "gaussian"])
def test_two_sides_of_labels_are_counted_whatever_is_named(estimator: str) -> None:
    y = torch.arange(900) % 3
    found = estimate_mi(y, (y + 1) % 3, estimator=estimator)
    assert found.estimator == "counts"
    assert found.nats == pytest.approx(math.log(3), abs=0.01)
    assert (found.rows, found.dropped_rows) == (900, 0)


def test_an_estimator_that_cannot_work_on_the_data_says_why() -> None:
    with pytest.raises(BadInput, match=r"gaussian cannot work on x \(64, 2\), y \(64,\): labels"):
        estimate_mi(torch.randn(64, 2), torch.arange(64) % 2, estimator="gaussian")


def test_rows_that_are_seen_twice_are_counted_once() -> None:
    x, y = torch.randn(400, 2), torch.randn(400, 2)
    found = estimate_mi(x.repeat(2, 1), y.repeat(2, 1), estimator="ksg")
    assert (found.rows, found.dropped_rows) == (400, 400)
    assert "repeated_rows" in found.flags
    assert found.nats == pytest.approx(estimate_mi(x, y, estimator="ksg").nats, abs=1e-6)


def test_equal_rows_of_discrete_columns_are_all_counted() -> None:
    x = torch.randint(9, (800, 1)).float()
    y = torch.where(torch.rand(800) < 0.5, x[:, 0].long() % 3, torch.randint(3, (800,)))
    found = estimate_mi(x, y, estimator="binned")
    assert (found.rows, found.dropped_rows) == (800, 0)


def test_a_change_of_unit_changes_nothing() -> None:
    x = torch.randn(400, 2).double()
    y = x + torch.randn(400, 2)
    plain, huge = (estimate_mi(scale * x, y, estimator="gaussian").nats for scale in (1.0, 1e250))
    assert huge == pytest.approx(plain, abs=1e-6)


def test_a_record_names_estimator_bound_and_rows() -> None:
    found = estimate_mi(torch.randn(600, 2), torch.arange(600) % 3, estimator="ksg")
    assert (found.quantity, found.estimator, found.bound) == ("I_XY", "ksg", "ross, k = 3")
    assert (found.noise, found.dim, found.rows) == ("none", 3, 600)
    assert found.seconds > 0

"""The public estimators on arrays, and a layer's critic beside its bracket."""

import math

import numpy as np
import pytest
import torch

from ibprobe import BadInput, Estimate, UnknownName, estimate_channel, estimate_mi
from ibprobe.capture.rows import LayerRows, RowSet
from ibprobe.estimate.channel import Channel
from ibprobe.estimate.estimators import LayerEstimator


def row_set(*layers: LayerRows, y: torch.Tensor | None = None, x: torch.Tensor | None = None) -> RowSet:
    keys = torch.arange(len(layers[0].t)) * 7919
    return RowSet(layers, y, x, keys, "train", "replay", (3, 3))


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


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        (torch.randn(100, 2), torch.randn(99, 2), "aligned"),
        (torch.randn(20, 2), torch.randn(20, 2), "at least 32"),
        (torch.randn(0, 2), torch.randn(0, 2), "at least one row"),
        ("words", torch.randn(100, 2), "array or tensor"),
    ],
)
def test_unusable_arrays_are_clear_errors(x: object, y: object, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        estimate_mi(x, y)


def test_an_unknown_estimator_is_named() -> None:
    with pytest.raises(UnknownName, match="did you mean: mine"):
        estimate_mi(torch.randn(64, 2), torch.randn(64, 2), estimator="mime")


def test_a_critic_gets_its_own_record_beside_the_bracket() -> None:
    layer, y = LayerRows(torch.randn(600, 4), "fc"), torch.arange(600) % 3
    estimator = LayerEstimator(Channel(sigma=0.5), critics=True)
    rows = row_set(layer, y=y)
    brackets, _ = estimator.brackets(rows)
    critics, events = estimator.critics(rows)
    assert [(e.quantity, e.estimator, e.headline) for e in critics] == [
        ("I_XT", "mine", False),
        ("I_TY", "mine", False),
    ]
    assert [e.headline for e in brackets] == [True, True, True]
    assert critics[0].bracket_high is None
    assert not events


def test_a_stochastic_layer_with_inputs_is_headed_by_its_critic() -> None:
    x = torch.randn(600, 4)
    rows = row_set(LayerRows(x + torch.randn(600, 4), "noisy", stochastic=True), x=x)
    estimator = LayerEstimator(Channel(sigma=0.25), critics=True)
    brackets, _ = estimator.brackets(rows)
    critics, _ = estimator.critics(rows)
    assert [e.headline for e in brackets] == [False]
    # T = X + N(0, 1) and the probe's own noise of std √8/4·… is small beside it: I = 2 ln(1 + 1/(1 + std²)).
    truth = 2 * math.log1p(1 / (1 + critics[0].std ** 2))
    assert critics[0].headline
    assert critics[0].nats == pytest.approx(truth, abs=0.25)


def test_a_continuous_target_is_measured_by_the_critic() -> None:
    t = torch.randn(1024, 3)
    rows = row_set(LayerRows(t, "fc"), y=t[:, 0] + 0.5 * torch.randn(1024))
    estimator = LayerEstimator(Channel(sigma=0.1), critics=True)
    _, events = estimator.brackets(rows)
    label = {e.quantity: e for e in estimator.critics(rows)[0]}["I_TY"]
    assert events[0].quantity == "I_TY"
    assert label.headline
    assert 0.4 < label.nats < 0.9  # ½ ln(1 + 1/0.25) = 0.80 without the probe's noise, less with it


def test_one_broken_layer_does_not_hide_the_others() -> None:
    broken, fine = LayerRows(torch.full((600, 4), math.nan), "broken"), LayerRows(torch.randn(600, 4), "fine")
    found, events = LayerEstimator(Channel(), critics=False).brackets(row_set(broken, fine))
    assert [e.layer for e in found] == ["fine"]
    assert [(e.layer, e.kind) for e in events if e.quantity != "I_TY"] == [("broken", "not_measured")]

"""A layer's brackets, and any estimator beside them."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from ibprobe import Estimate, Event
from ibprobe.capture.rows import LayerRows, RowSet
from ibprobe.estimate.channel import Channel, Noise
from ibprobe.estimate.critic.mine import Mine
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references import binned


def row_set(*layers: LayerRows, y: torch.Tensor | None = None, x: torch.Tensor | None = None) -> RowSet:
    keys = torch.arange(len(layers[0].t)) * 7919
    return RowSet(layers, y, x, keys, "train", "replay", (3, 3))


def test_a_critic_gets_its_own_record_beside_the_bracket() -> None:
    layer, y = LayerRows(torch.randn(600, 4), "fc"), torch.arange(600) % 3
    estimator = LayerEstimator(Channel(sigma=0.5), Mine())
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
    estimator = LayerEstimator(Channel(sigma=0.25), Mine())
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
    estimator = LayerEstimator(Channel(sigma=0.1), Mine())
    _, events = estimator.brackets(rows)
    label = {e.quantity: e for e in estimator.critics(rows)[0]}["I_TY"]
    assert events[0].quantity == "I_TY"
    assert label.headline
    assert 0.4 < label.nats < 0.9  # ½ ln(1 + 1/0.25) = 0.80 without the probe's noise, less with it


def test_one_broken_layer_does_not_hide_the_others() -> None:
    broken, fine = LayerRows(torch.full((600, 4), math.nan), "broken"), LayerRows(torch.randn(600, 4), "fine")
    found, events = LayerEstimator(Channel()).brackets(row_set(broken, fine))
    assert [e.layer for e in found] == ["fine"]
    assert [(e.layer, e.kind) for e in events if e.quantity != "I_TY"] == [("broken", "not_measured")]


READING = Reading(nats=0.5, ci_low=0.4, ci_high=0.6, lower_confidence=0.42, bound="said so", ess=7.0)


class Saying:
    """Says the same of every pair, and keeps what it was asked."""

    def __init__(self, answer: Reading | str | None = READING) -> None:
        self.answer = answer
        self.asked: list[Mapping[str, Pair]] = []

    def __call__(self, pairs: Mapping[str, Pair], folds: torch.Tensor, *, seed: int) -> dict[str, Reading | str]:
        self.asked.append(pairs)
        return {} if self.answer is None else dict.fromkeys(pairs, self.answer)


def beside(rows: RowSet, saying: Saying, times: int = 1) -> tuple[list[Estimate], list[Event]]:
    """What comes out beside the brackets, after so many snapshots."""
    estimator = LayerEstimator(Channel(sigma=0.5), saying, "saying")
    for _ in range(times):
        estimator.brackets(rows)
        found = estimator.critics(rows)
    return found


def test_a_reading_becomes_a_record_under_its_own_name() -> None:
    rows = row_set(LayerRows(torch.randn(600, 4), "fc"), y=torch.arange(600) % 3)
    (xt, ty), events = beside(rows, Saying())
    assert not events
    assert {(e.estimator, e.bound, e.nats, e.ci_low, e.ess) for e in (xt, ty)} == {("saying", "said so", 0.5, 0.4, 7.0)}
    assert (xt.noise, xt.sigma, xt.std > 0) == ("relative", 0.5, True)
    assert (ty.ceiling_name, xt.ceiling_name) == ("H(Y)", "ln(distinct rows)")


def test_names_of_pairs_are_the_same_at_every_snapshot_and_labels_are_integers() -> None:
    saying = Saying()
    beside(row_set(LayerRows(torch.randn(600, 4), "fc"), y=torch.arange(600) % 3), saying, times=2)
    assert [list(pairs) for pairs in saying.asked] == 2 * [["train/fc/I_XT", "train/fc/I_TY"]]
    label = saying.asked[0]["train/fc/I_TY"]
    assert label.a.dtype == torch.long
    assert label.classes is not None
    assert torch.equal(label.classes, torch.arange(600) % 3)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("no labels here", "no value from saying: no labels here"),
        (None, "it gave no reading"),
        (replace(READING, ci_high=math.nan), "not finite"),
    ],
)
def test_a_number_that_is_missing_is_an_event_with_the_reason(answer: Reading | str | None, why: str) -> None:
    found, events = beside(row_set(LayerRows(torch.randn(600, 4), "fc")), Saying(answer))
    assert not found
    assert [(e.kind, e.layer, e.quantity, e.step) for e in events] == [("not_measured", "fc", "I_XT", 3)]
    assert why in events[0].why


@pytest.mark.parametrize(("nats", "flag"), [(0.0, "critic_behind"), (9.0, "outside_bracket")])
def test_a_reading_off_the_bracket_says_on_which_side(nats: float, flag: str) -> None:
    answer = replace(READING, nats=nats, ci_low=nats - 0.1, ci_high=nats + 0.1)
    rows = row_set(LayerRows(torch.randn(600, 4), "fc"))
    (found,), _ = beside(rows, Saying(answer))
    assert found.flags & {"critic_behind", "outside_bracket"} == {flag}
    (other,), _ = beside(rows, Saying(replace(answer, noiseless=True)))
    assert not other.flags & {"critic_behind", "outside_bracket"}


def test_binned_layers_are_another_variable_and_say_so() -> None:
    rows = row_set(LayerRows(torch.randn(600, 2), "fc"), y=torch.arange(600) % 3)
    estimator = LayerEstimator(Channel(sigma=0.5), binned.relative(), "binned")
    brackets, _ = estimator.brackets(rows)
    found, _ = estimator.critics(rows)
    assert [(e.noise, e.sigma, e.std, e.headline) for e in found] == 2 * [("none", 0.0, 0.0, False)]
    assert all(e.headline for e in brackets)


@pytest.mark.parametrize(
    ("t", "sigma", "why"),
    [
        (torch.randn(600, 2), 0.0, "sigma = 0"),
        (torch.randn(12, 2), 0.5, "12 rows, fewer than 16"),
        (torch.where(torch.arange(600)[:, None] == 5, math.nan, torch.randn(600, 2)), 0.5, "not finite"),
    ],
)
def test_a_layer_that_no_estimator_is_asked_about_says_why_for_both(t: torch.Tensor, sigma: float, why: str) -> None:
    rows, saying = row_set(LayerRows(t, "fc"), y=torch.arange(len(t)) % 2), Saying()
    estimator = LayerEstimator(Channel(sigma=sigma), saying, "saying")
    estimator.brackets(rows)
    found, events = estimator.critics(rows)
    assert (found, saying.asked) == ([], [])
    assert [e.quantity for e in events] == ["I_XT", "I_TY"]
    assert all(why in e.why for e in events)


@pytest.mark.parametrize(("noise", "mean"), [("relative", 40.0), ("absolute", 40.0), ("per_unit", 0.0)])
def test_an_estimator_sees_the_layer_as_it_is_in_the_units_of_the_noise(noise: Noise, mean: float) -> None:
    saying = Saying()
    estimator = LayerEstimator(Channel(noise, 0.5), saying, "saying")
    rows = row_set(LayerRows(40 + torch.randn(600, 2), "fc"))
    estimator.brackets(rows)
    estimator.critics(rows)
    assert float(saying.asked[0]["train/fc/I_XT"].b.mean()) == pytest.approx(mean, abs=0.1)


def test_brackets_alone_run_nothing_beside_them() -> None:
    assert LayerEstimator(Channel()).critics(row_set(LayerRows(torch.randn(64, 2), "fc"))) == ([], [])

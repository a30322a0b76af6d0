"""One replay at many noise sizes, and the choice of one of them."""

import math
from itertools import pairwise

import pytest
import torch
from helpers import Sampling, identity_linear, same, unchecked
from record_factory import estimate
from torch import Tensor, nn

from ibprobe import BadInput, Records, SigmaChoice, choose_sigma, measure, sigma_sweep

X = torch.randn(1024, 16, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


def scaled(factors: Tensor) -> nn.Linear:
    layer = identity_linear(len(factors))
    with torch.no_grad():
        layer.weight.mul_(factors[:, None])
    return layer


def sweep_of(*flags: set[str], layers: str = "ab") -> Records:
    """One noise size 1, 2, 3 … for each set of ``layer:flag``."""
    found = [
        estimate(layer=layer, sigma=float(size), flags=frozenset(f[2:] for f in some if f[0] == layer))
        for size, some in enumerate(flags, 1)
        for layer in layers
    ]
    return Records(tuple(found))


def test_a_gaussian_channel_follows_its_log_determinant_at_every_size() -> None:
    variances = torch.linspace(0.2, 2.0, 8)
    model, x = nn.Sequential(scaled(variances.sqrt())), X[:, :8]
    found = sigma_sweep(model, x, sigmas=[0.7, 1.0, 2.0, 4.0], layers="0", noise="absolute")
    for e in found.select(quantity="I_XT"):
        truth = float((1 + variances / e.sigma**2).log().sum()) / 2
        # At 5 nats and above, 1,024 rows leave half a nat open.
        assert e.nats == pytest.approx(truth, abs=0.1 if truth < 4 else 0.4)
        assert e.ci_low - 0.05 <= truth <= e.ci_high + 0.05


def test_values_fall_as_the_noise_grows() -> None:
    found = sigma_sweep(nn.Sequential(nn.Linear(16, 32), nn.ReLU()), (X, Y))
    for layer in found.layers:
        for quantity in ("I_XT", "I_TY"):
            of = found.select(layer=layer, quantity=quantity)
            sigmas, values = [e.sigma for e in of], [e.nats for e in of]
            assert sigmas == sorted(set(sigmas))
            # The noise is the same up to its scale, so the order is almost that of the truth.
            assert all(b <= a + 0.02 for a, b in pairwise(values))


def test_a_size_of_the_sweep_is_what_measuring_at_it_gives() -> None:
    model = nn.Sequential(nn.Linear(16, 8), nn.Tanh())
    swept = sigma_sweep(model, (X, Y), sigmas=[0.5, 0.25]).select(sigma=0.25)
    alone = measure(model, (X, Y), sigma=0.25, estimator="channel")
    assert [(e.layer, e.quantity, e.nats, e.headline) for e in swept] == [
        (e.layer, e.quantity, e.nats, e.headline) for e in alone
    ]


def test_the_model_runs_once_and_is_left_as_it_was() -> None:
    model = nn.Sequential(identity_linear(16), nn.BatchNorm1d(16))
    before, calls = {k: v.clone() for k, v in model.state_dict().items()}, []
    model.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    sigma_sweep(model, X, rows=256)
    assert calls == [64] * 5  # the first rows run twice, to see what draws
    assert same(dict(model.state_dict()), before)


def test_layers_that_draw_are_nested_at_every_size() -> None:
    found = sigma_sweep(nn.Sequential(Sampling()), X, layers="0", sigmas=[0.5, 1.0], rows=256, passes=8)
    assert [e.bound for e in found] == ["nested", "nested"]
    assert found.meta["passes"] == 8


def test_what_could_not_be_measured_is_said_once() -> None:
    events = sigma_sweep(nn.Sequential(nn.Linear(16, 2)), X, sigmas=[0.5, 1.0, 2.0]).events
    assert [e.quantity for e in events] == ["I_TY"]


def test_an_estimate_is_not_picked_without_saying_at_which_size() -> None:
    found = sigma_sweep(nn.Sequential(nn.Linear(16, 2)), X, sigmas=[0.5, 1.0])
    with pytest.raises(BadInput, match=r"they differ in sigma=\[0.5, 1.0\]"):
        found.one(layer="0", quantity="I_XT")
    assert found.one(layer="0", quantity="I_XT", sigma=0.5).sigma == 0.5


def test_sizes_that_make_no_sweep_are_refused() -> None:
    model = nn.Sequential(nn.Linear(16, 2))
    with pytest.raises(BadInput, match="sigmas= is needed"):
        sigma_sweep(model, X, noise="absolute")
    with pytest.raises(BadInput, match="sigmas= is empty"):
        sigma_sweep(model, X, sigmas=[])
    with pytest.raises(BadInput, match="sigma= is a finite number"):
        unchecked(sigma_sweep)(model, X, sigmas=[0.5, -1.0])


def test_a_wide_and_a_narrow_layer_get_a_size_at_which_both_can_be_read() -> None:
    model = nn.Sequential(nn.Linear(16, 512), nn.Tanh(), nn.Linear(512, 2))
    choice = choose_sigma(sigma_sweep(model, X))
    at = measure(model, X, sigma=choice.sigma, estimator="channel").select(quantity="I_XT")
    assert 0.1 < choice.sigma < 1
    assert all(0.1 < e.nats < math.log(1024) - 0.5 for e in at)
    assert not any(e.flags & {"wide_bracket", "at_ceiling", "collapsed"} for e in at)
    assert "smallest of 11 sizes at which all 2 layers can be read" in choice.reason
    assert "layer 1 has a wide bracket" in choice.reason


def test_the_smallest_size_that_suits_all_layers_is_chosen_and_said_why() -> None:
    choice = choose_sigma(sweep_of({"a:at_ceiling", "a:wide_bracket"}, {"b:wide_bracket"}, set(), set()))
    assert choice.sigma == 3.0
    assert str(choice) == (
        "σ = 3 (relative) is the smallest of 4 sizes at which all 2 layers can be read; "
        "at 2, layer b has a wide bracket."
    )
    assert choice.table[1.0] == {"a": "is at its ceiling", "b": "fine"}


def test_where_no_size_suits_all_the_best_is_chosen_and_says_whom_it_does_not_suit() -> None:
    both, one = {"a:wide_bracket", "b:at_ceiling", "c:collapsed"}, {"a:at_ceiling", "c:collapsed"}
    choice = choose_sigma(sweep_of(both, one, both, layers="abc"))
    assert (choice.sigma, choice.reason) == (
        2.0,
        "No σ suits all layers. σ = 2 (relative) suits 1 of 3 layers, the most of 3 sizes; there layer a is at its "
        "ceiling, layer c has collapsed.",
    )


def test_a_size_below_which_none_was_tried_says_so() -> None:
    assert choose_sigma(sweep_of(set(), set(), layers="a")).reason == (
        "σ = 1 (relative) is the smallest of 2 sizes, and the layer can be read there."
    )


def test_constant_layers_have_no_say() -> None:
    flags = {"a:collapsed", "a:constant"}
    assert choose_sigma(sweep_of(flags, flags)).table == {1.0: {"b": "fine"}, 2.0: {"b": "fine"}}


def test_records_of_several_kinds_of_noise_or_layers_are_refused() -> None:
    mixed = [estimate(layer="a", sigma=1.0), estimate(layer="a", sigma=2.0, noise="absolute")]
    with pytest.raises(BadInput, match="one kind of noise, found absolute, relative"):
        choose_sigma(mixed)
    with pytest.raises(BadInput, match="found none"):
        choose_sigma([])
    with pytest.raises(BadInput, match="b missing at sigma 2"):
        choose_sigma([estimate(layer="a", sigma=1.0), estimate(layer="b", sigma=1.0), estimate(layer="a", sigma=2.0)])


def test_a_choice_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        SigmaChoice(0.5, "", {}).sigma = 1.0  # type: ignore[misc]

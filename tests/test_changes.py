"""Two models differ by what is known, and by nothing where they do not."""

import copy

import pytest
import torch
from torch import nn

from ibprobe import BadInput, measure
from ibprobe.changes import changes

SIGMA = 2.0


def linear(scale: float) -> nn.Sequential:
    """One layer whose weights are ``scale`` times the same ones."""
    layer = nn.Linear(4, 4, bias=False)
    with torch.no_grad():
        layer.weight.copy_(scale * torch.randn(4, 4, generator=torch.Generator().manual_seed(1)))
    return nn.Sequential(layer)


def told(model: nn.Sequential) -> float:
    """½ log det(1 + WWᵀ/σ²)."""
    w = model[0].weight.detach()
    return float(torch.logdet(torch.eye(4) + w @ w.T / SIGMA**2)) / 2


def rows() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(512, 4, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


def test_a_known_difference_is_found_with_less_doubt_than_two_intervals_leave() -> None:
    before, after, (x, _) = linear(1.0), linear(0.6), rows()
    (change,) = changes(before, after, x, noise="absolute", sigma=SIGMA)
    assert change.low is not None
    assert change.high is not None
    assert change.low <= told(after) - told(before) <= change.high
    apart = change.after.ci_high - change.before.ci_low - (change.after.ci_low - change.before.ci_high)
    assert change.high - change.low < apart / 2
    assert (change.verdict, str(change).endswith(": less")) == ("less", True)


def test_values_are_those_of_measure() -> None:
    before, after, data = linear(1.0), linear(0.6), rows()
    for change in changes(before, after, data):
        for model, e in ((before, change.before), (after, change.after)):
            alone = measure(model, data, estimator="channel").one(layer=change.layer, quantity=change.quantity)
            assert e.nats == alone.nats


def test_a_model_does_not_differ_from_its_copy() -> None:
    model = linear(1.0)
    found = changes(model, copy.deepcopy(model), rows())
    assert [c.quantity for c in found] == ["I_XT", "I_TY", "I_XT_given_Y"]
    assert all(c.nats == c.low == c.high == 0 and c.verdict == "not decided" for c in found)


def test_one_module_with_another_checkpoint_loaded_is_refused() -> None:
    model = linear(1.0)
    with pytest.raises(BadInput, match="load each checkpoint into a module of its own"):
        changes(model, model, rows())


def test_data_that_can_be_gone_through_once_only_is_refused() -> None:
    with pytest.raises(BadInput):
        changes(linear(1.0), linear(0.6), iter([rows()]))


def test_a_layer_that_is_seen_in_two_ways_is_refused() -> None:
    flat = nn.Sequential(nn.Linear(4, 4))
    maps = nn.Sequential(nn.Conv1d(4, 4, 1))
    maps.register_forward_pre_hook(lambda module, args: (args[0][:, :, None].expand(-1, -1, 3),))
    with pytest.raises(BadInput, match="layer '0' is seen as 'as is' in before and as 'mean over space' in after"):
        changes(flat, maps, rows())

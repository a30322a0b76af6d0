from typing import Any

import pytest
import torch
from helpers import Sampling, identity_linear, random_states, same
from torch import Tensor, nn

from ibprobe import BadInput
from ibprobe.capture import passes as passes_module
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.passes import Draws
from ibprobe.capture.replay import replay
from ibprobe.capture.rows import LayerRows

X = torch.arange(1200.0).reshape(300, 4)


def layers_of(model: nn.Module, **draws: Any) -> dict[str, LayerRows]:
    layers = {name: module for name, module in model.named_modules() if name}
    found = replay(model, layers, distinct_batches(X, 4096)[0], draws=Draws(**draws))
    return {layer.name: layer for layer in found.layers}


def dropping() -> nn.Sequential:
    return nn.Sequential(identity_linear(4), nn.BatchNorm1d(4), nn.Dropout(0.5), identity_linear(4))


def test_only_layers_that_draw_are_run_again_and_the_first_pass_is_their_rows() -> None:
    found = layers_of(nn.Sequential(identity_linear(4), Sampling(), nn.ReLU()), passes=5)
    assert found["0"].passes is None
    assert found["1"].passes.shape == found["2"].passes.shape == (300, 5, 4)
    assert torch.equal(found["1"].passes[:, 0], found["1"].t)
    assert torch.equal(found["2"].passes, found["1"].passes.relu())


def test_passes_differ_by_what_is_drawn_and_by_nothing_else() -> None:
    passes = layers_of(dropping(), passes=16, train_mode=True)["2"].passes
    shown = passes != 0
    # Half of 300 · 16 · 4 units, with an error of 0.004.
    assert shown.float().mean() == pytest.approx(0.5, abs=0.02)
    kept = 2 * layers_of(dropping())["2"].t[:, None].expand_as(passes)
    torch.testing.assert_close(passes[shown], kept[shown])


def test_one_pass_keeps_nothing_more() -> None:
    assert layers_of(nn.Sequential(Sampling()))["0"].passes is None


def test_in_train_mode_dropout_draws_and_normalisation_does_not_learn() -> None:
    model = dropping()
    model.eval()
    model[3].train()
    before, modes = {k: v.clone() for k, v in model.state_dict().items()}, [m.training for m in model.modules()]
    found = layers_of(model, passes=4, train_mode=True)
    assert [found[name].stochastic for name in "0123"] == [False, False, True, True]
    assert same(dict(model.state_dict()), before)
    assert [m.training for m in model.modules()] == modes


def test_draws_follow_the_seed_and_leave_the_run_its_own() -> None:
    model, before = nn.Sequential(Sampling()), random_states()
    first, again, other = (layers_of(model, passes=4, seed=seed)["0"] for seed in (0, 0, 1))
    assert torch.equal(first.passes, again.passes)
    assert not torch.equal(first.passes, other.passes)
    assert same(random_states(), before)


def test_data_drawn_from_the_same_number_is_not_drawn_once_more() -> None:
    torch.manual_seed(7)
    data = torch.randn(300, 4)
    drawn = layers_of(nn.Sequential(Sampling()), passes=4, seed=7)["0"].passes - X[:, None]
    assert not any(torch.allclose(10 * drawn[:, m], data, atol=0.1) for m in range(4))


def test_rows_are_spaced_evenly_where_memory_does_not_allow_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes_module, "_LAYER_BYTES", 100 * 5 * 4 * 4)
    layer = layers_of(nn.Sequential(Sampling()), passes=5)["0"]
    assert layer.passes.shape == (100, 5, 4)
    assert torch.equal(layer.passes[:, 0], layer.t[::3])


def test_all_layers_share_what_memory_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes_module, "_ALL_BYTES", 2 * 100 * 5 * 4 * 4)
    found = layers_of(nn.Sequential(Sampling(), nn.ReLU()), passes=5)
    assert [len(layer.passes) for layer in found.values()] == [100, 100]


def test_a_layer_that_does_not_run_in_every_pass_has_none() -> None:
    class Skip(nn.Module):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self.inner = Sampling()

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return x if self.calls > 8 else self.inner(x)

    found = layers_of(Skip(), passes=8)["inner"]
    assert found.stochastic
    assert found.passes is None


def test_rows_that_share_batch_statistics_are_not_run_again() -> None:
    found = layers_of(nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False), Sampling()), passes=4)
    assert [(layer.stochastic, layer.passes) for layer in found.values()] == [(True, None), (True, None)]


def test_a_module_that_is_called_twice_has_passes_of_both_calls() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Sampling()

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(self.inner(x))

    assert [layer.passes.shape for layer in layers_of(Twice(), passes=4).values()] == [(300, 4, 4)] * 2


@pytest.mark.parametrize("passes", [0, 2, 3, -1])
def test_a_number_of_passes_that_gives_no_estimate_is_refused(passes: int) -> None:
    with pytest.raises(BadInput, match="passes= is 1, or at least 4"):
        Draws(passes)

from typing import Any

import numpy as np
import pytest
import torch
from helpers import Sampling, hook_tables, identity_linear, small_net
from torch import Tensor, nn

from ibprobe import BadInput, IBProbe, measure
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.replay import replay
from ibprobe.capture.rows import LayerRows, RowSet
from ibprobe.capture.untouched import untouched

X = torch.arange(1200.0).reshape(300, 4)


def rows_of(model: nn.Module, *names: str, x: Any = X, **options: Any) -> RowSet:
    layers = {name: model.get_submodule(name) for name in names}
    return replay(model, layers, distinct_batches(x, 4096)[0], **options)


def only(rows: RowSet) -> LayerRows:
    assert not rows.silent
    return rows.layers[0]


def test_rows_of_an_identity_layer_are_the_inputs_in_order() -> None:
    model = nn.Sequential(identity_linear(4), nn.ReLU(inplace=True))
    found = rows_of(model, "0", x=(X, X[:, 0].long()), split="held_out", mode="replay", step=7, dropped=2)
    layer = only(found)
    assert torch.equal(layer.t, X)
    assert torch.equal(found.y, X[:, 0].long())
    assert (found.split, found.mode, found.span, layer.dropped) == ("held_out", "replay", (7, 7), 2)


def test_values_are_those_before_an_in_place_activation() -> None:
    model = nn.Sequential(identity_linear(4), nn.ReLU(inplace=True))
    assert torch.equal(only(rows_of(model, "0", x=-X)).t, -X)


def test_dropout_is_off_and_what_samples_anyway_is_stochastic() -> None:
    model = nn.Sequential(identity_linear(4), nn.Dropout(0.5), Sampling(), identity_linear(4))
    found = rows_of(model, "0", "1", "2", "3")
    assert [layer.stochastic for layer in found.layers] == [False, False, True, True]


def test_batch_statistics_in_eval_mode_are_stochastic() -> None:
    assert only(rows_of(nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)), "0")).stochastic
    assert not only(rows_of(nn.Sequential(nn.BatchNorm1d(4)), "0")).stochastic


def test_one_row_and_a_constant_layer_are_not_taken_for_stochastic() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    assert not only(rows_of(model, "0", x=X[:1])).stochastic
    nn.init.zeros_(model[0].weight)
    assert not only(rows_of(model, "0")).stochastic


def test_a_module_that_is_called_twice_has_two_layers() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = identity_linear(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(2 * self.inner(x))

    found = rows_of(Twice(), "inner")
    assert [(layer.name, layer.t[1, 0].item()) for layer in found.layers] == [("inner", 4), ("inner#2", 8)]


class Sometimes(nn.Module):
    """One layer never runs, one only for large batches, one gives no tensor, one gives rows of many widths."""

    def __init__(self) -> None:
        super().__init__()
        self.never, self.large, self.words, self.wide = (nn.Identity() for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        self.words("text")
        self.wide(torch.ones(len(x), len(x)))
        return self.large(x) if len(x) > 50 else x


def test_layers_without_rows_are_named_with_the_reason() -> None:
    found = rows_of(Sometimes(), "never", "large", "words", "wide")
    assert not found.layers
    assert sorted(found.silent) == [
        "large: it ran in some forward passes only",
        "never: its forward did not run: the model does not call it for these inputs, or uses its weights without "
        "calling it",
        "wide: its rows have 44 to 64 features in different passes; view= can make them equal",
        "words: its output is a str without a tensor that has rows",
    ]


def test_a_layer_that_skips_at_random_is_stochastic_and_stops_nothing() -> None:
    class Skip(nn.Module):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            Skip.calls += 1
            return x if Skip.calls == 1 else self.inner(x)

    assert only(rows_of(Skip(), "inner")).stochastic


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_replay_leaves_no_hook_and_no_eval_mode(error: type[BaseException]) -> None:
    class Interrupted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    model = nn.Sequential(identity_linear(4), Interrupted())
    before = hook_tables(model)
    with pytest.raises(error):
        rows_of(model, "0")
    assert hook_tables(model) == before
    assert all(m.training for m in model.modules())


class Stateful(nn.Module):
    """Keeps whatever a forward pass can leave behind."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bound_anew", torch.zeros(4))
        self.register_buffer("in_place", torch.zeros(4))
        self.embedding = nn.Embedding(4, 2, max_norm=0.1)
        self.own, self.rng = torch.Generator(), np.random.default_rng(0)
        self.hidden: Tensor | None = None
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.bound_anew = self.bound_anew + x.sum()
        self.in_place += 1
        self.hidden, self.calls, self.new = x, self.calls + 1, x
        self.rng.random()
        return x + self.embedding(torch.arange(4)).sum() + 100 * torch.rand(1, generator=self.own)

    def everything(self) -> list[Any]:
        drawn = self.own.get_state().tolist(), self.rng.bit_generator.state
        return [*(t.tolist() for t in self.state_dict().values()), drawn, self.hidden, self.calls, hasattr(self, "new")]


def test_whatever_a_forward_pass_leaves_behind_is_taken_back() -> None:
    model = Stateful()
    before = model.everything()
    assert only(replay(model, {"model": model}, distinct_batches(X, 99)[0])).stochastic
    assert model.everything() == before


def test_training_flags_come_back_module_by_module() -> None:
    model = small_net()
    model[0].eval()
    with untouched(model):
        assert not any(m.training for m in model.modules())
        assert not torch.is_grad_enabled()
    assert [m.training for m in model] == [False, True, True]
    assert torch.is_grad_enabled()
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("where", ["in place", "wrapper"])
def test_a_compiled_model_is_replayed_uncompiled(where: str) -> None:
    model = nn.Sequential(nn.ReLU(), identity_linear(4))
    compiled = torch.compile(model, backend="eager")
    if where == "in place":
        model.compile(backend="eager")
        compiled = model
    compiled(X)
    assert measure(compiled, X, estimator="channel").layers == ["0", "1"]
    assert torch.equal(only(rows_of(model, "1")).t, X)
    assert where != "in place" or model._compiled_call_impl is not None


def test_an_encoder_keeps_to_its_ordinary_path() -> None:
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    x = torch.randn(40, 5, 4)
    pad = torch.zeros(40, 5, dtype=torch.bool)
    pad[:, 3:] = True
    found = rows_of(model, "layers.0", "layers.1.linear1", "layers.1", x={"src": x, "src_key_padding_mask": pad})
    assert not found.silent
    assert {layer.view for layer in found.layers} == {"mean over unmasked tokens"}
    x[:, 3:] = 9.0
    other = rows_of(model, "layers.1", x={"src": x, "src_key_padding_mask": pad})
    torch.testing.assert_close(other.layers[0].t, found.layers[2].t)


@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers_give_a_row_an_input(batch_first: bool) -> None:
    class Sequence(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(1, 3, batch_first=batch_first)

        def forward(self, x: Tensor) -> Tensor:
            return self.lstm(x if batch_first else x.transpose(0, 1))[0]

    model = Sequence()
    x = torch.randn(6, 6, 1)  # as many steps as rows: shapes alone do not tell
    out = model(x) if batch_first else model(x).transpose(0, 1)
    torch.testing.assert_close(only(rows_of(model, "lstm", x=x)).t, out.mean(1).detach())


def test_inputs_with_time_first_are_refused_and_not_misread() -> None:
    found = rows_of(nn.Sequential(nn.LSTM(1, 3)), "0", x=torch.randn(7, 5, 1))
    assert "has 5 rows, but the model's inputs have 7" in found.silent[0]


def test_a_lazy_model_is_left_to_training_to_initialize() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    probe = IBProbe(model, "0", probe_set=X[:64], estimator="channel", sinks=[])
    with probe:
        assert not probe.estimates
        assert nn.parameter.is_lazy(model[0].weight)
        model(X)
    assert probe.estimates.layers == ["0"]


def test_measuring_what_has_no_rows_raises() -> None:
    with pytest.raises(BadInput, match="no rows in the data"):
        measure(small_net(), [])

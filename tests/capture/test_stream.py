"""What streaming keeps within bounds, what it says of each layer, and what it outlives."""

import gc
import weakref
from typing import Any

import pytest
import torch
from helpers import identity_linear, small_net
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ibprobe import BadInput
from ibprobe.capture import stream
from ibprobe.capture.layers import why_not_run
from ibprobe.capture.rows import Sighting
from ibprobe.capture.stream import StreamSource
from ibprobe.capture.taps import PreTap


def opened(model: nn.Module, *names: str, rows: int = 8, called: nn.Module | None = None) -> StreamSource:
    layers = {name: model.get_submodule(name) for name in names}
    source = StreamSource(model, layers, rows=rows, view="auto", called=called)
    source.open()
    return source


def forward(source: StreamSource, model: Any, x: Tensor, **kwargs: Any) -> Tensor:
    source.see_inputs((x,), kwargs, 0)
    return model(x, **kwargs)


def test_rows_of_all_layers_stay_within_memory_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    one_row = 4 * (4 + 8 + 2)  # the input, a layer of eight and a layer of two, in float32
    monkeypatch.setattr(stream, "ROWS_BYTES", 10 * one_row)
    model = small_net()
    source = opened(model, "0", "2", rows=100)
    for _ in range(2):
        source.want()
        for _ in range(5):
            forward(source, model, torch.randn(4, 4))
        assert source.want()
        assert 0 < source.bytes_held() <= 10 * one_row
        (rows,) = source.take(0)
        assert {len(layer.t) for layer in rows.layers} == {len(rows.keys)} == {10}
    assert source.bytes_held() == 0
    assert [r.message for r in caplog.records] == [
        "ibprobe: 10 rows instead of 100: those of 2 layers take at most 0 MB"
    ]


def test_one_large_batch_stays_within_memory_too_and_stays_aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "ROWS_BYTES", 400)
    model = nn.Sequential(identity_linear(4), identity_linear(4))
    source = opened(model, "0", "1", rows=100)
    source.want()
    x = torch.arange(400.0).reshape(100, 4)
    forward(source, model, x)
    source.see_labels(torch.arange(100))
    (rows,) = source.take(0)
    n = len(rows.keys)
    assert 2 <= n <= 8
    assert rows.y.tolist() == list(range(n))
    assert all(torch.equal(layer.t, x[:n]) for layer in rows.layers)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.never = nn.Linear(4, 3), nn.Identity()

    def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
        return self.a(self.a(x)[:, :, [0, 1, 2, 0]])


def test_each_layer_is_described() -> None:
    model = Masked()
    source = opened(model, "a", "never", rows=5)
    source.want()
    forward(source, model, torch.randn(5, 6, 4), attention_mask=torch.ones(5, 6))
    (rows,) = source.take(0)
    view = "mean over unmasked tokens"
    assert rows.sightings == (
        Sighting("a", 2, (5, 6, 3), "float32", view, 5),
        Sighting("a#2", 2, (5, 6, 3), "float32", view, 5),
        Sighting("never", why=f"its forward did not run: {why_not_run(model.never)}"),
    )
    assert [seen.masked for seen in rows.sightings] == [True, True, False]
    assert source.sightings == rows.sightings


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("late", [True, False])
def test_a_model_that_was_compiled_and_called_before_is_an_error(late: bool) -> None:
    torch.compiler.reset()
    model = small_net()
    fast = torch.compile(model, backend="eager")
    if late:
        fast(torch.randn(3, 4))
    source = opened(model, "0", rows=3, called=fast)
    source.want()
    forward(source, fast, torch.randn(3, 4))
    if late:
        with pytest.raises(BadInput, match=r"compiled before the probe was attached.*or torch.compiler.reset\(\)"):
            source.want()
    else:
        assert source.want()


def test_a_source_keeps_no_model_alive() -> None:
    model = small_net()
    source = opened(model, "0")
    source.want()
    forward(source, model, torch.randn(3, 4))
    gone = weakref.ref(model)
    gc.collect()
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()
    (rows,) = source.take(0)
    assert len(rows.keys) == 3
    with pytest.raises(BadInput, match="is gone"):
        source.open()


class Awkward(nn.Module):
    """What training code does to layers, one at a time."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.lstm = nn.LSTM(4, 4, batch_first=True)
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.first.bias.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "attention":
            return self.second(self.attention(x, x, x)[0])
        if self.kind == "lstm":
            return self.second(self.lstm(x)[0])
        if self.kind == "checkpoint":
            return self.second(checkpoint(self.first, x, use_reentrant=False))
        if self.kind == "reentrant checkpoint":
            return self.second(checkpoint(self.first, x, use_reentrant=True))
        h = self.first(x)
        h.relu_() if self.kind == "in place" else None
        return self.second(h)


class Clones:
    def __init__(self, module: nn.Module) -> None:
        self.rows: list[Tensor] = []
        module.register_forward_hook(self)

    def __call__(self, module: nn.Module, args: Any, output: Any) -> None:
        t = output[0] if isinstance(output, tuple) else output
        self.rows.append(t.detach().clone().mean(1))


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        ("attention", "attention"), ("lstm", "lstm"), ("tied and frozen", "first"), ("tied and frozen", "second"),
        ("checkpoint", "first"), ("reentrant checkpoint", "first"), ("in place", "first"),
    ],
)  # fmt: skip
def test_rows_are_what_a_clone_sees_over_accumulated_forwards(kind: str, layer: str) -> None:
    model = Awkward(kind)
    source = opened(model, layer, rows=12)
    source.want()
    xs = [torch.randn(4, 5, 4, requires_grad=True) for _ in range(3)]
    for x in xs:
        forward(source, model, x).sum().backward()
    (rows,) = source.take(0)
    oracle, twin = Awkward(kind), None
    oracle.load_state_dict(model.state_dict())
    twin = Clones(oracle.get_submodule(layer))
    for x in xs:
        oracle(x)
    assert torch.equal(rows.layers[0].t, torch.cat(twin.rows))


def test_the_whole_chain_works_in_one_compiled_graph() -> None:
    torch.compiler.reset()
    model = Masked()
    source = opened(model, "a", rows=12)
    model.register_forward_pre_hook(PreTap(lambda args, kwargs: source.see_inputs(args, kwargs, 0)), with_kwargs=True)
    call = torch.compile(model, backend="aot_eager", fullgraph=True)
    mask = torch.tensor([[1, 1, 0]]).repeat(4, 1)
    call(torch.randn(4, 3, 4), attention_mask=mask)
    source.want()
    xs = [torch.randn(4, 3, 4) for _ in range(3)]
    for x in xs:
        call(x, attention_mask=mask)
    (rows,) = source.take(0)
    assert [layer.name for layer in rows.layers] == ["a", "a#2"]
    torch.testing.assert_close(rows.layers[0].t, torch.cat([model.a(x[:, :2]).mean(1).detach() for x in xs]))

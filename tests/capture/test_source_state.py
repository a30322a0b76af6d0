"""A source that goes on where another has stopped, and one that keeps nothing alive."""

import gc
import io
import weakref
from typing import Any

import pytest
import torch
from helpers import identity_linear, small_net
from torch import Tensor, nn

from ibprobe.capture.sources import ReplaySource
from ibprobe.errors import NoRows


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def source_of(model: nn.Module, **options: Any) -> ReplaySource:
    return ReplaySource(model, dict(model.named_children()), rows=48, view="auto", **options)


def see(source: ReplaySource, x: Tensor) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        source.see_inputs((x,), {}, 0)
    source.see_labels(x[:, 0] > 0)


def test_a_loaded_source_gives_the_same_rows_bit_for_bit() -> None:
    model = small_net()
    source, other = source_of(model), source_of(model)
    for _ in range(2):
        see(source, torch.randn(20, 4))
    other.load_state_dict(through_a_file(source.state_dict()))
    x = torch.randn(30, 4)
    for each in (source, other):
        see(each, x)
    (a,), (b,) = source.take(3), other.take(3)
    assert len(b.keys) == 48
    assert torch.equal(a.keys, b.keys)
    assert torch.equal(a.y, b.y)
    assert torch.equal(a.x, b.x)
    assert [torch.equal(s.t, t.t) for s, t in zip(a.layers, b.layers, strict=True)] == [True] * 3
    assert b.layers[0].t.dtype == torch.bfloat16
    assert other.bytes_held() == source.bytes_held() == 48 * 4 * 4 + a.y.element_size() * 48
    assert other.sightings == source.sightings == b.sightings


def test_with_a_probe_set_the_state_holds_no_inputs() -> None:
    model, x = small_net(), torch.randn(40, 4)
    source = source_of(model, probe_set=x)
    see(source, torch.randn(7, 4))
    state = through_a_file(source.state_dict())
    assert (state["inputs"], state["inputs_left_out"]) == (None, "a probe set is given")
    other = source_of(model, probe_set=x)
    other.load_state_dict(state)
    assert torch.equal(other.take(0)[0].layers[2].t, source.take(0)[0].layers[2].t)
    assert source.bytes_held() == 40 * 4 * 4


def test_inputs_that_cannot_be_kept_are_collected_anew() -> None:
    model = nn.Sequential(nn.Identity())
    source, other = source_of(model), source_of(model)
    source.see_inputs((torch.randn(4, 2), 1j), {}, 0)
    state = through_a_file(source.state_dict())
    assert "inputs hold a complex" in state["inputs_left_out"]
    other.load_state_dict(state)
    with pytest.raises(NoRows):
        other.take(0)


@pytest.mark.parametrize("root", [False, True])
def test_a_source_does_not_keep_its_model_alive(root: bool) -> None:
    model: nn.Module = identity_linear(4) if root else nn.Sequential(identity_linear(4))
    source = ReplaySource(model, {"layer": model if root else model[0]}, rows=8, view="auto")  # type: ignore[index]
    model.register_forward_hook(lambda *_: None)
    source.see_inputs((torch.randn(8, 4),), {}, 0)
    assert source.take(0)[0].layers[0].name == "layer"
    dead = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert dead() is None
    finally:
        gc.enable()
    assert not source.want()
    with pytest.raises(NoRows, match="the model is gone"):
        source.take(0)
    held = weakref.ref(source)
    gc.disable()
    try:
        del source
        assert held() is None
    finally:
        gc.enable()

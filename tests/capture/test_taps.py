import copy
import gc
import pickle
import re
import weakref
from typing import Any

import pytest
import torch
from helpers import compiled, hook_tables, small_net
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ibprobe import BadInput
from ibprobe.capture.taps import CallCounter, PreTap, Switch, Tap, install, remove


class Receiver:
    def __init__(self) -> None:
        self.outputs: list[tuple[str, Tensor]] = []

    def receive(self, layer: str, kwargs: dict[str, Any], output: Any) -> None:
        assert not torch.is_grad_enabled()
        self.outputs.append((layer, output.clone()))

    def see(self, args: Any, kwargs: Any) -> None:
        self.outputs.append(("in", args[0].clone()))


def test_a_tap_hands_outputs_on_and_changes_nothing() -> None:
    model, receiver, x = small_net(), Receiver(), torch.randn(3, 4)
    plain = model(x)
    install({"0": model[0]}, receiver)
    assert torch.equal(model(x), plain)
    layer, rows = receiver.outputs[0]
    assert layer == "0"
    assert torch.equal(rows, model[0](x))


def test_outputs_arrive_before_they_are_overwritten_in_place() -> None:
    model, receiver = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True)), Receiver()
    install({"0": model[0]}, receiver)
    model(torch.tensor([[-1.0]]))
    assert receiver.outputs[0][1].item() == -1


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_and_pickles_of_a_tapped_model_feed_nothing(clone: Any) -> None:
    model, receiver = small_net(), Receiver()
    install({"0": model[0]}, receiver)
    model.register_forward_pre_hook(PreTap(receiver.see), with_kwargs=True)
    twin = clone(model)
    twin(torch.randn(3, 4))
    assert not receiver.outputs
    assert twin.state_dict().keys() == small_net().state_dict().keys()


def test_a_tap_does_not_keep_its_receiver_alive_but_an_input_tap_does() -> None:
    model, receiver = small_net(), Receiver()
    install({"0": model[0]}, receiver)
    gone = weakref.ref(receiver)
    handle = model.register_forward_pre_hook(PreTap(receiver.see), with_kwargs=True)
    del receiver
    assert gone() is not None
    handle.remove()
    gc.collect()
    assert gone() is None
    model(torch.randn(3, 4))


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_forward_counts_once(reentrant: bool) -> None:
    model, receiver = small_net(), Receiver()
    install({"0": model[0], "1": model[1]}, receiver)
    x = torch.randn(3, 4, requires_grad=True)
    checkpoint(model, x, use_reentrant=reentrant).sum().backward()
    assert [layer for layer, _ in receiver.outputs] == ["0", "1"]


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_taps_fire_at_every_call_of_a_compiled_model() -> None:
    model, receiver = small_net(), Receiver()
    install({"0": model[0]}, receiver)
    fast = compiled(model)
    for _ in range(12):
        fast(torch.randn(3, 4))
    assert len(receiver.outputs) == 12


def test_a_failing_registration_leaves_no_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_net()
    before = hook_tables(model)

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no hooks here")

    monkeypatch.setattr(model[2], "register_forward_hook", refuse)
    with pytest.raises(RuntimeError, match="no hooks here"):
        install(dict(model.named_children()), Receiver())
    assert hook_tables(model) == before


def test_removing_twice_does_no_harm() -> None:
    model, user = small_net(), Tap()
    model[0].register_forward_hook(user)
    before = hook_tables(model)
    handles = install(dict(model.named_children()), Receiver())
    assert hook_tables(model) != before
    remove(handles)
    remove(handles)
    assert hook_tables(model) == before


def test_later_calls_of_a_module_have_numbers() -> None:
    calls = CallCounter()
    assert [calls.name("relu") for _ in range(3)] == ["relu", "relu#2", "relu#3"]
    calls.restart()
    assert calls.name("relu") == "relu"


def test_a_switch_arms_many_taps_at_once() -> None:
    model, receiver, switch = small_net(), Receiver(), Switch(on=False)
    install(dict(model.named_children()), receiver, switch)
    model(torch.randn(3, 4))
    assert not receiver.outputs
    switch.on = True
    model(torch.randn(3, 4))
    assert [layer for layer, _ in receiver.outputs] == ["0", "1", "2"]


class Arithmetic:
    """Computes as a view does."""

    def __init__(self) -> None:
        self.products: list[Tensor] = []

    def receive(self, layer: str, kwargs: dict[str, Any], output: Any) -> None:
        self.products.append(output @ output.T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_our_own_arithmetic_keeps_the_precision_of_what_it_is_given(dtype: torch.dtype) -> None:
    model, receiver = nn.Identity(), Arithmetic()
    install({"0": model}, receiver)
    x = torch.randn(3, 4)
    with torch.autocast("cpu", dtype):
        assert (x @ x.T).dtype == dtype
        model(x)
        assert torch.is_autocast_enabled("cpu")
    assert receiver.products[0].dtype == torch.float32


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_copies_are_ordinary_tensors_whatever_mode_the_model_runs_in(mode: Any) -> None:
    model, receiver = small_net(), Receiver()
    install({"0": model[0]}, receiver)
    with mode():
        grad = torch.is_grad_enabled()
        model(torch.randn(3, 4))
        assert torch.is_grad_enabled() == grad
    (
        _,
        copy_,
    ) = receiver.outputs[0]
    assert not copy_.is_inference()
    assert not copy_.requires_grad


def recorded(model: nn.Module, how: str, x: Tensor) -> str:
    if how == "trace":
        graph = str(torch.jit.trace(model, (x,), check_trace=False).inlined_graph)
        return re.sub(r"\.___torch_mangle_\d+", "", graph)  # a number that torch counts up
    if how == "symbolic_trace":
        return str(torch.fx.symbolic_trace(model).graph)
    if how == "make_fx":
        return str(torch.fx.experimental.proxy_tensor.make_fx(model)(x).graph)
    return str(torch.export.export(model, (x,), strict=how == "strict export").graph)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("how", ["trace", "symbolic_trace", "make_fx", "export", "strict export"])
def test_a_recorded_program_holds_nothing_of_ours(how: str) -> None:
    model, x = nn.Sequential(small_net(), nn.Tanh()), torch.randn(3, 4)
    model(x)
    plain = recorded(model, how, x)
    receiver = Receiver()
    model.register_forward_pre_hook(PreTap(receiver.see), with_kwargs=True)
    install({"0": model[0], "1": model[1]}, receiver)
    assert recorded(model, how, x) == plain
    assert not receiver.outputs
    model(x)
    assert len(receiver.outputs) == 3


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripting_a_model_with_a_probe_on_it_says_what_to_do() -> None:
    model = small_net()
    install({"0": model[0]}, Receiver())
    with pytest.raises(BadInput, match="script it before, or detach"):
        torch.jit.script(model)
    assert getattr(Tap(), "__name__", "none") == "none"


def test_nothing_is_copied_while_a_cuda_graph_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    model, receiver = small_net(), Receiver()
    install({"0": model[0]}, receiver)
    monkeypatch.setattr("ibprobe.capture.taps._cuda_is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    model(torch.randn(3, 4))
    assert not receiver.outputs
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    model(torch.randn(3, 4))
    assert len(receiver.outputs) == 1


def test_averaged_copies_feed_nothing_and_functional_calls_do() -> None:
    model, receiver = small_net(), Receiver()
    install({"0": model[0]}, receiver)
    average = torch.optim.swa_utils.AveragedModel(model)
    average.update_parameters(model)
    average(torch.randn(3, 4))
    assert not receiver.outputs
    torch.func.functional_call(model, dict(model.named_parameters()), (torch.randn(3, 4),))
    assert len(receiver.outputs) == 1

"""Forward hooks that copy and do nothing else: no autograd, no random numbers, no effect on the model."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, Protocol, no_type_check, runtime_checkable

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from ibprobe.capture.autocast import autocast_here
from ibprobe.capture.compiled import left_alone, only_inside_graphs, register, send
from ibprobe.capture.encoders import encoded
from ibprobe.errors import BadInput

_cuda_is_initialized: Callable[[], bool] = torch.cuda.is_initialized
# Older versions of torch cannot tell; there, an exported program holds our operator.
_exporting = getattr(torch.compiler, "is_exporting", lambda: False)


@runtime_checkable
class Receiver(Protocol):
    """Takes what a layer was told and returned; called inside the model's forward pass."""

    def receive(self, layer: str, kwargs: Mapping[str, Any], output: Any) -> None:
        """Copy what is needed of ``output`` now: it may be overwritten in place right after."""
        ...


class Switch:
    """Says whether hooks pass anything on. They all look at one, so that arming many costs nothing."""

    __slots__ = ("in_graph", "on")

    def __init__(self, on: bool = True) -> None:
        self.on = on
        self.in_graph = False
        """Whether something came from within a compiled graph."""


class _Unscriptable(BadInput, AttributeError):
    """What ``torch.jit.script`` is told when it asks a hook for its name; to anyone else, there is no name."""


class _Hook:
    """What both kinds of hooks share: copies and pickles of a model carry inert ones."""

    _switch: Switch | None = None

    @property
    def __name__(self) -> str:
        raise _Unscriptable("torch.jit.script takes no model that a probe is attached to: script it before, or detach")

    def listens(self) -> bool:
        """Whether anything should be passed on now."""
        return self._switch is not None and self._switch.on

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return type(self)()

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        return type(self), ()


class Tap(_Hook):
    """A hook on one module. It holds its receiver weakly.

    Within a graph, one without a name says that its module ran, and touches nothing of it.
    """

    def __init__(self, layer: str = "", receiver: Receiver | None = None, switch: Switch | None = None) -> None:
        self._layer, self._named = layer, bool(layer)  # a graph may depend on the second: it is the same for all
        if receiver is not None:
            self._receiver = weakref.ref(receiver)
            self._switch = switch or Switch()
            self._number = register(self)

    @only_inside_graphs
    @no_type_check  # compilers read it
    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """Pass the output on; the return value None leaves it as it is."""
        switch = self._switch
        if switch is None:
            return
        if torch.compiler.is_compiling():
            if not _exporting():
                send(self._number, (_masks(kwargs), output) if self._named else ({}, None))
        elif switch.on:
            self._pass_on(kwargs, encoded(module, args, kwargs, output))

    def arrive(self, tree: tuple[Any, ...]) -> None:
        """The same from within a compiled graph."""
        if self._switch is not None:
            self._switch.in_graph = True
        self._pass_on(*tree)

    @left_alone
    def _pass_on(self, kwargs: dict[str, Any], output: Any) -> None:
        receiver = self._receiver()
        if receiver is not None and _is_real():
            with _own_precision() if torch._C._is_any_autocast_enabled() else nullcontext():
                _plainly(receiver.receive, self._layer, kwargs, output)


@no_type_check  # compilers read it
def _masks(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The only keywords that a layer's rows depend on."""
    return {name: value for name, value in kwargs.items() if "mask" in name}


class PreTap(_Hook):
    """A hook that sees the arguments of a module.

    It keeps what it calls alive: a probe stays attached until it is detached, whether or not a variable holds it.

    Args:
        see: called with the arguments.
        switch: when off, nothing is passed on.
        only: narrows the arguments down before anything else; a compiler reads it.
    """

    def __init__(
        self,
        see: Callable[[tuple[Any, ...], dict[str, Any]], None] | None = None,
        switch: Switch | None = None,
        only: Callable[[tuple[Any, ...], dict[str, Any]], tuple[tuple[Any, ...], dict[str, Any]]] | None = None,
    ) -> None:
        if see is not None:
            self._see, self._only = see, only
            self._switch = switch or Switch()
            self._number = register(self)

    @only_inside_graphs
    @no_type_check  # compilers read it
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Pass the arguments on; the return value None leaves them as they are."""
        switch = self._switch
        if switch is None:
            return
        if torch.compiler.is_compiling():
            if not _exporting():
                given = (args, kwargs) if self._only is None else self._only(args, kwargs)
                send(self._number, (*given, autocast_here()))
        elif switch.on:
            self._pass_on(*((args, kwargs) if self._only is None else self._only(args, kwargs)))

    def arrive(self, tree: tuple[Any, ...]) -> None:
        """The same from within a compiled graph, which runs with its casts made and autocast off."""
        args, kwargs, autocast = tree
        with ExitStack() as stack:
            for kind, dtype in autocast.items():
                stack.enter_context(torch.autocast(kind, getattr(torch, dtype), cache_enabled=False))
            self._pass_on(args, kwargs)

    @left_alone
    def _pass_on(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if _is_real():
            _plainly(self._see, args, kwargs)


def _is_real() -> bool:
    """Whether a forward pass computes numbers that training uses.

    Not so where a checkpointed region runs again during backward (the first run was the one that counts), where a
    program is recorded instead of run, inside transforms of functions, and while a CUDA graph is captured.
    """
    return not (
        torch._C._current_graph_task_id() != -1
        or torch._C._is_tracing()
        or torch.fx._symbolic_trace._is_fx_tracing_flag
        or torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None
        or torch._C._functorch.maybe_current_level() is not None
        or (_cuda_is_initialized() and torch.cuda.is_current_stream_capturing())
    )


def _plainly(call: Callable[..., None], *args: Any) -> None:
    """Our own arithmetic: without gradients, and giving tensors of the ordinary kind."""
    if torch.is_inference_mode_enabled():
        with torch.inference_mode(False), torch.no_grad():  # in this order: leaving it switches gradients on
            call(*args)
    else:
        with torch.no_grad():
            call(*args)


@contextmanager
def _own_precision() -> Iterator[None]:
    """What is computed of an output is computed in the precision that it has, and not in what training lowers to."""
    with ExitStack() as stack:
        for kind in autocast_here():
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


class CallCounter:
    """Names the calls of a module within one forward pass: ``relu``, ``relu#2``, ``relu#3``."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def name(self, layer: str) -> str:
        """Count a call and name it."""
        self._calls[layer] += 1
        return layer if self._calls[layer] == 1 else f"{layer}#{self._calls[layer]}"

    def counts(self) -> dict[str, int]:
        """Calls of each module since the forward pass began."""
        return dict(self._calls)

    def restart(self) -> None:
        """A new forward pass begins."""
        self._calls.clear()


def install(
    modules: Mapping[str, nn.Module], receiver: Receiver, switch: Switch | None = None
) -> list[RemovableHandle]:
    """Put a tap on each module, on or off as one switch says; all or none."""
    handles: list[RemovableHandle] = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(Tap(name, receiver, switch), with_kwargs=True))
    except BaseException:
        remove(handles)
        raise
    return handles


def remove(handles: list[RemovableHandle]) -> None:
    """Take hooks off again; repeating it does no harm."""
    while handles:
        handles.pop().remove()

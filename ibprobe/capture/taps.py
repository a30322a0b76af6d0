"""Forward hooks that copy and do nothing else: no autograd, no random numbers, no effect on the model."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle


@runtime_checkable
class Receiver(Protocol):
    """Takes what a layer was told and returned; called inside the model's forward pass."""

    def receive(self, layer: str, kwargs: Mapping[str, Any], output: Any) -> None:
        """Copy what is needed of ``output`` now: it may be overwritten in place right after."""
        ...


class Tap:
    """A hook on one module. It holds its receiver weakly, and copies and pickles of the model carry an inert one."""

    def __init__(self, layer: str = "", receiver: Receiver | None = None) -> None:
        self._layer = layer
        self._receiver = weakref.ref(receiver) if receiver is not None else None

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        """Pass the output on; the return value None leaves it as it is."""
        receiver = self._receiver() if self._receiver else None
        if receiver is not None and not _recomputing():
            with torch.no_grad():
                receiver.receive(self._layer, kwargs, output)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tap:
        return Tap()

    def __reduce__(self) -> tuple[type[Tap], tuple[()]]:
        return Tap, ()


class PreTap:
    """A hook that sees the arguments of a module; inert in copies and pickles, as ``Tap`` is.

    It keeps its owner alive: a probe stays attached until it is detached, whether or not a variable holds it.
    """

    def __init__(self, see: Callable[[tuple[Any, ...], dict[str, Any]], None] | None = None) -> None:
        self._see = see

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Pass the arguments on; the return value None leaves them as they are."""
        if self._see is not None and not _recomputing():
            with torch.no_grad():
                self._see(args, kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> PreTap:
        return PreTap()

    def __reduce__(self) -> tuple[type[PreTap], tuple[()]]:
        return PreTap, ()


def _recomputing() -> bool:
    """Whether a checkpointed region runs again during backward; the first run was the one that counts."""
    return torch._C._current_graph_task_id() != -1


class CallCounter:
    """Names the calls of a module within one forward pass: ``relu``, ``relu#2``, ``relu#3``."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def name(self, layer: str) -> str:
        """Count a call and name it."""
        self._calls[layer] += 1
        return layer if self._calls[layer] == 1 else f"{layer}#{self._calls[layer]}"

    def restart(self) -> None:
        """A new forward pass begins."""
        self._calls.clear()


def install(modules: Mapping[str, nn.Module], receiver: Receiver) -> list[RemovableHandle]:
    """Put a tap on each module; all or none."""
    handles: list[RemovableHandle] = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(Tap(name, receiver), with_kwargs=True))
    except BaseException:
        remove(handles)
        raise
    return handles


def remove(handles: list[RemovableHandle]) -> None:
    """Take hooks off again; repeating it does no harm."""
    while handles:
        handles.pop().remove()

"""Who runs the model when it is replayed: this process alone, or all that train together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol, runtime_checkable

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ibprobe.capture.sharded import is_sharded

_COLLECTIVE = ("c10d", "_c10d_functional", "_c10d_functional_autograd")
"""Name spaces of the operators that wait for other processes."""


@runtime_checkable
class Company(Protocol):
    """The processes that take part in a replay."""

    def gathered(self) -> AbstractContextManager[None]:
        """Within it forward passes may follow: everybody who takes part is there."""

    def forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """One pass."""


class Alone:
    """This process, whatever the others do.

    Args:
        others: whether there are any. They are not waited for: a forward pass that waits for them raises instead.
    """

    def __init__(self, *, others: bool = False) -> None:
        self._others = others

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Nobody else is asked."""
        with _NoCollectives() if self._others else nullcontext():  # type: ignore[no-untyped-call]
            yield

    def forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """One pass."""
        if self._others and is_sharded(model):
            raise RuntimeError("it was sharded after the probe was made: make the probe of the sharded model")
        model(*args, **kwargs)


class _NoCollectives(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in _COLLECTIVE:
            raise RuntimeError(f"it waits for other processes ({func}), and this one runs it alone")
        return func(*args, **(kwargs or {}))

"""Models whose parameters lie in pieces on several processes: every forward pass waits for all of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


def is_sharded(model: nn.Module) -> bool:
    """Whether some parameter is a piece of one, as ``torch.distributed.fsdp.fully_shard`` leaves it."""
    kind = _loaded("torch.distributed.tensor", "DTensor")
    return kind is not None and any(isinstance(p, kind) for p in model.parameters())


def is_flattened(model: nn.Module) -> bool:
    """Whether it was sharded by the older ``FullyShardedDataParallel``, which makes one tensor of many parameters."""
    kind = _loaded("torch.distributed.fsdp", "FullyShardedDataParallel")
    return kind is not None and any(isinstance(m, kind) for m in model.modules())


def class_name(model: nn.Module) -> str:
    """Of the user's own class: sharding puts one of its own in its place."""
    kind = _loaded("torch.distributed.fsdp", "FSDPModule")
    own = type(model)
    return own.__bases__[-1].__name__ if kind is not None and issubclass(own, kind) else own.__name__


@contextmanager
def left_sharded(model: nn.Module) -> Iterator[None]:
    """Give up the whole parameters that forward passes have put together.

    Those of the root stay whole after a forward pass, for a backward pass to use. Without one, they would be used
    again after the next optimizer step, and not be those that it has made.
    """
    was = is_sharded(model)
    try:
        yield
    finally:
        for module in _sharded_parts(model) if was else ():
            module.reshard()


def _sharded_parts(model: nn.Module) -> list[Any]:
    kind = _loaded("torch.distributed.fsdp", "FSDPModule")
    return [] if kind is None else [module for module in model.modules() if isinstance(module, kind)]


def _loaded(module: str, name: str) -> Any:
    """A class of a module that takes seconds to import; where nobody has, nothing is of that class."""
    return getattr(sys.modules.get(module), name, None)

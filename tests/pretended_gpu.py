"""A GPU that is not there: tensors of the CPU that say they are on it, and raise where tensors on one would.

It finds what mixes devices, or reads an array from one, on a machine without a device; nothing else of a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

GPU = torch.device("cuda", 0)


class OnGpu(Tensor):
    """In disguise."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(func, args, kwargs or {})


class _Factories(TorchFunctionMode):
    """Tensors that are made there."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _called(func, args, kwargs or {})


class _Generator(torch.Generator):
    def __new__(cls, device: Any = "cpu") -> _Generator:
        return super().__new__(cls, "cpu")


@contextmanager
def pretended_gpu() -> Iterator[None]:
    """Within it, ``device="cuda"`` works."""
    with pytest.MonkeyPatch.context() as patch, _Factories():
        patch.setattr(torch, "Generator", _Generator)
        patch.setattr(torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state())
        patch.setattr(torch.cuda, "set_rng_state", lambda state, device=None: None)
        patch.setattr(torch.cuda, "manual_seed", lambda seed: None)
        patch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
        yield


def moved(model: nn.Module) -> nn.Module:
    """What ``model.to("cuda")`` would be."""
    for module in model.modules():
        for table in (module._parameters, module._buffers):
            for name, t in table.items():
                if t is not None:
                    table[name] = there(t)
    return model


def there(t: Tensor) -> Tensor:
    """On the GPU."""
    with torch._C.DisableTorchFunction():
        found = t.detach().as_subclass(OnGpu).requires_grad_(t.requires_grad)
        if isinstance(t, nn.Parameter):
            found._is_param = True
        return found


_ACROSS = {"to", "copy_", "__getitem__", "__setitem__", "index_put_", "type_as"}
"""What takes a tensor of the CPU beside one of the GPU: moving, and an index."""


def _called(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    on = [t for t in tensors if isinstance(t, OnGpu)]
    name = getattr(func, "__name__", "")
    of = getattr(getattr(func, "__self__", None), "__name__", "") if name == "__get__" else ""
    with torch._C.DisableTorchFunction():
        if on and of in ("device", "is_cuda"):
            return GPU if of == "device" else True
        if on and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        if on and name not in _ACROSS and any(t.ndim and not isinstance(t, OnGpu) for t in tensors):
            raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu, in {name}()")
        goes = _goes(name, args, kwargs, bool(on))
        found = func(*tree_map(_here, args), **tree_map(_here, kwargs))
        return tree_map(lambda t: _as(t, goes), found) if name != "__set__" else found


def _goes(name: str, args: Any, kwargs: Any, on: bool) -> bool:
    """Whether what comes out is there."""
    if name in ("cpu", "cuda"):
        return name == "cuda"
    asked = [kwargs.get("device"), *(args[1:2] if name in ("to", "type_as") else ())]
    for a in asked:
        if isinstance(a, str | torch.device):
            return torch.device(a).type == "cuda"
        if isinstance(a, Tensor):
            return isinstance(a, OnGpu)
    return on


def _here(a: Any) -> Any:
    """Of an argument, what the CPU can do."""
    return torch.device("cpu") if isinstance(a, torch.device) or (isinstance(a, str) and a.startswith("cuda")) else a


def _as(t: Any, on: bool) -> Any:
    if not isinstance(t, Tensor) or isinstance(t, OnGpu) == on:
        return t
    return t.as_subclass(OnGpu if on else Tensor)

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


_OfTorch = torch.Generator


class _Generators(type(_OfTorch)):
    """Those that were made before are generators, too."""

    def __instancecheck__(cls, made: Any) -> bool:
        return isinstance(made, _OfTorch)


class _Generator(_OfTorch, metaclass=_Generators):
    """Of the CPU; it remembers where it was asked for."""

    at: torch.device

    def __new__(cls, device: Any = "cpu") -> _Generator:
        made = super().__new__(cls, "cpu")
        made.at = torch.device(device)
        return made


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


_MOVING = {"to", "copy_", "type_as"}
_INDEXING = {"__getitem__", "__setitem__", "index_put", "index_put_"}
_TOGETHER = {"cat", "stack", "mm", "bmm", "matmul", "__matmul__", "__rmatmul__", "addmm", "baddbmm", "einsum"}
"""What takes no scalar tensor of the CPU beside those of the GPU, as pointwise functions do."""


def _called(func: Any, args: Any, kwargs: Any) -> Any:
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    on = [t for t in tensors if isinstance(t, OnGpu)]
    name = getattr(func, "__name__", "")
    of = getattr(getattr(func, "__self__", None), "__name__", "") if name == "__get__" else ""
    with torch._C.DisableTorchFunction():
        if func is torch.device:
            return func(*args, **kwargs)
        if on and of in _SAID:
            return _SAID[of]
        if on and name == "get_device":
            return GPU.index
        if on and name in ("numpy", "__array__"):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")
        if on and name not in _MOVING:
            _check(name, args, tensors)
        goes = _goes(name, args, kwargs, bool(on))
        generator = kwargs.get("generator")
        if generator is not None and (getattr(generator, "at", _CPU).type == "cuda") != goes:
            raise RuntimeError(f"Expected a generator of the device of the result, in {name}()")
        if name == "cuda":
            return there(args[0])
        found = func(*tree_map(_here, args), **tree_map(_here, kwargs))
        return tree_map(lambda t: _as(t, goes), found) if name != "__set__" else found


_CPU = torch.device("cpu")
_SAID = {"device": GPU, "is_cuda": True, "is_cpu": False}


def _check(name: str, args: Any, tensors: list[Tensor]) -> None:
    """As a GPU does: indices may be of the CPU, and so may scalars in what works point by point."""
    if name in _INDEXING:
        indices = [t for t in tree_leaves(args[1]) if isinstance(t, Tensor)]
        if not isinstance(args[0], OnGpu) and any(isinstance(t, OnGpu) for t in indices):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        # A slice is copied to from anywhere, what an index tensor chooses is not.
        tensors = [args[0], *(args[2:] if indices else ())]
    least = 0 if name in _TOGETHER else 1
    strange = [t for t in tensors if isinstance(t, Tensor) and t.ndim >= least and not isinstance(t, OnGpu)]
    if strange and any(isinstance(t, OnGpu) for t in tensors):
        raise RuntimeError(f"Expected all tensors to be on the same device, but found cuda:0 and cpu, in {name}()")


def _goes(name: str, args: Any, kwargs: Any, on: bool) -> bool:
    """Whether what comes out is there."""
    if name in ("cpu", "cuda"):
        return name == "cuda"
    asked = [kwargs.get("device"), *(args[1:3] if name in ("to", "type_as") else ())]
    for a in asked:
        if isinstance(a, str | torch.device):
            return torch.device(a).type == "cuda"
        if isinstance(a, Tensor):
            return isinstance(a, OnGpu)
    return on


def _here(a: Any) -> Any:
    """Of an argument, what the CPU can do."""
    return _CPU if isinstance(a, torch.device) or (isinstance(a, str) and a.startswith("cuda")) else a


def _as(t: Any, on: bool) -> Any:
    if not isinstance(t, Tensor) or isinstance(t, OnGpu) == on:
        return t
    return t.as_subclass(OnGpu if on else Tensor)

"""Every generator that a model or a loader may draw from, and how to leave each as it was found."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

_Access = tuple[Callable[[], Any], Callable[[Any], Any]]


class Randomness:
    """The global generators of torch, NumPy and Python, the device's, and those that some objects hold.

    Args:
        owners: modules, loaders, samplers, data sets; generators among their attributes count.
        device: its generator counts beside the CPU's.
    """

    def __init__(self, owners: Iterable[object] = (), device: torch.device | None = None) -> None:
        self._access: list[_Access] = [
            (torch.get_rng_state, torch.set_rng_state),
            (np.random.get_state, np.random.set_state),
            (random.getstate, random.setstate),
        ]
        if device is not None and device.type == "cuda":
            get, put = torch.cuda.get_rng_state, torch.cuda.set_rng_state
            self._access.append((partial(get, device), partial(put, device=device)))
        for owner in owners:
            self._access += filter(None, map(_access, getattr(owner, "__dict__", {}).values()))

    def state(self) -> list[Any]:
        """The state of each generator, to compare or to restore."""
        return [get() for get, _ in self._access]

    def moved_since(self, before: list[Any]) -> bool:
        """Whether something has drawn random numbers since ``before``."""
        return not all(_equal(get(), was) for (get, _), was in zip(self._access, before, strict=True))

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Leave every generator as it was found."""
        before = self.state()
        try:
            yield
        finally:
            for (_, put), was in zip(self._access, before, strict=True):
                put(was)


def _access(value: object) -> _Access | None:
    """How to read and write the state of a generator; None for anything else."""
    if isinstance(value, torch.Generator):
        return value.get_state, value.set_state
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        return (lambda: bits.state), partial(setattr, bits, "state")
    if isinstance(value, np.random.RandomState):
        return value.get_state, value.set_state
    if isinstance(value, random.Random):
        return value.getstate, value.setstate
    return None


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, Mapping):
        return all(_equal(a[k], b[k]) for k in a)
    if isinstance(a, tuple) and any(isinstance(part, np.ndarray) for part in a):
        return all(map(_equal, a, b))
    return bool(a == b)

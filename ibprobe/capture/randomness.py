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

_Access = tuple[Callable[[], Any], Callable[[Any], Any], Callable[[int], Any]]
"""How to read the state of a generator, how to write it, how to start it from a seed of 32 bits."""


class Randomness:
    """The global generators of torch, NumPy and Python, the device's, and those that some objects hold.

    Args:
        owners: modules, loaders, samplers, data sets; generators among their attributes count.
        device: its generator counts beside the CPU's.
    """

    def __init__(self, owners: Iterable[object] = (), device: torch.device | None = None) -> None:
        self._access: list[_Access] = [
            (torch.get_rng_state, torch.set_rng_state, torch.default_generator.manual_seed),
            (np.random.get_state, np.random.set_state, np.random.seed),
            (random.getstate, random.setstate, random.seed),
        ]
        if device is not None and device.type == "cuda":
            get, put = torch.cuda.get_rng_state, torch.cuda.set_rng_state
            seed = partial(_seed_cuda, device)
            self._access.append((partial(get, device), partial(put, device=device), seed))
        for owner in owners:
            self._access += filter(None, map(_access, getattr(owner, "__dict__", {}).values()))

    def state(self) -> list[Any]:
        """The state of each generator, to compare or to restore."""
        return [get() for get, _, _ in self._access]

    def moved_since(self, before: list[Any]) -> bool:
        """Whether something has drawn random numbers since ``before``."""
        return not all(_equal(get(), was) for (get, _, _), was in zip(self._access, before, strict=True))

    @contextmanager
    def preserved(self) -> Iterator[None]:
        """Leave every generator as it was found."""
        before = self.state()
        try:
            yield
        finally:
            for (_, put, _), was in zip(self._access, before, strict=True):
                put(was)

    def restart(self, seed: int) -> None:
        """Start every generator from ``seed``, so that what is drawn next can be repeated."""
        # Hashed, for a user's data may have been drawn from the very same number.
        numbers = random.Random(f"ibprobe|{seed}")
        for _, _, start in self._access:
            start(numbers.getrandbits(32))


def _seed_cuda(device: torch.device, seed: int) -> None:
    with torch.cuda.device(device):
        torch.cuda.manual_seed(seed)


def _access(value: object) -> _Access | None:
    """How to read, write and seed a generator; None for anything else."""
    if isinstance(value, torch.Generator):
        return value.get_state, value.set_state, value.manual_seed
    if isinstance(value, np.random.Generator):
        bits = value.bit_generator
        put = partial(setattr, bits, "state")
        return (lambda: bits.state), put, lambda seed: put(type(bits)(seed).state)
    if isinstance(value, np.random.RandomState):
        return value.get_state, value.set_state, value.seed
    if isinstance(value, random.Random):
        return value.getstate, value.setstate, value.seed
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

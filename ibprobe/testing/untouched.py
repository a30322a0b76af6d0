"""What nobody may touch: the global random generators and what was handed over."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor


@contextmanager
def untouched(who: str, given: Mapping[str, Tensor]) -> Iterator[None]:
    """Assert that what is done within draws from no global generator and changes none of the given tensors.

    Args:
        who: as the message calls it.
        given: tensors by name.
    """
    before, copies = _generators(), {name: t.clone() for name, t in given.items()}
    yield
    for name, now in _generators().items():
        assert _same(before[name], now), (
            f"{who}: expected random numbers from a generator made from `seed`; the global generator of {name} was "
            "drawn from, and every run that is watched would be another run"
        )
    for name, t in given.items():
        assert torch.equal(copies[name], t), (
            f"{who}: expected its input to be left as it is; {name} was changed in place: work on a copy"
        )


def _generators() -> dict[str, Any]:
    return {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "random": random.getstate()}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, tuple):
        return all(map(_same, a, b))
    return bool(a == b)

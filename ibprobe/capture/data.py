"""Whatever a user calls data, as batches of distinct rows: tensors, loaders, lists, dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ibprobe.capture.randomness import Randomness
from ibprobe.capture.rows import Batch, RowBuffer, row_count, take_rows
from ibprobe.errors import BadInput

CHUNK = 256
"""Rows a forward pass when the user gives whole tensors."""

_EXPECTED = (
    "data is a tensor x, a pair (x, y), a mapping of keyword inputs with 'labels', or an iterable of such batches "
    "(a DataLoader or a Dataset)"
)


def distinct_batches(data: Any, rows: int) -> tuple[list[Batch], int]:
    """Read up to ``rows`` distinct inputs.

    Loaders may be shuffled and data sets augmented: every generator is afterwards as it was.

    Args:
        data: see the error text below, which names what is understood.
        rows: at most this many distinct rows.

    Returns:
        The batches, and how many repeated rows were left out while reading.

    Raises:
        BadInput: the data is of another kind, is empty, or x and y have different lengths.
    """
    with Randomness(_drawing(data)).preserved():
        return _distinct(data, rows)


def _distinct(data: Any, rows: int) -> tuple[list[Batch], int]:
    buffer = RowBuffer(rows)
    for args, kwargs, y in _batches(data):
        buffer.add(args, kwargs)
        if y is not None:
            buffer.label(y)
        if buffer.full:
            break
    if not buffer.batches:
        raise BadInput(f"no rows in the data; {_EXPECTED}")
    return buffer.batches, buffer.repeated


def _drawing(data: Any) -> Iterator[Any]:
    """A loader, its samplers and its data set: each may hold a generator that training goes on to use."""
    yield data
    for name in ("dataset", "sampler", "batch_sampler"):
        part = getattr(data, name, None)
        if part is not None:
            yield from _drawing(part)


def _batches(data: Any) -> Iterator[tuple[tuple[Any, ...], dict[str, Any], Tensor | None]]:
    if isinstance(data, Dataset):
        data = DataLoader(data, batch_size=CHUNK)
    whole = isinstance(data, Tensor | Mapping) or (
        isinstance(data, tuple) and bool(data) and all(isinstance(t, Tensor) for t in data)
    )
    if not whole and not isinstance(data, Iterable):
        raise BadInput(f"{_EXPECTED}; got {type(data).__name__}")
    for item in [data] if whole else data:
        args, kwargs, y = _split(item)
        n = row_count(args, kwargs)
        if y is not None and (not y.ndim or len(y) != n):
            raise BadInput(f"x has {n} rows, y has shape {tuple(y.shape)}; expected one target a row")
        for start in range(0, n, CHUNK if whole else max(n, 1)):
            index = torch.arange(start, min(start + CHUNK, n) if whole else n)
            yield take_rows((args, kwargs, y), index, n)


def _split(item: Any) -> tuple[tuple[Any, ...], dict[str, Any], Tensor | None]:
    """One batch as positional inputs, keyword inputs and targets."""
    if isinstance(item, Tensor):
        return (item,), {}, None
    if isinstance(item, Mapping):
        labels = item.get("labels")
        return (), dict(item), labels if isinstance(labels, Tensor) else None
    if isinstance(item, tuple | list) and item and isinstance(item[0], Tensor | tuple | list | Mapping):
        *inputs, y = item if len(item) > 1 else (*item, None)
        if y is not None and not isinstance(y, Tensor):
            raise BadInput(f"targets are a tensor; got {type(y).__name__}")
        return tuple(inputs), {}, y
    raise BadInput(f"{_EXPECTED}; got a batch of type {type(item).__name__}")

"""Whatever a user calls data, as batches of distinct rows: tensors, loaders, lists, dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from ibprobe.capture.buffer import MAX_BYTES, RowBuffer
from ibprobe.capture.randomness import Randomness
from ibprobe.capture.rows import Batch, row_count, take_rows
from ibprobe.errors import BadInput

CHUNK = 256
"""Rows that are read at a time where the user gives whole tensors."""

_EXPECTED = (
    "data is a tensor x, a pair (x, y), a mapping of keyword inputs with 'labels', or an iterable of such batches "
    "(a DataLoader or a Dataset)"
)


def distinct_batches(data: Any, rows: int, *, all_there_is: bool = False) -> tuple[list[Batch], int]:
    """Read up to ``rows`` distinct inputs: of tensors and data sets that hold more, a fixed random choice.

    Loaders may be shuffled and data sets augmented: every generator is afterwards as it was.

    Args:
        data: see the error text below, which names what is understood.
        rows: at most this many distinct rows.
        all_there_is: these are all inputs that there are, so none may be left out.

    Returns:
        The batches, and how many repeated rows were left out while reading.

    Raises:
        BadInput: the data is of another kind, is empty, x and y have different lengths, or rows would be left out.
    """
    with Randomness(_drawing(data)).preserved():
        buffer = _distinct(data, rows + all_there_is)
    if all_there_is and (buffer.n > rows or buffer.cut):
        most = f"{MAX_BYTES >> 20} MiB" if buffer.cut else f"rows={rows}"
        raise BadInput(f'target="probe_set" measures all inputs there are, but there are more than {most}')
    return buffer.batches, buffer.repeated


def _distinct(data: Any, rows: int) -> RowBuffer:
    buffer = RowBuffer(rows)
    for args, kwargs, y in _batches(data, rows):
        buffer.add(args, kwargs)
        if y is not None:
            buffer.label(y)
        if buffer.full:
            break
    if not buffer.batches:
        raise BadInput(f"no rows in the data; {_EXPECTED}")
    return buffer


def _drawing(data: Any) -> Iterator[Any]:
    """A loader, its samplers and its data set: each may hold a generator that training goes on to use."""
    yield data
    for name in ("dataset", "sampler", "batch_sampler"):
        part = getattr(data, name, None)
        if part is not None:
            yield from _drawing(part)


def _batches(data: Any, rows: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any], Tensor | None]]:
    if isinstance(data, Dataset):
        sized = hasattr(data, "__len__") and not isinstance(data, IterableDataset)
        chosen = Subset(data, _order(len(data), rows).tolist()) if sized else data  # type: ignore[arg-type]
        data = DataLoader(chosen, batch_size=CHUNK)
    # ((ids, mask), y) is one set of inputs with targets; a tuple of batches ends in a tuple.
    whole = isinstance(data, Tensor | Mapping) or (
        isinstance(data, tuple)
        and bool(data)
        and all(isinstance(t, Tensor) for t in data[1 if len(data) == 2 else 0 :])
    )
    if not whole and not isinstance(data, Iterable):
        raise BadInput(f"{_EXPECTED}; got {type(data).__name__}")
    for item in [data] if whole else data:
        args, kwargs, y = _split(item)
        n = row_count(args, kwargs)
        if y is not None and (not y.ndim or len(y) != n):
            raise BadInput(f"x has {n} rows, y has shape {tuple(y.shape)}; expected one target a row")
        for index in torch.split(_order(n, rows), CHUNK) if whole and n else [torch.arange(n)]:
            yield take_rows((args, kwargs, y), index, n)


def _order(n: int, rows: int) -> Tensor:
    """All rows as they are, or in a fixed random order where only some are read: files are often sorted by class."""
    return torch.arange(n) if n <= rows else torch.randperm(n, generator=torch.Generator().manual_seed(n))


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
            raise BadInput(f"targets are a tensor; got {type(y).__name__}: pass torch.as_tensor(y)")
        nested = len(inputs) == 1 and isinstance(inputs[0], tuple | list)
        return tuple(inputs[0] if nested else inputs), {}, y
    hint = ": pass torch.as_tensor(x)" if type(item).__module__.startswith("numpy") else ""
    raise BadInput(f"{_EXPECTED}; got a batch of type {type(item).__name__}{hint}")

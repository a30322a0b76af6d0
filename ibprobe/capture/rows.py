"""Aligned rows: distinct inputs with what belongs to each, and the activations that they gave."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ibprobe.capture.packed import padded, take_sequences
from ibprobe.capture.views import MAX_FEATURES, orthonormal_buckets, token_mask

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

ROWS_BYTES = 512 * 2**20
"""Memory that the rows of all layers of a snapshot may take; beyond it fewer rows are replayed."""


@dataclass(frozen=True, slots=True)
class LayerRows:
    """Rows of one layer, distinct inputs only."""

    t: Float[Tensor, "n d"]
    name: str = ""
    view: str = "as given"
    stochastic: bool = False
    """The same input gives different activations."""
    step_of_row: Int[Tensor, " n"] | None = None
    """Optimizer step that produced each row, when they differ."""
    dropped: int = 0
    """Repeated inputs that were left out before."""
    passes: Float[Tensor, "k passes d"] | None = None
    """For a layer that draws random numbers, evenly spaced rows of it in every one of several forward passes."""
    scale: Float[Tensor, "n d"] | None = None
    """For a layer that draws from a Gaussian and says which: its standard deviations; ``t`` are its means."""
    rate: Float[Tensor, " n"] | None = None
    """KL(q(z|x)‖r(z)) of each row in nats, where such a layer has a marginal r."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What was seen of a layer while rows were taken."""

    layer: str
    calls: int = 0
    """Calls of the module in one forward pass."""
    shape: tuple[int, ...] = ()
    """Of its last output, before the view."""
    dtype: str = ""
    view: str = ""
    rows: int = 0
    why: str = ""
    """Why it gave no rows; empty when it gave some."""
    split: str = ""
    """Kind of rows; empty where it is not known yet."""

    @property
    def masked(self) -> bool:
        """Whether padding was left out."""
        return "unmasked" in self.view


@dataclass(frozen=True, slots=True)
class RowSet:
    """Everything that one snapshot of one split is computed from; all parts are aligned by row."""

    layers: tuple[LayerRows, ...]
    y: Tensor | None
    x: Float[Tensor, "n dx"] | None
    """Inputs as numbers, for layers that are no function of x."""
    keys: Int[Tensor, " n"]
    """A hash of each input, which fixes the critics' folds for a run."""
    split: str
    mode: str
    span: tuple[int, int]
    sightings: tuple[Sighting, ...] = ()
    """One a layer that was asked for, or a call of it."""
    clustered: bool = False
    """The rows were handed out in groups that are alike, and not drawn at random."""

    @property
    def silent(self) -> tuple[str, ...]:
        """Layers that were asked for and gave no rows, each with the reason."""
        return tuple(f"{seen.layer}: {seen.why}" for seen in self.sightings if seen.why)


@dataclass(slots=True)
class Batch:
    """Inputs of one forward pass, as they were given, with labels and keys by row."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    keys: Int[Tensor, " n"]
    y: Tensor | None = None
    pick: Bool[Tensor, "n tokens"] | None = None
    """The token of each row that stands for it, where a view takes one."""

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.keys)

    def rows(self, start: int, stop: int) -> Batch:
        """A copy of some rows."""
        index = torch.arange(start, stop)
        args, kwargs, y, pick = take_rows((self.args, self.kwargs, self.y, self.pick), index, self.n)
        return Batch(args, kwargs, self.keys[index], y, pick)

    @property
    def bytes(self) -> int:
        """Memory that inputs and targets take."""
        return sum(t.numel() * t.element_size() for t in tensors_in((self.args, self.kwargs, self.y)))


Part = Tensor | PackedSequence


def map_parts(fn: Callable[[Any], Any], tree: Any) -> Any:
    """Apply ``fn`` to each tensor or packed sequence in nested tuples, lists and mappings; everything else stays."""
    if isinstance(tree, Part):
        return fn(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_parts(fn, item) for item in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(map_parts(fn, item) for item in tree)
    if isinstance(tree, Mapping):
        return {k: map_parts(fn, v) for k, v in tree.items()}
    return tree


def parts_in(tree: Any) -> list[Part]:
    """All tensors and packed sequences of a nested structure, in order."""
    if isinstance(tree, Part):
        return [tree]
    if isinstance(tree, Mapping):
        return parts_in(list(tree.values()))
    return [part for item in tree for part in parts_in(item)] if isinstance(tree, tuple | list) else []


def tensors_in(tree: Any) -> list[Tensor]:
    """All tensors of a nested structure, in order; of packed sequences their data."""
    return [part.data if isinstance(part, PackedSequence) else part for part in parts_in(tree)]


def length(part: Part) -> int:
    """Rows of a tensor or sequences of a packed one; 0 for a number."""
    if isinstance(part, PackedSequence):
        return int(part.batch_sizes[0])
    return len(part) if part.ndim else 0


def row_count(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Rows of a forward pass: the length of its first tensor that has one; 0 when there is none."""
    if args and isinstance(args[0], Tensor) and args[0].ndim:
        return len(args[0])  # asked at every step of training
    parts = parts_in((args, kwargs))
    return next((length(p) for p in parts if isinstance(p, PackedSequence) or p.ndim), 0)


def take_rows(tree: Any, index: Int[Tensor, " k"], n: int) -> Any:
    """A copy of the given rows of every tensor that has ``n`` of them; other tensors are copied whole."""

    def take(part: Part) -> Part:
        if isinstance(part, PackedSequence):
            return take_sequences(part, index) if length(part) == n else part
        return part.detach()[index.to(part.device)] if part.ndim and len(part) == n else part.detach().clone()

    return map_parts(take, tree)


def row_keys(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Int[Tensor, " n"]:
    """A 63-bit hash of each row of the inputs; labels are no part of it, nor is what a sequence was padded with."""
    n, mask = row_count(args, kwargs), token_mask(kwargs)
    inputs = {k: v for k, v in kwargs.items() if k != "labels"}
    raw = [_bytes_of_rows(part, mask) for part in parts_in((args, inputs)) if length(part) == n]
    digests = (blake2b(b"".join(rows[i] for rows in raw), digest_size=8).digest() for i in range(n))
    return torch.tensor([int.from_bytes(d, "big") >> 1 for d in digests], dtype=torch.int64)


def _bytes_of_rows(part: Part, mask: Tensor | None = None) -> list[bytes]:
    if isinstance(part, PackedSequence):  # as long as each sequence is, whatever it was packed with
        t, lengths = padded(part)
        return [_bytes_of_rows(row[None, :steps])[0] for row, steps in zip(t, lengths.tolist(), strict=True)]
    t, n = part.detach(), len(part)
    array = t.cpu().contiguous().reshape(n, t.numel() // max(n, 1)).view(torch.uint8).numpy()
    if mask is None or t.shape[:2] != mask.shape or not t.numel() or bool(mask.all()):
        return [row.tobytes() for row in array]
    counts = mask.cpu().numpy()
    return [row[keep].tobytes() for row, keep in zip(array.reshape(*mask.shape, -1), counts, strict=True)]


def first_occurrences(keys: Int[Tensor, " n"], seen: set[int] | frozenset[int] = frozenset()) -> Int[Tensor, " k"]:
    """Positions of keys that are neither in ``seen`` nor earlier in ``keys``."""
    fresh: dict[int, int] = {}
    for position, key in enumerate(keys.tolist()):
        if key not in seen:
            fresh.setdefault(key, position)
    return torch.tensor(list(fresh.values()), dtype=torch.int64)


def evenly_spaced(n: int, k: int) -> Int[Tensor, " k"]:
    """Positions of ``k`` of ``n`` rows, in order."""
    return torch.arange(k) * n // k


def join(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Concatenate rows; None when a part is missing or widths differ."""
    known = [p for p in parts if p is not None]
    aligned = len(known) == len(parts) and len({p.shape[1:] for p in known}) == 1
    return torch.cat(known) if aligned else None


def stacked(parts: Sequence[Tensor], n: int) -> Tensor | str:
    """Rows of one layer from all passes, or why they do not make one matrix of ``n`` rows."""
    why = why_no_matrix(sum(map(len, parts)), n, {p.shape[1] for p in parts})
    return why or torch.cat(list(parts))


def why_no_matrix(rows: int, n: int, widths: Collection[int]) -> str:
    """Why rows of one layer, of these widths, do not make one matrix of ``n``; empty when they do."""
    if rows != n:
        return "it ran in some forward passes only"
    if len(widths) > 1:
        return f"its rows have {min(widths)} to {max(widths)} features in different passes; view= can make them equal"
    return ""


def input_matrix(batches: Sequence[Batch]) -> Float[Tensor, "n dx"] | None:
    """The first floating input of each row, flattened, at most ``MAX_FEATURES`` wide; None when shapes differ."""
    floats = [_first_floats(b) for b in batches]
    if len({None if f is None else f.shape[1:] for f in floats}) > 1:
        return None
    return join([None if f is None else _narrow(f.reshape(len(f), -1).float()) for f in floats])


def _narrow(x: Tensor) -> Tensor:
    return x if x.shape[1] <= MAX_FEATURES else orthonormal_buckets(x, MAX_FEATURES)


def _first_floats(batch: Batch) -> Tensor | None:
    aligned = (p for p in parts_in((batch.args, batch.kwargs)) if length(p) == batch.n)
    tensors = (padded(p)[0] if isinstance(p, PackedSequence) else p for p in aligned)
    return next((t for t in tensors if t.is_floating_point()), None)


def first_rows(batches: Sequence[Batch], n: int) -> list[Batch]:
    """The first ``n`` rows; a batch that is needed whole is not copied."""
    kept: list[Batch] = []
    for batch in batches:
        if n <= 0:
            break
        kept.append(batch if batch.n <= n else batch.rows(0, n))
        n -= batch.n
    return kept


def chunks(batches: Sequence[Batch], size: int) -> Iterator[Batch]:
    """Copies of all rows in order, at most ``size`` at a time: what runs may write to its inputs."""
    for batch in batches:
        for start in range(0, batch.n, size):
            yield batch.rows(start, min(start + size, batch.n))

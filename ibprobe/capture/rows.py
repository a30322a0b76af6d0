"""Aligned rows: distinct inputs with what belongs to each, and the activations that they gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ibprobe.capture.views import MAX_FEATURES, orthonormal_buckets

if TYPE_CHECKING:
    from jaxtyping import Float, Int

MAX_BYTES = 256 * 2**20
"""Memory that collected inputs may take; beyond it fewer rows are kept."""


ROWS_BYTES = 512 * 2**20


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
    masked: bool = False
    """Whether padding was left out."""
    why: str = ""
    """Why it gave no rows; empty when it gave some."""


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
    silent: tuple[str, ...] = ()
    """Layers that were asked for and gave no rows, each with the reason."""
    sightings: tuple[Sighting, ...] = ()
    """One a layer that was asked for, or a call of it."""


@dataclass(slots=True)
class Batch:
    """Inputs of one forward pass, as they were given, with labels and keys by row."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    keys: Int[Tensor, " n"]
    y: Tensor | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.keys)


def map_tensors(fn: Callable[[Tensor], Any], tree: Any) -> Any:
    """Apply ``fn`` to each tensor in nested tuples, lists and mappings; everything else stays."""
    if isinstance(tree, Tensor):
        return fn(tree)
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(map_tensors(fn, item) for item in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(map_tensors(fn, item) for item in tree)
    if isinstance(tree, Mapping):
        return {k: map_tensors(fn, v) for k, v in tree.items()}
    return tree


def tensors_in(tree: Any) -> list[Tensor]:
    """All tensors of a nested structure, in order."""
    found: list[Tensor] = []
    map_tensors(found.append, tree)
    return found


def row_count(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Rows of a forward pass: the length of its first tensor that has one; 0 when there is none."""
    return next((len(t) for t in tensors_in((args, kwargs)) if t.ndim), 0)


def take_rows(tree: Any, index: Int[Tensor, " k"], n: int) -> Any:
    """A copy of the given rows of every tensor that has ``n`` of them; other tensors are copied whole."""

    def take(t: Tensor) -> Tensor:
        return t.detach()[index.to(t.device)] if t.ndim and len(t) == n else t.detach().clone()

    return map_tensors(take, tree)


def row_keys(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Int[Tensor, " n"]:
    """A 63-bit hash of each row of the inputs; labels are no part of it."""
    n = row_count(args, kwargs)
    inputs = {k: v for k, v in kwargs.items() if k != "labels"}
    aligned = [t.detach() for t in tensors_in((args, inputs)) if t.ndim and len(t) == n]
    raw = [t.cpu().contiguous().reshape(n, t.numel() // max(n, 1)).view(torch.uint8).numpy() for t in aligned]
    digests = (blake2b(b"".join(r[i].tobytes() for r in raw), digest_size=8).digest() for i in range(n))
    return torch.tensor([int.from_bytes(d, "big") >> 1 for d in digests], dtype=torch.int64)


def first_occurrences(keys: Int[Tensor, " n"], seen: set[int] | frozenset[int] = frozenset()) -> Int[Tensor, " k"]:
    """Positions of keys that are neither in ``seen`` nor earlier in ``keys``."""
    fresh: dict[int, int] = {}
    for position, key in enumerate(keys.tolist()):
        if key not in seen:
            fresh.setdefault(key, position)
    return torch.tensor(list(fresh.values()), dtype=torch.int64)


@dataclass(slots=True)
class RowBuffer:
    """Collects distinct inputs until it is full; the rows then stay the same for the whole run."""

    capacity: int
    max_bytes: int = MAX_BYTES
    batches: list[Batch] = field(default_factory=list)
    repeated: int = 0
    """Rows passed over because their input was there already."""
    _seen: set[int] = field(default_factory=set)
    _bytes: int = 0
    _since_fresh: int = 0
    _pending: tuple[Batch, Int[Tensor, " k"], int] | None = None

    @property
    def n(self) -> int:
        """Rows collected."""
        return len(self._seen)

    @property
    def full(self) -> bool:
        """Whether collecting is over: capacity or memory is reached, or a whole pass brought nothing new."""
        no_more = self.n > 0 and self._since_fresh >= max(self.n, 512)
        return self.n >= self.capacity or self._bytes >= self.max_bytes or no_more

    def add(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep a copy of the rows that are new."""
        self._pending = None
        if self.full:
            return
        keys = row_keys(args, kwargs)
        n = len(keys)
        if n == 0:
            return
        fresh = first_occurrences(keys, self._seen)
        self.repeated += n - len(fresh)
        self._since_fresh = 0 if len(fresh) else self._since_fresh + n
        if not len(fresh):
            return
        size = sum(t.numel() * t.element_size() for t in tensors_in((args, kwargs))) / n
        fits = max(int((self.max_bytes - self._bytes) / size), 0 if self.batches else 2)
        if fits < len(fresh):
            self._bytes = self.max_bytes
        fresh = fresh[: min(self.capacity - self.n, fits)]
        if not len(fresh):
            return
        batch = Batch(take_rows(args, fresh, n), take_rows(kwargs, fresh, n), keys[fresh])
        self.batches.append(batch)
        self._bytes += int(size * len(fresh))
        self._seen.update(batch.keys.tolist())
        self._pending = (batch, fresh, n)

    def label(self, y: Tensor | None) -> None:
        """Give the rows of the last :meth:`add` their targets, aligned with that whole batch; None takes them back."""
        if self._pending is None:
            return
        batch, fresh, n = self._pending
        if y is None:
            batch.y = None
        elif y.ndim and len(y) == n:
            batch.y = take_rows(y, fresh, n)

    def measurable(self) -> list[Batch]:
        """The batches that have targets, or all when none has: a forward without a loss must not void I(T;Y)."""
        return [b for b in self.batches if b.y is not None] or self.batches


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
    if sum(map(len, parts)) != n:
        return "it ran in some forward passes only"
    widths = sorted({p.shape[1] for p in parts})
    if len(widths) > 1:
        return f"its rows have {widths[0]} to {widths[-1]} features in different passes; view= can make them equal"
    return torch.cat(list(parts))


def input_matrix(batches: Sequence[Batch]) -> Float[Tensor, "n dx"] | None:
    """The first floating input of each row, flattened, at most ``MAX_FEATURES`` wide; None when shapes differ."""
    floats = [_first_floats(b) for b in batches]
    x = join([None if f is None else f.reshape(len(f), -1).float() for f in floats])
    return x if x is None or x.shape[1] <= MAX_FEATURES else orthonormal_buckets(x, MAX_FEATURES)


def _first_floats(batch: Batch) -> Tensor | None:
    aligned = (t for t in tensors_in((batch.args, batch.kwargs)) if t.ndim and len(t) == batch.n)
    return next((t for t in aligned if t.is_floating_point()), None)

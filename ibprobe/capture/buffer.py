"""Inputs that are kept while training goes on: distinct ones, until there are enough."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ibprobe.capture.rows import Batch, first_occurrences, row_keys, take_rows, tensors_in

if TYPE_CHECKING:
    from jaxtyping import Int

log = logging.getLogger("ibprobe")

MAX_BYTES = 256 * 2**20
"""Memory that collected inputs may take; beyond it fewer rows are kept."""


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
    _said: bool = False

    @property
    def n(self) -> int:
        """Rows collected."""
        return len(self._seen)

    @property
    def full(self) -> bool:
        """Whether collecting is over: capacity or memory is reached, or a whole pass brought nothing new."""
        no_more = self.n > 0 and self._since_fresh >= max(self.n, 512)
        return self.n >= self.capacity or self._bytes >= self.max_bytes or no_more

    @property
    def awaits_labels(self) -> bool:
        """Whether the last :meth:`add` kept rows."""
        return self._pending is not None

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
        fits = max(int((self.max_bytes - self._bytes) / max(size, 1)), 0 if self.batches else 2)
        if fits < len(fresh):
            self._bytes = self.max_bytes
        fresh = fresh[: min(self.capacity - self.n, fits)]
        if len(fresh):
            batch = Batch(take_rows(args, fresh, n), take_rows(kwargs, fresh, n), keys[fresh])
            self.batches.append(batch)
            self._bytes += batch.bytes  # an input without rows, such as a mask for all, is copied whole
            self._seen.update(batch.keys.tolist())
            self._pending = (batch, fresh, n)
        self._say_if_cut()

    def label(self, y: Tensor | None) -> None:
        """Give the rows of the last :meth:`add` their targets, aligned with that whole batch.

        None takes them back, and so does what is not aligned: earlier ones would stand for it.
        """
        if self._pending is None:
            return
        batch, fresh, n = self._pending
        self._bytes -= batch.bytes
        batch.y = take_rows(y, fresh, n) if y is not None and y.ndim and len(y) == n else None
        self._bytes += batch.bytes
        self._say_if_cut()

    @property
    def cut(self) -> bool:
        """Whether memory ended the collecting."""
        return self._bytes >= self.max_bytes and self.n < self.capacity

    def _say_if_cut(self) -> None:
        if self.cut and not self._said:
            self._said = True
            log.warning(
                "ibprobe: expected %d rows, but %d with their labels fill the %d MiB that may be kept, and are "
                "measured: crop or shrink the inputs, or pass rows=%d",
                self.capacity, self.n, self.max_bytes >> 20, self.n,
            )  # fmt: skip

    def measurable(self) -> list[Batch]:
        """The batches that have targets, or all when none has: a forward without a loss must not void I(T;Y)."""
        return [b for b in self.batches if b.y is not None] or self.batches

    def state_dict(self) -> tuple[dict[str, Any] | None, str]:
        """What was collected, in plain containers; or None and why not."""
        odd = next((kind for b in self.batches for kind in _odd((b.args, b.kwargs))), "")
        if odd:
            return None, f"inputs hold a {odd}; expected tensors, numbers and text in tuples, lists and dictionaries"
        batches = [{"args": b.args, "kwargs": b.kwargs, "keys": b.keys, "y": b.y} for b in self.batches]
        counts = {"repeated": self.repeated, "bytes": self._bytes, "since_fresh": self._since_fresh}
        return {"batches": batches, **counts}, ""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.batches = [Batch(tuple(b["args"]), dict(b["kwargs"]), b["keys"], b["y"]) for b in state["batches"]]
        self.repeated, self._bytes = state["repeated"], state["bytes"]
        self._since_fresh, self._pending = state["since_fresh"], None
        self._seen = {key for b in self.batches for key in b.keys.tolist()}


def _odd(tree: Any) -> Iterator[str]:
    """Types in a structure that a file of weights only cannot hold, or would give back as another."""
    if type(tree) in (tuple, list):
        for item in tree:
            yield from _odd(item)
    elif type(tree) is dict:
        yield from _odd([*tree.keys(), *tree.values()])
    elif type(tree) not in (Tensor, str, int, float, bool, type(None)) or (type(tree) is Tensor and tree.is_nested):
        yield type(tree).__name__

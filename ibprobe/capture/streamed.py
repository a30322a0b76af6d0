"""What one training forward after another gave: copies of rows, and how they become one set of aligned rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ibprobe.capture.rows import (
    Batch,
    LayerRows,
    RowSet,
    Sighting,
    first_occurrences,
    input_matrix,
    join,
    row_keys,
    stacked,
)
from ibprobe.capture.views import described, token_mask


@dataclass(slots=True)
class Copied:
    """Rows of one call of a layer."""

    rows: Tensor
    view: str
    drew: bool
    """Whether random numbers were drawn before it in the same forward, or its rows depend on each other."""
    shape: tuple[int, ...]
    """Of the output, before the view."""
    dtype: str


class Pass:
    """One training forward, of which the first rows are kept.

    Args:
        args: of the root call.
        kwargs: of the root call.
        room: rows to keep at most.
        step: optimizer steps taken before it.
        randomness: state of the generators when it began.
        coupled: whether batch statistics make rows depend on each other.
    """

    def __init__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, room: int, step: int, randomness: Any, coupled: bool
    ) -> None:
        keys = row_keys(args, kwargs)
        self.n, self.mask, self.step = len(keys), token_mask(kwargs), step
        self.randomness, self.coupled = randomness, coupled
        self.layers: dict[str, Copied] = {}
        self.y: Tensor | None = None
        self.keys = keys[:room]
        x = input_matrix([Batch(args, kwargs, keys)])
        self.x = None if x is None else x.detach()[:room].clone()

    @property
    def bytes_held(self) -> int:
        """Memory of all rows."""
        held = [each.rows for each in self.layers.values()] + [t for t in (self.x, self.y) if t is not None]
        return sum(t.numel() * t.element_size() for t in held)

    def add(self, name: str, rows: Tensor, view: str, drew: bool, output: Any, room: int) -> None:
        """Keep a copy of a layer's rows, and fewer rows of all layers where ``room`` bytes do not hold them."""
        size = rows[:1].numel() * rows.element_size()
        while len(self.keys) > 2 and self.bytes_held + len(self.keys) * size > room:
            self._keep(max(len(self.keys) // 2, 2))
        self.layers[name] = Copied(rows[: len(self.keys)].clone(), view, drew, *described(output))

    def _keep(self, k: int) -> None:
        self.keys = self.keys[:k]
        self.x = None if self.x is None else self.x[:k].clone()
        for each in self.layers.values():
            each.rows = each.rows[:k].clone()

    def state_dict(self) -> dict[str, Any]:
        """The pass as plain types and tensors."""
        layers = [(name, c.rows, c.view, c.drew, list(c.shape), c.dtype) for name, c in self.layers.items()]
        return {"keys": self.keys, "step": self.step, "n": self.n, "x": self.x, "y": self.y, "layers": layers}

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> Pass:
        """A pass that was saved when it was over."""
        self = cls.__new__(cls)
        self.keys, self.step, self.n, self.x, self.y = (state[k] for k in ("keys", "step", "n", "x", "y"))
        self.layers = {
            name: Copied(rows, view, drew, tuple(shape), dtype)
            for name, rows, view, drew, shape, dtype in state["layers"]
        }
        self.mask, self.randomness, self.coupled = None, None, False
        return self

    def label(self, y: Tensor | None) -> None:
        """Keep the labels of the rows; None takes them back."""
        if y is None:
            self.y = None
        elif y.ndim and len(y) == self.n:
            self.y = y.detach()[: len(self.keys)].clone()


def gathered(
    passes: Sequence[Pass], asked: Mapping[str, str], failed: Mapping[str, str], calls: Mapping[str, int], rows: int
) -> RowSet:
    """All passes as one set of distinct rows.

    Args:
        passes: at least one.
        asked: the layers that were asked for, each with the likely reason if it did not run.
        failed: calls of layers whose rows could not be copied, with the reason.
        calls: how often each layer ran in one forward.
        rows: at most this many.
    """
    keys = torch.cat([p.keys for p in passes])
    distinct = first_occurrences(keys)
    kept, repeated = distinct[:rows], len(keys) - len(distinct)
    steps = torch.cat([torch.full_like(p.keys, p.step) for p in passes])[kept]
    found: list[LayerRows] = []
    why = dict(failed)
    seen = dict.fromkeys(name for p in passes for name in p.layers)
    why |= {name: f"its forward did not run: {reason}" for name, reason in asked.items() if name not in seen | why}
    for name in seen:
        layer = _joined(name, passes, len(keys), kept, steps, repeated)
        if isinstance(layer, LayerRows):
            found.append(layer)
        else:
            why.setdefault(name, layer)
    y, x = (_kept(parts, kept) for parts in ([p.y for p in passes], [p.x for p in passes]))
    sightings = tuple(_sighting(name, passes, calls, len(kept), why.get(name, "")) for name in seen | why)
    span = (int(steps.min()), int(steps.max()))
    return RowSet(tuple(found), y, x, keys[kept], "train", "stream", span, sightings)


def _joined(name: str, passes: Sequence[Pass], n: int, kept: Tensor, steps: Tensor, repeated: int) -> LayerRows | str:
    """Rows of one layer from all passes, or why there are none."""
    found = [p.layers[name] for p in passes if name in p.layers]
    t = stacked([each.rows for each in found], n)
    if isinstance(t, str):
        return t
    stochastic = any(each.drew for each in found)
    return LayerRows(t[kept.to(t.device)], name, found[0].view, stochastic, steps.to(t.device), repeated)


def _sighting(name: str, passes: Sequence[Pass], calls: Mapping[str, int], rows: int, why: str) -> Sighting:
    ran = calls.get(name.partition("#")[0], 0)
    last = next((p.layers[name] for p in reversed(passes) if name in p.layers), None)
    if last is None:
        return Sighting(name, ran, why=why)
    return Sighting(name, ran, last.shape, last.dtype, last.view, 0 if why else rows, why)


def _kept(parts: Sequence[Tensor | None], kept: Tensor) -> Tensor | None:
    whole = join(parts)
    return None if whole is None else whole[kept.to(whole.device)]

"""Rows from the training forwards themselves, for models that cannot be run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ibprobe.capture.randomness import Randomness
from ibprobe.capture.replay import couples_rows
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
from ibprobe.capture.taps import CallCounter, install, remove
from ibprobe.capture.views import View, layouts, to_rows, token_mask
from ibprobe.errors import BadInput, NoRows

_END = ""
"""The tap on what is called, which runs last; no layer has this name."""


class StreamSource:
    """Copies rows out of training forwards, from the moment they are wanted until there are enough.

    Args:
        model: unwrapped model.
        layers: modules to record, by name.
        rows: distinct inputs wanted.
        view: how outputs become rows.
        called: what the training loop calls, if the model is wrapped: it ends a pass.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        *,
        rows: int,
        view: View,
        called: nn.Module | None = None,
    ) -> None:
        self._model, self._layers, self._rows, self._view = model, layers, rows, view
        self._called = model if called is None else called
        self._axes = layouts(model, layers)
        self._randomness = Randomness(model.modules(), next((p.device for p in model.parameters()), None))
        self._handles: list[RemovableHandle] = []
        self._calls = CallCounter()
        self._clear()

    def _clear(self) -> None:
        self._armed = False
        self._passes: list[_Pass] = []
        self._failed: dict[str, str] = {}
        self._open: _Pass | None = None
        self._last: _Pass | None = None

    def open(self) -> None:
        """Put a tap on each layer, and one on what is called."""
        self._handles = install({**self._layers, _END: self._called}, self)

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """Open a pass; the taps fill it."""
        self._open = self._last = None
        if not self._armed or self._gathered() >= self._rows:
            return
        self._calls.restart()
        keys = row_keys(args, kwargs)
        if len(keys):
            self._open = self._last = _Pass(args, kwargs, keys, step, self._randomness.state())
            self._open.coupled = couples_rows(self._model)

    def receive(self, layer: str, kwargs: Mapping[str, Any], output: Any) -> None:
        """Copy a layer's rows of the open pass. This runs inside the model's forward and raises nothing."""
        into = self._open
        if into is None:
            return
        if layer == _END:  # an interrupted pass never gets here, and a forward in eval mode finds none open
            self._passes.append(into)
            self._open = None
            return
        name = self._calls.name(layer)
        drew = into.coupled or self._randomness.moved_since(into.randomness)
        try:
            with self._randomness.preserved() if callable(self._view) else nullcontext():
                own = token_mask(kwargs)
                mask, axes = into.mask if own is None else own, self._axes[layer]
                rows, view = to_rows(output, n=len(into.keys), mask=mask, view=self._view, layout=axes)
            into.layers[name] = (rows.clone(), view, drew)
        except BadInput as e:
            self._failed[name] = str(e)
        except Exception as e:
            self._failed[name] = f"its rows could not be copied: {type(e).__name__}: {e}"

    def see_labels(self, y: Tensor | None) -> None:
        """Keep the labels of the last pass."""
        if self._last is None:
            return
        if y is None:
            self._last.y = None
        elif y.ndim and len(y) == len(self._last.keys):
            self._last.y = y.detach().clone()

    def want(self) -> bool:
        """Start copying; ready once enough rows are there."""
        self._armed = True
        return self._gathered() >= self._rows

    def _gathered(self) -> int:
        return sum(len(p.keys) for p in self._passes)

    def take(self, step: int) -> list[RowSet]:
        """Hand out what was copied and stop copying."""
        passes, failed = self._passes, self._failed
        self._clear()
        if not passes:
            raise NoRows(
                "no rows were copied from training forwards yet; mode='stream' copies from steps that every= selects, "
                "and a model that was compiled before the probe was attached runs no hooks"
            )
        keys = torch.cat([p.keys for p in passes])
        distinct = first_occurrences(keys)
        kept, repeated = distinct[: self._rows], len(keys) - len(distinct)
        steps = torch.cat([torch.full_like(p.keys, p.step) for p in passes])[kept]
        found: list[LayerRows] = []
        silent = [f"{name}: {why}" for name, why in failed.items()]
        seen = dict.fromkeys(name for p in passes for name in p.layers)
        silent += [f"{name}: its forward did not run" for name in self._layers if name not in seen | failed]
        for name in seen:
            rows = _joined(name, passes, len(keys), kept, steps, repeated)
            if isinstance(rows, LayerRows):
                found.append(rows)
            elif name not in failed:
                silent.append(f"{name}: {rows}")
        y, x = (_kept(parts, kept) for parts in ([p.y for p in passes], [p.x for p in passes]))
        span = (int(steps.min()), int(steps.max()))
        gone = tuple(Sighting(name, why=why) for name, _, why in (text.partition(": ") for text in silent))
        return [RowSet(tuple(found), y, x, keys[kept], "train", "stream", span, gone)]

    def close(self) -> None:
        """Remove the taps."""
        remove(self._handles)
        self._clear()


class _Pass:
    """Rows of one training forward."""

    def __init__(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], keys: Tensor, step: int, randomness: list[Any]
    ) -> None:
        self.keys, self.step, self.mask = keys, step, token_mask(kwargs)
        x = input_matrix([Batch(args, kwargs, keys)])
        self.x = None if x is None else x.detach().clone()
        self.randomness, self.coupled = randomness, False
        self.y: Tensor | None = None
        self.layers: dict[str, tuple[Tensor, str, bool]] = {}


def _joined(name: str, passes: Sequence[_Pass], n: int, kept: Tensor, steps: Tensor, repeated: int) -> LayerRows | str:
    """Rows of one layer from all passes, or why there are none."""
    found = [p.layers[name] for p in passes if name in p.layers]
    t = stacked([rows for rows, _, _ in found], n)
    if isinstance(t, str):
        return t
    stochastic = any(drew for _, _, drew in found)
    return LayerRows(t[kept.to(t.device)], name, found[0][1], stochastic, steps.to(t.device), repeated)


def _kept(parts: Sequence[Tensor | None], kept: Tensor) -> Tensor | None:
    whole = join(parts)
    return None if whole is None else whole[kept.to(whole.device)]

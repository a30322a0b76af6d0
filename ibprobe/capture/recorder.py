"""Receives the layers of one forward pass after another, into memory that holds the rows of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from ibprobe.capture.encoders import VIEW, moment_rows
from ibprobe.capture.layers import why_not_run
from ibprobe.capture.layouts import Layout
from ibprobe.capture.rows import Batch, Sighting, why_no_matrix
from ibprobe.capture.taps import CallCounter
from ibprobe.capture.views import MAX_FEATURES, Views, described, to_rows, token_mask, view_of
from ibprobe.errors import BadInput


class Recorder:
    """Copies rows of layers, each call of a module for itself.

    Args:
        total: rows of all passes.
        view: how outputs become rows.
        axes: the layout of each layer.
    """

    def __init__(self, total: int, view: Views, axes: Mapping[str, Layout]) -> None:
        self.seen: dict[str, Seen] = {}
        self._total, self._view, self._axes = total, view, axes
        self._calls = CallCounter()
        self._start = self._n = 0
        self._mask: Tensor | None = None
        self._pick: Tensor | None = None
        self._failed: Exception | None = None

    def begin(self, batch: Batch) -> None:
        """A forward pass begins."""
        self._calls.restart()
        self._start += self._n
        self._n, self._mask, self._pick = batch.n, token_mask(batch.kwargs), batch.pick

    def receive(self, layer: str, kwargs: Mapping[str, Any], output: Any) -> None:
        """Copy a layer's rows. It raises nothing, for other processes may be in the midst of the same forward pass."""
        try:
            self._copy(layer, kwargs, output)
        except Exception as e:
            self._failed = self._failed or e

    def end(self) -> None:
        """A forward pass is over: what failed in it is raised."""
        if self._failed is not None:
            raise self._failed

    def _copy(self, layer: str, kwargs: Mapping[str, Any], output: Any) -> None:
        seen = self.seen.setdefault(self._calls.name(layer), Seen(layer))
        own = token_mask(kwargs)
        mask = self._mask if own is None else own
        seen.look_at(output)
        try:
            view, layout = view_of(self._view, layer), self._axes[layer]
            moments = None if callable(view) else moment_rows(output, self._n, MAX_FEATURES)
            if moments is None:
                rows, seen.view = to_rows(output, n=self._n, mask=mask, view=view, layout=layout, pick=self._pick)
            else:
                rows, seen.view = moments, VIEW
        except BadInput as e:
            seen.why = str(e)
        else:
            seen.keep(rows, self._start, self._total)

    @property
    def rows(self) -> dict[str, Tensor]:
        """The layers that have a row for each input."""
        return {n: s.t for n, s in self.seen.items() if s.t is not None and not s.missing(self._total)}

    @property
    def bytes_a_row(self) -> int:
        """Of all layers together."""
        return sum(t.shape[1] * t.element_size() for t in self.rows.values())

    def sightings(self, layers: Mapping[str, nn.Module]) -> tuple[Sighting, ...]:
        """What was seen of each call of the layers, and of those that were not called."""
        calls = [seen.layer for seen in self.seen.values()]
        found = [s.sighting(name, calls.count(s.layer), self._total) for name, s in self.seen.items()]
        never = (name for name in layers if name not in calls)
        return (*found, *(Sighting(n, why=f"its forward did not run: {why_not_run(layers[n])}") for n in never))


@dataclass(slots=True)
class Seen:
    """One call of a module, in all passes."""

    layer: str
    t: Tensor | None = None
    rows: int = 0
    view: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    why: str = ""
    widths: set[int] = field(default_factory=set)

    def look_at(self, output: Any) -> None:
        """Note what came, before the view."""
        self.shape, self.dtype = described(output)

    def keep(self, rows: Tensor, start: int, total: int) -> None:
        """Copy rows to their place."""
        n, width = rows.shape
        self.widths.add(width)
        self.rows += n
        if self.t is None:
            self.t = rows.new_empty(total, width)
        if width == self.t.shape[1]:
            self.t[start : start + n] = rows

    def missing(self, total: int) -> str:
        """Why there is no row for each input; empty when there is."""
        return self.why or why_no_matrix(self.rows, total, self.widths)

    def sighting(self, name: str, calls: int, total: int) -> Sighting:
        """As it is kept with the rows."""
        why = self.missing(total)
        rows = 0 if why else self.rows
        return Sighting(name, calls, self.shape, self.dtype, self.view, rows, why)

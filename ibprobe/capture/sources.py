"""Where a running training gets its rows from, and the replay of kept inputs, which is the usual answer."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ibprobe.capture.buffer import RowBuffer
from ibprobe.capture.company import Alone, Company
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.lengths import bucketed
from ibprobe.capture.passes import Draws
from ibprobe.capture.replay import Known, replay
from ibprobe.capture.rows import ROWS_BYTES, Batch, RowSet, Sighting
from ibprobe.capture.views import Views
from ibprobe.errors import NoRows


@runtime_checkable
class Source(Protocol):
    """Gathers rows while training goes on and hands out aligned ones."""

    sightings: tuple[Sighting, ...]
    """What was seen of each layer when rows were taken last."""

    def open(self) -> None:
        """Register what hooks are needed."""

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """A training forward is about to run."""

    def gathering(self) -> bool:
        """Whether rows of the coming forwards are wanted."""

    def wants_labels(self) -> bool:
        """Whether the targets of the forward that was just seen are of use."""

    def see_labels(self, y: Tensor | None) -> None:
        """Targets of the last forward, in its row order; None takes them back."""

    def want(self) -> bool:
        """Rows are wanted now; whether they are there already."""

    def take(self, step: int) -> list[RowSet]:
        """The rows, one set a split; fewer than asked for when forced early.

        Raises:
            NoRows: there are none.
        """

    def close(self) -> None:
        """Remove every hook."""

    def bytes_held(self) -> int:
        """Memory of the inputs or rows that are kept."""

    def copying(self) -> float:
        """Seconds that copying within training's forwards took since the last call."""

    def state_dict(self) -> dict[str, Any]:
        """What is kept, in plain containers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""


class ReplaySource:
    """Keeps inputs (or takes a probe set) and runs them through the model when rows are wanted.

    It does not keep the model alive; a layer that is the model itself is held by it only.

    Raises:
        BadInput: the probe set is no data.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        *,
        rows: int,
        view: Views,
        probe_set: Any = None,
        all_there_is: bool = False,
        draws: Draws = Draws(),  # noqa: B008 (it is frozen)
        company: Company | None = None,
    ) -> None:
        self._root, self._view, self._draws = weakref.ref(model), view, draws
        self._company = company or Alone()
        self._layers = {name: None if m is model else m for name, m in layers.items()}
        self._buffer, self._known = RowBuffer(rows), Known()
        self.sightings: tuple[Sighting, ...] = ()
        self._splits: dict[str, tuple[list[Batch], int]] = {}
        if probe_set is not None:
            named = probe_set if _is_splits(probe_set) else {"probe_set": probe_set}
            self._splits = {
                split: distinct_batches(data, rows, all_there_is=all_there_is) for split, data in named.items()
            }

    @property
    def alone(self) -> bool:
        """Whether no other process is needed for a replay."""
        return isinstance(self._company, Alone)

    def open(self) -> None:
        """Nothing is registered between replays."""

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """Keep the inputs that are new until there are enough."""
        self._known.conditions.see(args, kwargs)
        if not self._splits:
            self._buffer.add(args, kwargs)

    def gathering(self) -> bool:
        """Until there are enough, and the last ones may have had their labels."""
        return not self._splits and (not self._buffer.full or self._buffer.awaits_labels)

    def wants_labels(self) -> bool:
        """Whether rows of the last forward were kept."""
        return self._buffer.awaits_labels

    def see_labels(self, y: Tensor | None) -> None:
        """Keep the labels of the rows that were just kept."""
        if not self._splits:
            self._buffer.label(y)

    def want(self) -> bool:
        """Ready once the buffer is full, or at once with a probe set."""
        model = self._root()
        return (bool(self._splits) or self._buffer.full) and model is not None and not _is_lazy(model)

    def take(self, step: int) -> list[RowSet]:
        """Replay every split through the model as it is now."""
        with self._company.gathered():
            taken = self._taken(step)
        self.sightings = tuple(seen for rows in taken for seen in rows.sightings)
        return taken

    def _taken(self, step: int) -> list[RowSet]:
        model, splits = self._root(), self._splits or {"train": (self._buffer.measurable(), 0)}
        if model is None:
            raise NoRows("the model is gone, so there is nothing to measure: keep a reference to it while it is probed")
        if _is_lazy(model) or not any(batches for batches, _ in splits.values()):
            raise NoRows(
                "no inputs with rows were seen: the model was not called in training mode; call it, or pass "
                "probe_set=(x, y)"
            )
        return [self._replay(model, step, split, len(splits)) for split in splits]

    def _replay(self, model: nn.Module, step: int, split: str, splits: int) -> RowSet:
        batches, gone = self._splits.get(split) or (self._buffer.measurable(), 0)
        rows = replay(
            model,
            {name: model if m is None else m for name, m in self._layers.items()},
            batches,
            view=self._view,
            split=split,
            mode="replay",
            step=step,
            dropped=gone,
            draws=self._draws,
            known=self._known,
            room=ROWS_BYTES // splits,
            company=self._company,
        )
        return replace(rows, clustered=not self._splits and bucketed(batches))

    def copying(self) -> float:
        """Nothing is copied there."""
        return 0.0

    def bytes_held(self) -> int:
        """Memory that the inputs take which are kept for replays."""
        kept = (batches for batches, _ in self._splits.values()) if self._splits else (self._buffer.batches,)
        return sum(batch.bytes for batches in kept for batch in batches)

    def state_dict(self) -> dict[str, Any]:
        """The inputs that were collected and what is known of training's forwards, in plain containers.

        Inputs of a type that cannot be kept so are left out, which ``inputs_left_out`` says; they are collected anew.
        """
        inputs, why = (None, "a probe set is given") if self._splits else self._buffer.state_dict()
        return {"inputs": inputs, "inputs_left_out": why, "conditions": self._known.conditions.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave: the same rows are measured again."""
        self._known.conditions.load_state_dict(state["conditions"])
        if state["inputs"] is not None and not self._splits:
            self._buffer.load_state_dict(state["inputs"])

    def close(self) -> None:
        """Nothing is registered between replays."""


def _is_splits(probe_set: Any) -> bool:
    return isinstance(probe_set, Mapping) and bool(probe_set) and set(probe_set) <= {"train", "held_out"}


def _is_lazy(model: nn.Module) -> bool:
    """Whether a first forward has yet to create parameters; a replay would draw them in training's stead."""
    kinds = nn.UninitializedParameter | nn.UninitializedBuffer
    return any(isinstance(p, kinds) for p in (*model.parameters(), *model.buffers()))

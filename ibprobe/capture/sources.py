"""Where a running training gets its rows from, and the replay of kept inputs, which is the usual answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from ibprobe.capture.data import distinct_batches
from ibprobe.capture.passes import Draws
from ibprobe.capture.replay import replay
from ibprobe.capture.rows import Batch, RowBuffer, RowSet
from ibprobe.capture.views import View
from ibprobe.errors import NoRows


@runtime_checkable
class Source(Protocol):
    """Gathers rows while training goes on and hands out aligned ones."""

    def open(self) -> None:
        """Register what hooks are needed."""

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """A training forward is about to run."""

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


class ReplaySource:
    """Keeps inputs (or takes a probe set) and runs them through the model when rows are wanted.

    Raises:
        BadInput: the probe set is no data.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        *,
        rows: int,
        view: View,
        probe_set: Any = None,
        all_there_is: bool = False,
        draws: Draws = Draws(),  # noqa: B008 (it is frozen)
    ) -> None:
        self._model, self._layers, self._view, self._draws = model, layers, view, draws
        self._buffer = RowBuffer(rows)
        self._splits: dict[str, tuple[list[Batch], int]] = {}
        if probe_set is not None:
            named = probe_set if _is_splits(probe_set) else {"probe_set": probe_set}
            self._splits = {
                split: distinct_batches(data, rows, all_there_is=all_there_is) for split, data in named.items()
            }

    sightings: Any = ()

    def bytes_held(self) -> int:
        """Provisional."""
        return 0

    def state_dict(self) -> dict[str, Any]:
        """Provisional."""
        return {}

    def load_state_dict(self, state: Any) -> None:
        """Provisional."""

    def open(self) -> None:
        """Nothing is registered between replays."""

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """Keep the inputs that are new until there are enough."""
        if not self._splits:
            self._buffer.add(args, kwargs)

    def see_labels(self, y: Tensor | None) -> None:
        """Keep the labels of the rows that were just kept."""
        if not self._splits:
            self._buffer.label(y)

    def want(self) -> bool:
        """Ready once the buffer is full, or at once with a probe set."""
        return (bool(self._splits) or self._buffer.full) and not _is_lazy(self._model)

    def take(self, step: int) -> list[RowSet]:
        """Replay every split through the model as it is now."""
        splits = self._splits or {"train": (self._buffer.measurable(), 0)}
        if _is_lazy(self._model) or not any(batches for batches, _ in splits.values()):
            raise NoRows(
                "no inputs with rows were seen: the model was not called in training mode; call it, or pass "
                "probe_set=(x, y)"
            )
        return [
            replay(
                self._model,
                self._layers,
                batches,
                view=self._view,
                split=split,
                mode="replay",
                step=step,
                dropped=gone,
                draws=self._draws,
            )
            for split, (batches, gone) in splits.items()
        ]

    def close(self) -> None:
        """Nothing is registered between replays."""


def _is_splits(probe_set: Any) -> bool:
    return isinstance(probe_set, Mapping) and bool(probe_set) and set(probe_set) <= {"train", "held_out"}


def _is_lazy(model: nn.Module) -> bool:
    """Whether a first forward has yet to create parameters; a replay would draw them in training's stead."""
    kinds = nn.UninitializedParameter | nn.UninitializedBuffer
    return any(isinstance(p, kinds) for p in (*model.parameters(), *model.buffers()))

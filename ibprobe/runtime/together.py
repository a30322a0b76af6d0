"""Replays of a model that no process can run alone: the first one says what is run, all run it."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn

from ibprobe.capture.randomness import Randomness
from ibprobe.capture.replay import device_of
from ibprobe.capture.rows import RowSet, Sighting, map_parts
from ibprobe.capture.untouched import untouched
from ibprobe.errors import ReplayFailed
from ibprobe.runtime.board import PATIENCE, Board
from ibprobe.runtime.ranks import Ranks


class Conducting:
    """The first process's part in a replay: it waits until the others are there, and sends each pass's inputs ahead.

    Raises:
        ReplayFailed: another process has left, or does not come.
    """

    def __init__(self, board: Board, ranks: Ranks) -> None:
        self._board, self._others = board, range(1, ranks.size)
        self._replays = 0

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """All are there, and are let go at the end, whatever happens in between."""
        self._replays += 1
        for rank in self._others:
            if self._board.read(f"here/{self._replays}/{rank}", PATIENCE, [rank]) is None:
                how = "has left the run" if self._board.left([rank]) else f"did not come for {PATIENCE:g} s"
                raise ReplayFailed(
                    f"a sharded model is replayed by all processes together, and rank {rank} {how}: attach, detach and "
                    "measure() on every rank"
                )
        self._board.put(f"begin/{self._replays}", "")
        try:
            yield
        finally:
            _sent(None)

    def forward(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """One pass of all processes, on the same inputs."""
        _sent(map_parts(lambda t: t.cpu(), (args, dict(kwargs))))
        model(*args, **kwargs)


def _sent(what: Any) -> Any:
    """What the first process sends to all."""
    carried = [what]
    torch.distributed.broadcast_object_list(carried, src=0)
    return carried[0]


class FollowingSource:
    """Another process's part: it has no rows of its own and runs what the first one says.

    Args:
        model: unwrapped, held weakly.
        board: where the first process says that it begins.
        ranks: this process.
    """

    def __init__(self, model: nn.Module, board: Board, ranks: Ranks) -> None:
        self._model, self._board, self._ranks = weakref.ref(model), board, ranks
        self._replays = 0
        self.sightings: tuple[Sighting, ...] = ()

    def take(self, step: int) -> list[RowSet]:
        """Run passes until the first process has had enough.

        Raises:
            ReplayFailed: it does not begin.
        """
        self._replays += 1
        model = self._model()
        if model is None or self._board.left([0]):
            return []
        self._board.put(f"here/{self._replays}/{self._ranks.rank}", "")
        if self._board.read(f"begin/{self._replays}", PATIENCE, [0]) is None:
            if self._board.left([0]):
                return []
            raise ReplayFailed(f"rank 0 did not come to a replay for {PATIENCE:g} s")
        device = device_of(model)
        with Randomness(model.modules(), device).preserved(), untouched(model):
            while (inputs := _sent(None)) is not None:
                args, kwargs = map_parts(lambda t: t.to(device), inputs)
                with suppress(Exception):  # the first process has the same, and says so
                    model(*args, **kwargs)
        return []

    def want(self) -> bool:
        """The first process says when."""
        return True

    def open(self) -> None:
        """Nothing is hooked."""

    def close(self) -> None:
        """Nothing is hooked."""

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """Nothing is kept."""

    def see_labels(self, y: Tensor | None) -> None:
        """Nothing is kept."""

    def gathering(self) -> bool:
        """Never."""
        return False

    def wants_labels(self) -> bool:
        """Never."""
        return False

    def bytes_held(self) -> int:
        """Nothing."""
        return 0

    def copying(self) -> float:
        """Nothing."""
        return 0.0

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the first process has it."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The first process takes it up."""

"""Who says whether a step that is due is measured: each process for itself, or the first one for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from ibprobe.runtime.board import Board


@runtime_checkable
class Pace(Protocol):
    """Decides at each due step."""

    at_once: bool
    """Whether a snapshot is taken at its due step or not at all, for others would wait for it."""

    def agreed(self, step: int, wanted: Callable[[], bool]) -> bool:
        """Whether a snapshot is to be taken.

        Args:
            step: a due one.
            wanted: what this process would decide; asked only where it counts.
        """


class Own:
    """This process decides."""

    at_once = False

    def agreed(self, step: int, wanted: Callable[[], bool]) -> bool:
        """As it wants."""
        return wanted()


class Leading:
    """This process decides, and tells the others.

    Args:
        board: where it says so.
        at_once: see :class:`Pace`.
    """

    def __init__(self, board: Board, *, at_once: bool) -> None:
        self._board, self.at_once = board, at_once

    def agreed(self, step: int, wanted: Callable[[], bool]) -> bool:
        """As it wants."""
        go = wanted()
        self._board.put(f"step/{step}", "go" if go else "skip")
        return go


class Heeding:
    """The first process decides.

    Args:
        board: where it says so.
        patience: seconds to wait for its word; afterwards it is not asked any more.
        at_once: see :class:`Pace`.
    """

    def __init__(self, board: Board, patience: float, *, at_once: bool) -> None:
        self._board, self._patience, self.at_once = board, patience, at_once
        self._over = False

    def agreed(self, step: int, wanted: Callable[[], bool]) -> bool:
        """As the first process says."""
        word = None if self._over else self._board.read(f"step/{step}", self._patience, [0])
        self._over = word is None
        return word == "go"

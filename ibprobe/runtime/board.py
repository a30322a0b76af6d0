"""A notice board: what processes of a group tell each other without taking part in a collective operation."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from ibprobe.runtime.ranks import Ranks

PATIENCE = 300.0
"""Seconds that a process waits for what another one has to say, before it goes on without."""

_LOOK = 0.002
"""Seconds between two looks, at first."""


class Board:
    """Notices in the store of the process group, where each process may look when it likes.

    Every process makes its boards in the same order: the n-th of each is one and the same.

    Args:
        ranks: this process.
    """

    def __init__(self, ranks: Ranks) -> None:
        distributed: Any = torch.distributed
        # The store is how the group itself was formed; no public name leads to it.
        self._store = distributed.distributed_c10d._get_default_store()
        self._rank, self._times = ranks.rank, 0
        self._number = self._store.add(f"ibprobe/boards/{ranks.rank}", 1)

    def open(self) -> None:
        """Begin with an empty board, as often on each process."""
        self._times += 1

    def _place(self, name: str) -> str:
        return f"ibprobe/{self._number}/{self._times}/{name}"

    def put(self, name: str, text: str) -> None:
        """Leave a notice."""
        self._store.set(self._place(name), text)

    def read(self, name: str, patience: float, of: Sequence[int]) -> str | None:
        """Wait for a notice.

        Args:
            name: of the notice.
            patience: seconds to wait at most.
            of: the processes that are waited for.

        Returns:
            The notice; None when one of those processes has left, or the time is over.
        """
        end, pause = time.monotonic() + patience, _LOOK
        while not self._store.check([self._place(name)]):
            if time.monotonic() > end or self.left(of):
                return None
            time.sleep(pause)
            pause = min(2 * pause, 0.1)
        return str(self._store.get(self._place(name)).decode())

    def leave(self) -> None:
        """Say that this process takes part no more."""
        self.put(f"left/{self._rank}", "")

    def left(self, of: Sequence[int]) -> list[int]:
        """Those that take part no more."""
        return [rank for rank in of if self._store.check([self._place(f"left/{rank}")])]

"""Errands for a thread beside training, one after another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

log = logging.getLogger("ibprobe")


class Outbox:
    """Takes errands without waiting for them. After one that fails the rest is dropped.

    Args:
        name: whose errands they are.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._errands: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._failed: Exception | None = None
        # A daemon, for Python waits at its exit for any other thread, and a server may never answer.
        self._thread = threading.Thread(target=self._work, name=f"ibprobe-{name}", daemon=True)
        self._thread.start()

    def put(self, errand: Callable[[], object]) -> None:
        """Have something done; what an earlier errand raised is raised here."""
        self.check()
        self._errands.put(errand)

    def close(self, patience: float) -> None:
        """Wait until all is done, as long as patience lasts; what an errand raised is raised here.

        Args:
            patience: seconds.
        """
        self._errands.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            log.warning(
                "ibprobe: %s has not brought everything to its place within %g s, some may be missing there; the run "
                "directory has everything",
                self._name,
                patience,
            )
        self.check()

    def check(self) -> None:
        """Raise what an errand raised."""
        if self._failed is not None:
            raise self._failed

    def _work(self) -> None:
        while (errand := self._errands.get()) is not None:
            try:
                if self._failed is None:
                    errand()
            except Exception as e:
                self._failed = e

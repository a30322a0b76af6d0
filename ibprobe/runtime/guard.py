"""Our own code, run so that nothing it does can stop the training that called it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ibprobe.schedule import Budget


class Guard:
    """Runs our own code while it is armed, books what that takes, and hands on what fails.

    Args:
        budget: where time is booked.
        failed: called with what was raised.
    """

    def __init__(self, budget: Budget, failed: Callable[[Exception], None]) -> None:
        self._budget, self._failed = budget, failed
        self.armed = False

    def __call__(self, call: Callable[..., None], *args: Any) -> None:
        """Run it."""
        if not self.armed:
            return
        try:
            with self._budget.paying("all"):
                call(*args)
        except Exception as e:
            self._failed(e)

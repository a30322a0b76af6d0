"""Our own code, run so that nothing it does can stop the training that called it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakMethod

from ibprobe.schedule import Budget


class Guard:
    """Runs our own code while it is armed, books what that takes, and hands on what fails.

    Args:
        budget: where time is booked.
        failed: a method that is called with what was raised; its object is not kept alive.
    """

    def __init__(self, budget: Budget, failed: Callable[[Exception], None]) -> None:
        self._budget, self._failed = budget, WeakMethod(failed)
        self.armed = False

    def __call__(self, call: Callable[..., None], *args: Any) -> None:
        """Run it."""
        if not self.armed:
            return
        try:
            with self._budget.paying("all"):
                call(*args)
        except Exception as e:
            failed = self._failed()
            if failed is not None:
                failed(e)

"""The Trainer that runs a callback: its batches, its reporters, what it resumes from."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from os import PathLike
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK, WandbCallback

_REPORTERS = tuple(
    kind
    for kind in INTEGRATION_TO_CALLBACK.values()
    if issubclass(kind, TrainerCallback) and not issubclass(kind, WandbCallback)
)


class Calling:
    """The Trainer that is calling a callback, which is told everything but who calls it: the stack says that."""

    def __init__(self) -> None:
        self.trainer: Trainer | None = None
        self.resumed_from: Path | None = None
        """The checkpoint that it was told to resume from."""
        frame = sys._getframe()
        while frame.f_back is not None and not isinstance(frame.f_locals.get("self"), Trainer):
            frame = frame.f_back
        found = frame.f_locals.get("self")
        if isinstance(found, Trainer):
            self.trainer = found
            path = frame.f_locals.get("resume_from_checkpoint")
            self.resumed_from = Path(path) if isinstance(path, str | PathLike) else None


class SeenBatches:
    """Looks at every training batch before the Trainer takes labels out of it; nothing else changes.

    It stands in for ``training_step`` on the Trainer object itself.

    Args:
        trainer: whose batches are seen.
        after: called with each batch when its forward and backward pass are done.
        failed: called when one of them raises.
    """

    def __init__(self, trainer: Trainer, after: Callable[[dict[str, Any]], None], failed: Callable[[], None]) -> None:
        self._trainer, self._own = trainer, vars(trainer).get("training_step")
        self._step, self._after, self._failed = trainer.training_step, after, failed
        self._looks = True
        update_wrapper(self, self._step, updated=())
        vars(trainer)["training_step"] = self

    def __call__(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """A step of training."""
        seen = dict(inputs) if hasattr(inputs, "keys") else {}  # the Trainer pops labels from its own
        try:
            loss = self._step(model, inputs, *args, **kwargs)
        except BaseException:
            if self._looks:
                self._failed()
            raise
        if self._looks:
            self._after(seen)
        return loss

    def stop(self) -> None:
        """Put back what was there; under the wrapper of another callback, once that one stops as well."""
        self._looks, steps = False, vars(self._trainer)
        while isinstance(of := steps.get("training_step"), SeenBatches) and not of._looks:
            if of._own is None:
                del steps["training_step"]
            else:
                steps["training_step"] = of._own


def reporting(trainer: Trainer) -> Callable[[dict[str, float], int], None] | None:
    """A function that hands values to the Trainer's reporters, as its own log does; None when there are none.

    W&B is left out, for the probe logs there by itself. Values are not added to ``log_history``, which every
    checkpoint holds.
    """
    reporters = [c for c in trainer.callback_handler.callbacks if isinstance(c, _REPORTERS)]

    def log(values: dict[str, float], step: int) -> None:
        for reporter in reporters:
            with _at(trainer, step):
                reporter.on_log(trainer.args, trainer.state, trainer.control, logs=dict(values), model=trainer.model)

    return log if reporters else None


@contextmanager
def _at(trainer: Trainer, step: int) -> Iterator[None]:
    """Reporters read the step from the Trainer's state."""
    now = trainer.state.global_step
    trainer.state.global_step = step
    try:
        yield
    finally:
        trainer.state.global_step = now

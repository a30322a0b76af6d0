"""The Trainer's loggers as sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from ibprobe import WandbSink


def with_loggers(sinks: Any, loggers: Sequence[Logger]) -> list[Any]:
    """What is to be passed as ``sinks=``, with ``"auto"`` standing for the terminal and every logger.

    Args:
        sinks: what the user gave: ``"auto"``, a name, a sink, a function, or a list of them.
        loggers: the Trainer's. A W&B logger's run gets the probe's own sink, with an axis of its own; any other logger
            is given the headline values.
    """
    items = [sinks] if isinstance(sinks, str) or not isinstance(sinks, Sequence) else sinks
    return [sink for item in items for sink in (_auto(loggers) if isinstance(item, str) and item == "auto" else [item])]


def _auto(loggers: Sequence[Logger]) -> list[Any]:
    # Asking for its experiment begins a W&B logger's run if nobody did so yet.
    runs = [WandbSink(logger.experiment) for logger in loggers if isinstance(logger, WandbLogger)]
    others = [_values_to(logger) for logger in loggers if not isinstance(logger, WandbLogger)]
    return [*(["terminal", *runs] if runs else ["auto"]), *others]


def _values_to(logger: Logger) -> Callable[[dict[str, float], int], None]:
    def log(values: dict[str, float], step: int) -> None:
        logger.log_metrics(values, step=step)

    return log

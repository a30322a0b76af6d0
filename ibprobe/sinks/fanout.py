"""Sends records to every sink; a sink that fails is left out and training goes on."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

from ibprobe.errors import BadInput
from ibprobe.record.alerts import Alert
from ibprobe.record.records import Estimate, Event, Logged
from ibprobe.record.rundir import RunDir
from ibprobe.sinks.scalars import ScalarLog, ScalarSink

log = logging.getLogger("ibprobe")


@runtime_checkable
class Sink(Protocol):
    """A place that records go to. One that also has a method ``alert`` is given every :class:`ibprobe.Alert`."""

    def open(self, meta: Mapping[str, Any]) -> None:
        """The run begins; ``meta`` says what is measured and how."""

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """A snapshot is done."""

    def tick(self) -> None:
        """An optimizer step has passed."""

    def close(self, summary: str) -> None:
        """The run ends."""


SinkSpec = str | Sink | ScalarLog | Sequence[str | Sink | ScalarLog]


def make_sinks(spec: SinkSpec, named: Callable[[str], Sink]) -> list[Sink]:
    """Resolve ``sinks=``.

    Args:
        spec: ``"auto"`` (terminal, and W&B when a run is active), names that ``ibprobe plugins`` lists, sink objects,
            and functions ``(values, step)`` that bring headline values to another tracker; alone or in a list. The run
            directory is always written and is no part of it.
        named: makes the sink of a name.

    Raises:
        UnknownName: a name that is no sink.
        BadInput: a class instead of an instance, or something else that is no sink.
    """
    items = [spec] if isinstance(spec, str) or not isinstance(spec, Sequence) else spec
    names = [name for item in items for name in (_auto() if isinstance(item, str) and item == "auto" else [item])]
    return [named(item) if isinstance(item, str) else _checked(item) for item in names]


def _auto() -> list[str]:
    return ["terminal", *(["wandb"] if _wandb_is_running() else [])]


def _checked(item: Any) -> Sink:
    if isinstance(item, type):
        raise BadInput(f"sinks= takes instances: pass {item.__name__}(), not the class")
    missing = [m for m in ("open", "write", "tick", "close") if not callable(getattr(item, m, None))]
    if missing and callable(item):
        return ScalarSink(item)
    if missing:
        raise BadInput(f"{item!r} is no sink: it lacks the methods {', '.join(missing)}; for none, pass sinks=[]")
    sink: Sink = item
    return sink


def _wandb_is_running() -> bool:
    module = sys.modules.get("wandb")
    return getattr(module, "run", None) is not None


class Fanout:
    """All sinks of a run behind one face."""

    def __init__(self, run_dir: RunDir, sinks: Sequence[Sink]) -> None:
        self._run_dir = run_dir
        self.left_out: list[str] = []
        """Sinks that failed, each with the reason."""
        self._sinks: list[Sink] = [run_dir, *sinks]

    def open(self, meta: Mapping[str, Any]) -> None:
        """Open each."""
        self._each("open", meta)

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Write to each."""
        self._each("write", estimates, events)

    def tick(self) -> None:
        """Tell each that a step has passed."""
        self._each("tick")

    def alert(self, alert: Alert) -> None:
        """Tell those that want to know."""
        self._each("alert", alert)

    def log(self, entry: Logged) -> None:
        """Write what the user logged into the run directory."""
        self._try(self._run_dir, "log", entry)

    def close(self, summary: str) -> None:
        """Close each; the next call does nothing."""
        self._each("close", summary)
        self._sinks.clear()

    def _each(self, method: str, *args: Any) -> None:
        for sink in list(self._sinks):
            self._try(sink, method, *args)

    def _try(self, sink: Sink, method: str, *args: Any) -> None:
        """Call a method, if the sink has it and has not failed before."""
        if sink not in self._sinks or not hasattr(sink, method):
            return
        try:
            getattr(sink, method)(*args)
        except Exception as e:
            self._sinks.remove(sink)
            self.left_out.append(f"{type(sink).__name__} failed and is left out from here: {e}")
            log.warning("ibprobe: %s", self.left_out[-1])
            if method != "close":
                # A live display or an open file must not stay behind.
                with suppress(Exception):
                    sink.close("")

"""The sink for terminals, notebooks and logs: a table drawn in place, or a line a snapshot and the table at the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import rich
from rich.console import Console, RenderableType
from rich.text import Text

from ibprobe.record.records import Estimate, Event
from ibprobe.sinks.terminal.line import Lines
from ibprobe.sinks.terminal.screens import CellScreen, Screen, TerminalScreen
from ibprobe.sinks.terminal.table import picture
from ibprobe.sinks.terminal.values import Values, step_of

if TYPE_CHECKING:
    from ibprobe.record.alerts import Alert


class TerminalSink:
    """Shows the last value of every layer, how it came there, and what limits it.

    A live table stays at the foot of the terminal. Prints, warnings and logs scroll by above it; an unfinished line,
    such as a tqdm bar, stands below it, and so does a bar of rich (its version 14.1 or newer). Out of its reach is
    what does not pass through ``sys.stdout`` and ``sys.stderr``: C code, child processes, a bar that was made before
    the probe was attached; a line of them can go under, or leave one of the table behind. Of nested tqdm bars, every
    update becomes a line: leave ``live`` off for them.

    Args:
        live: redraw one table in place, on a terminal or in a notebook; otherwise print one line a snapshot and the
            table at the end. By default a notebook is live and a terminal is not: its foot belongs to the progress bar
            of the training loop. Where nothing can be redrawn, as in a log file, there are lines in any case.
        header: drawn above the live table, for example a ``rich.progress.Progress``.
        console: where to write; rich's own by default, so that what else is drawn with rich takes turns with it.
    """

    def __init__(
        self, *, live: bool | None = None, header: RenderableType | None = None, console: Console | None = None
    ) -> None:
        self._console = console or rich.get_console()
        self._values, self._lines = Values(), Lines()
        self._screen = self._make_screen(live, header)
        self._owed = False
        self._told: int | None = None

    def _make_screen(self, live: bool | None, header: RenderableType | None) -> Screen | None:
        if self._console.is_jupyter and live is not False:
            return CellScreen(self._picture, header)
        return TerminalScreen(self._console, self._picture, header) if live and self._console.is_interactive else None

    def open(self, meta: Mapping[str, Any]) -> None:
        """Start the live display; ``meta`` of the run is not shown."""
        if self._screen:
            with _bars_aside(self._console):
                self._screen.start()

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Take new ``estimates`` and ``events`` in; a snapshot comes in several parts."""
        step = step_of(estimates, events)
        if step is None:
            return
        if step != self._values.step:
            self._tell()
        self._values.take(estimates, events)
        self._owed = step != self._told
        if self._screen:
            self._screen.draw()

    def alert(self, alert: Alert) -> None:
        """Note an ``alert`` under the table; the probe logs it, and printing it here would say it twice."""
        self._values.alerts.append(alert)
        if self._screen:
            self._screen.draw()

    def tick(self) -> None:
        """An optimizer step has passed, so that the snapshot before it is whole."""
        self._tell()
        if self._screen:
            self._screen.tick()

    def close(self, summary: str) -> None:
        """Leave the last table standing, with the ``summary`` under it."""
        self._tell()
        with _bars_aside(self._console):
            if self._screen:
                self._screen.stop()
            elif self._values.cells or self._values.missing:
                self._console.print(self._picture(self._console, None))
        if summary:
            self._say(summary)

    def _picture(self, console: Console, height: int | None) -> RenderableType:
        if self._values.step < 0:
            return Text("ibprobe: no snapshot so far")
        return picture(self._values, console, height)

    def _tell(self) -> None:
        """Print the line of the last snapshot, if there is one that was not told of."""
        if self._owed and not self._screen:
            line = self._lines.line(self._values)
            if line:
                self._say(line)
        self._owed, self._told = False, self._values.step

    def _say(self, text: str) -> None:
        # A path may hold brackets, and must not be broken where it is to be copied.
        with _bars_aside(self._console):
            self._console.print(f"ibprobe: {text}", highlight=False, markup=False, soft_wrap=True)


def _bars_aside(console: Console) -> AbstractContextManager[None]:
    """Take tqdm's bars off the terminal, and put them back below what was written."""
    tqdm = getattr(sys.modules.get("tqdm"), "tqdm", None)
    aside: AbstractContextManager[None] = nullcontext()
    if tqdm is not None and console.is_terminal:
        aside = tqdm.external_write_mode(file=console.file)
    return aside

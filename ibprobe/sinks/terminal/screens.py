"""Places where a picture is drawn over itself: the foot of a terminal, the output of a notebook's cell."""

from __future__ import annotations

import atexit
import io
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Protocol, runtime_checkable

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.live import Live
from rich.segment import SegmentLines
from rich.text import Text

from ibprobe.sinks.terminal.others import Others

_REDRAW_AFTER = 0.1
"""Seconds; drawing at every optimizer step would cost more than the eye can see."""
_RESEND_AFTER = 1.0
"""Seconds; a notebook is sent the whole picture each time."""
_CELL_WIDTH = 115
_CELL = '<pre style="white-space:pre;overflow-x:auto;line-height:normal">{code}</pre>'

Picture = Callable[[Console, int | None], RenderableType]
"""Draws for a console, in so many lines or in as many as it takes."""


@runtime_checkable
class Screen(Protocol):
    """Shows one picture, which changes."""

    def start(self) -> None:
        """Take the place."""

    def draw(self) -> None:
        """The picture has changed."""

    def tick(self) -> None:
        """Time has passed: the header may have changed."""

    def stop(self) -> None:
        """Leave the last picture standing, whole; a second call does nothing."""


class TerminalScreen:
    """The foot of a terminal: what others write scrolls by above, their unfinished line stands below.

    Args:
        console: a terminal.
        picture: to be shown.
        header: drawn above the picture at every tick.
    """

    def __init__(self, console: Console, picture: Picture, header: RenderableType | None) -> None:
        self._console, self._picture = console, picture
        self._header = [] if header is None else [header]
        self._lines = SegmentLines([])
        self._size = console.size
        self._drawn = 0.0
        self._others = Others(console, self._after_a_while)
        self._live = Live(self, console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def start(self) -> None:
        """Take the place; it is given back at the end of the process at the latest."""
        self._live.start()
        atexit.register(self.stop)
        self._others.start()
        self.draw()

    def draw(self) -> None:
        """Draw anew."""
        self._lay_out(self._room())
        self._refresh()

    def tick(self) -> None:
        """Draw the header."""
        if self._header:
            self._after_a_while()

    def stop(self) -> None:
        """Leave the whole picture, and everything else as it was."""
        if not self._live.is_started:
            return
        atexit.unregister(self.stop)
        self._others.stop()
        try:
            self._lay_out(None)
        finally:
            self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The state of this moment: rich draws it again whenever something is printed."""
        yield from self._header
        yield self._lines
        if self._live.is_started:
            # While empty, the line is left to those who write past us, such as a bar from before the start.
            yield Text.from_ansi(self._others.unfinished, no_wrap=True, overflow="crop")

    def _room(self) -> int:
        above = sum(len(self._console.render_lines(header)) for header in self._header)
        return self._console.height - above - 1

    def _lay_out(self, height: int | None) -> None:
        """Render the picture once: to draw these lines again is several times cheaper."""
        self._size = self._console.size
        lines = self._console.render_lines(self._picture(self._console, height), pad=False)
        self._lines = SegmentLines(lines, new_lines=True)

    def _refresh(self) -> None:
        self._live.refresh()
        self._drawn = time.monotonic()

    def _after_a_while(self) -> None:
        if time.monotonic() - self._drawn > _REDRAW_AFTER:
            if self._console.size != self._size:
                self._lay_out(self._room())
            self._refresh()


class CellScreen:
    """The output of a notebook's cell; it needs no widgets, and prints and progress bars stand beside it.

    Args:
        picture: to be shown.
        header: drawn above it.
    """

    def __init__(self, picture: Picture, header: RenderableType | None) -> None:
        self._picture, self._header = picture, [] if header is None else [header]
        self._handle: Any = None
        self._drawn = 0.0

    def start(self) -> None:
        """Take the place."""
        self.draw()

    def draw(self) -> None:
        """Draw anew."""
        shown = self._rendered()
        if self._handle is None:
            self._handle = import_module("IPython.display").display(shown, raw=True, display_id=True)
        else:
            self._handle.update(shown, raw=True)
        self._drawn = time.monotonic()

    def tick(self) -> None:
        """Draw the header."""
        if self._header and time.monotonic() - self._drawn > _RESEND_AFTER:
            self.draw()

    def stop(self) -> None:
        """The picture stands already; the header may have changed since."""
        self.draw()

    def _rendered(self) -> dict[str, str]:
        paper = Console(file=io.StringIO(), record=True, width=_CELL_WIDTH, force_jupyter=False)
        paper.print(Group(*self._header, self._picture(paper, None)))
        page = paper.export_html(inline_styles=True, clear=False, code_format=_CELL)
        return {"text/html": page, "text/plain": paper.export_text()}

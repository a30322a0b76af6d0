"""What others write to a terminal while a picture stands at its foot: prints, warnings, logs, progress bars."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.file_proxy import FileProxy


class Others:
    """Stands between other code and the terminal: whole lines scroll by above the picture.

    Args:
        console: the terminal.
        changed: called when an unfinished line is another one.
    """

    def __init__(self, console: Console, changed: Callable[[], None]) -> None:
        self._console, self._changed = console, changed
        self._streams: dict[str, _Stream] = {}

    @property
    def unfinished(self) -> str:
        """What has no end of line yet, such as a tqdm bar; to be drawn below the picture."""
        return "".join(stream.unfinished for stream in self._streams.values())

    def start(self) -> None:
        """Take the place of ``sys.stdout`` and ``sys.stderr``, for log handlers that hold them too."""
        for name in ("stdout", "stderr"):
            file = getattr(sys, name)
            # Where another live display reads what is written, ours is drawn within it.
            if not isinstance(file, FileProxy):
                self._streams[name] = _Stream(self._console, file, self._changed)
                setattr(sys, name, self._streams[name])
                _pass_on(file, self._streams[name])

    def stop(self) -> None:
        """Leave everything as it was."""
        for name, stream in self._streams.items():
            stream.stop()
            _pass_on(stream, stream.rich_proxied_file)
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.rich_proxied_file)
        self._streams.clear()


class _Stream(FileProxy):
    """One of the two; rich's own would print an unfinished line at every flush: one progress bar, a line an update."""

    def __init__(self, console: Console, file: Any, changed: Callable[[], None]) -> None:
        super().__init__(console, file)
        self._changed, self._stopped = changed, False
        self.unfinished = ""

    def write(self, text: str) -> int:
        if self._stopped:
            return self.rich_proxied_file.write(text)
        *lines, rest = (self.unfinished + text).split("\n")
        self.unfinished = _overwritten(rest)
        if lines:
            super().write("".join(f"{_overwritten(line).rstrip()}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        (self.rich_proxied_file.flush if self._stopped else self._changed)()

    def stop(self) -> None:
        """Let everything through from here: whoever holds this object may go on to write."""
        if self.unfinished:
            self.write("\n")
        self._stopped = True


def _overwritten(line: str) -> str:
    """What is left to see of a line whose carriage returns lead back to its start; one at its end stays."""
    seen = line.rstrip("\r")
    return seen.rpartition("\r")[2] + "\r" * (len(seen) < len(line))


def _pass_on(old: object, new: Any) -> None:
    """Give log handlers another stream: a line written past the picture would be lost under the next one."""
    for handler in _handlers():
        if handler.stream is old:
            handler.setStream(new)


def _handlers() -> Iterator[logging.StreamHandler[Any]]:
    for logger in (logging.root, *logging.root.manager.loggerDict.values()):
        for handler in getattr(logger, "handlers", ()):
            if isinstance(handler, logging.StreamHandler):
                yield handler

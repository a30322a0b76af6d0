"""Records on a screen: values so far, as a table, curves and lines, on a terminal, in a notebook, in a log."""

from ibprobe.sinks.terminal.sink import TerminalSink

__all__ = ["TerminalSink"]

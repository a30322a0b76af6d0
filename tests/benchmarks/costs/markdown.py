"""Tables as Markdown, and the line that says on what machine they were made."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table whose first column is text and whose other columns are numbers."""
    bars = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(map(str, cells))} |" for cells in (head, bars, *rows)]


def machine(device: str) -> str:
    """One line: when, on what, and how busy it was, without which no time means anything."""
    what = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{time.strftime('%Y-%m-%d', time.gmtime())}: {what}, {os.cpu_count()} cores, {torch.get_num_threads()} torch "
        f"threads, load {load:.1f} at the start, torch {torch.__version__}, Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def say(text: str) -> None:
    """A progress line, beside the tables."""
    print(text, file=sys.stderr, flush=True)


def finish(lines: Sequence[str], out: Path | None) -> None:
    """Print the tables, and write them where they were asked for."""
    print(*lines, sep="\n")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def common_options(parser: argparse.ArgumentParser) -> None:
    """Options of both commands."""
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    parser.add_argument("--threads", type=int, help="torch threads; by default torch's own choice")
    parser.add_argument("--out", type=Path, help="write the tables to this Markdown file as well")


def settle(options: argparse.Namespace) -> None:
    """Apply what both commands share."""
    if options.threads:
        torch.set_num_threads(options.threads)

"""The command line of the accuracy benchmark."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from . import bmi_tasks
from .cases import Folders
from .environments import PEERS, python_of
from .report import current, report
from .runner import open_items, read, run
from .table import ROWS, plan

ROOT = Path(__file__).parents[3]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is not done yet, then print the report."""
    options = _options(arguments)
    folders = Folders(options.out.resolve(), _data())
    folders.out.mkdir(parents=True, exist_ok=True)
    results = folders.out / "results.jsonl"
    names = options.row or list(ROWS)
    peers = not options.quick if options.peers is None else options.peers
    if not options.report:
        _prepare(names, folders, options.quick)
    items = plan(names, folders, quick=options.quick, peers=peers)
    if not options.report:
        for environment in sorted({PEERS[i.estimator][0] for i in open_items(items, results) if i.estimator in PEERS}):
            python_of(environment, folders)
        run(items, folders, results, options.jobs)
    lines = [*report(current(read(results), items), names)]
    print(*lines, sep="\n")
    (folders.out / "report.md").write_text("\n".join(lines).strip() + "\n", encoding="utf-8")
    if options.figure:
        from .figure import draw

        draw(read(results), options.figure)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Estimate what is known, and compare: truth, ours, peers.")
    parser.add_argument("--quick", action="store_true", help="few seeds, and no peers: five minutes on two cores")
    parser.add_argument("--row", action="append", choices=ROWS, help="only this row; may be given again")
    parser.add_argument("--jobs", type=int, default=2, help="processes, of one thread each (default 2)")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, help="default: yes, but not with --quick")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="results, samples, environments")
    parser.add_argument("--report", action="store_true", help="run nothing, print what the results say so far")
    parser.add_argument("--figure", type=Path, help="draw the first rows to this .svg or .png")
    return parser.parse_args(arguments)


def _data() -> Path | None:
    """Folder with the 12-bit activations, as the tests find it."""
    folder = Path(os.environ.get("IBPROBE_DATA", ROOT.parent / "shared" / "data"))
    return folder if (folder / "szt12_activations.npz").is_file() else None


def _prepare(names: Sequence[str], folders: Folders, quick: bool) -> None:
    if "bmi" in names:
        row = ROWS["bmi"]
        bmi_tasks.prepare(folders, range(max((row.quick if quick else row.ours).values())))
    if "twelve_bits" in names and folders.data is None:
        print("no 12-bit activations: set IBPROBE_DATA to the folder that holds szt12_activations.npz")

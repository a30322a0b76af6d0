"""Designed comparisons: what dropout, weight decay or any other setting does to the layers, paired by seed."""

from ibprobe.lens.compare import Comparison, compare
from ibprobe.lens.design import Design, Planned, read_design
from ibprobe.lens.effects import Effect
from ibprobe.lens.engine import Done, run_design
from ibprobe.lens.findings import Findings, find, findings
from ibprobe.lens.measuring import Measuring
from ibprobe.lens.reading import read_runs
from ibprobe.lens.report import write_report
from ibprobe.lens.runs import Key, Run
from ibprobe.lens.watch import Watch

__all__ = [
    "Comparison",
    "Design",
    "Done",
    "Effect",
    "Findings",
    "Key",
    "Measuring",
    "Planned",
    "Run",
    "Watch",
    "compare",
    "find",
    "findings",
    "read_design",
    "read_runs",
    "run_design",
    "write_report",
]

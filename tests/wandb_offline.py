"""A real W&B run without a network, and what it left on disk."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import wandb


def offline_run(folder: Path, **options: Any) -> wandb.Run:
    """A run that writes to ``folder`` only; ``wandb.run`` stays as it is unless ``reinit`` says otherwise."""
    settings = wandb.Settings(
        console="off", save_code=False, x_disable_stats=True, x_disable_meta=True, disable_git=True, silent=True
    )
    given = {"mode": "offline", "project": "tests", "reinit": "create_new", "dir": str(folder)} | options
    return wandb.init(**given, settings=settings)


@dataclass
class Written:
    """The rows, the axis of each metric, and the config of a finished run."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def ours(self) -> list[dict[str, Any]]:
        """Rows that the probe wrote into, with its columns only."""
        mine = [{k: v for k, v in row.items() if k.startswith("ib")} for row in self.rows]
        return [row for row in mine if row]

    def column(self, name: str) -> list[Any]:
        """The values of one metric, where it has any."""
        return [row[name] for row in self.rows if name in row]


def finish_and_read(run: wandb.Run) -> Written:
    """End the run and read its file with W&B's own reader."""
    path = run.settings.sync_file
    run.finish()
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    written = Written()
    for record in map(json.loads, lines):
        if record["type"] == "history":
            written.rows.append({k: _number(v) for k, v in record["history"]["item"].items()})
        elif record["type"] == "metric" and "name" in record["metric"]:
            written.metrics[record["metric"]["name"]] = record["metric"]
        elif record["type"] == "config":
            written.config |= record["config"]["update"]
    return written


def _number(value: Any) -> Any:
    """JSON has no infinity; W&B keeps it as text."""
    return {"Infinity": math.inf, "-Infinity": -math.inf}.get(value, value) if isinstance(value, str) else value

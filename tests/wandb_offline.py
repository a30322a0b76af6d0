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
    """The rows, the axis of each metric, summary, config and media of a finished run."""

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def ours(self) -> list[dict[str, Any]]:
        """The probe's scalars in each row that has any."""
        mine = [{k: v for k, v in row.items() if k.startswith("ib") and "." not in k} for row in self.rows]
        return [row for row in mine if row]

    def column(self, name: str) -> list[Any]:
        """The values of one metric, where it has any."""
        return [row[name] for row in self.rows if name in row]

    def media(self, name: str) -> str:
        """The text of the last file that was logged by this name."""
        return (self.folder / self.column(f"{name}.path")[-1]).read_text(encoding="utf-8")

    def table(self, name: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        table = json.loads(self.media(name))
        return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def finish_and_read(run: wandb.Run) -> Written:
    """End the run and read its file with W&B's own reader."""
    path, written = run.settings.sync_file, Written(Path(run.dir))
    run.finish()
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    for record in map(json.loads, lines):
        if record["type"] == "history":
            written.rows.append({k: _number(v) for k, v in record["history"]["item"].items()})
        elif record["type"] == "metric" and "name" in record["metric"]:
            written.metrics[record["metric"]["name"]] = record["metric"]
        elif record["type"] in ("config", "summary"):
            kept = getattr(written, record["type"])
            kept |= record[record["type"]]["update"]
        elif record["type"] == "run":
            written.config |= record["run"]["config"]["update"]
    return written


def _number(value: Any) -> Any:
    """JSON has no infinity; W&B keeps it as text."""
    return {"Infinity": math.inf, "-Infinity": -math.inf}.get(value, value) if isinstance(value, str) else value

"""Where the records of a fit are written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from ibprobe import BadRun, load_run


def run_dir_for(root: str, resumed: Mapping[str, Any]) -> Path | None:
    """The directory of the run that goes on, if it is still there; else a new one, ``<root>/ibprobe/<UTC time>-<id>``.

    Args:
        root: the Trainer's ``default_root_dir``.
        resumed: what a checkpoint holds of the callback; empty for a new run.

    Returns:
        None where ``root`` is no local path, for the probe's own default.
    """
    if resumed and _holds(resumed["run_dir"], resumed["run"]):
        return Path(resumed["run_dir"])
    if "://" in root:
        return None
    return Path(root) / "ibprobe" / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid4().hex[:6]}"


def _holds(folder: str, run: str) -> bool:
    try:
        return load_run(folder).meta.get("run") == run
    except BadRun:
        return False

"""The probe's state in the Trainer's checkpoint folders."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger("ibprobe")

STATE = "ibprobe.pt"
"""In each checkpoint folder."""


def name_of(rank: int) -> str:
    """The file of a process; those beside the first have one where they measure layers of their own."""
    return f"ibprobe-{rank}.pt" if rank else STATE


def saved_state(*folders: Path | None, rank: int) -> Mapping[str, Any] | None:
    """The probe's state in the first folder that has one: of this process, else of the first one."""
    tried = [
        folder / name for name in dict.fromkeys((name_of(rank), STATE)) for folder in folders if folder is not None
    ]
    path = next((file for file in tried if file.is_file()), None)
    if path is None:
        log.warning(
            "ibprobe: training goes on, but without %s records begin anew; pass IBProbeCallback(resume_from=folder)",
            " or ".join(map(str, tried)),
        )
        return None
    try:
        state: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # it may have been killed while it was written
        log.warning("ibprobe: a new run begins: %s: %s", path, unusable(e))
        return None
    return state or None  # of a probe that was off


def unusable(error: Exception) -> str:
    """Why a state is not gone on from."""
    return f"the probe's state cannot be used ({type(error).__name__}: {str(error).partition(chr(10))[0]})"

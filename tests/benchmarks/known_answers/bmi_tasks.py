"""The 40 tasks of benchmark-mi (Czyż et al. 2023, arXiv 2306.11078), drawn by the package itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import torch

from .cases import Folders, Sample
from .environments import run_script

N = 5000
FOLDER = "benchmark-mi"


def prepare(folders: Folders, seeds: Sequence[int]) -> None:
    """Draw what is not yet there, in the package's own environment."""
    kept = folders.out / FOLDER
    names = bmi_tasks(folders)
    if not names or any(not (kept / f"{name}-{seed}.npz").is_file() for name in names for seed in seeds):
        run_script("benchmark-mi", folders, "bmi_samples.py", str(kept), str(N), *map(str, seeds))


def bmi_tasks(folders: Folders) -> tuple[str, ...]:
    """Names of the tasks that have been drawn; none before :func:`prepare`."""
    truths = folders.out / FOLDER / "tasks.json"
    return tuple(json.loads(truths.read_text())) if truths.is_file() else ()


def bmi(task: str, seed: int, folders: Folders) -> Sample:
    kept = folders.out / FOLDER
    rows = np.load(kept / f"{task}-{seed}.npz")
    truth = json.loads((kept / "tasks.json").read_text())[task]
    return Sample(truth=truth, x=torch.from_numpy(rows["x"]), y=torch.from_numpy(rows["y"]))

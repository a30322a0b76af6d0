"""Run by benchmark-mi's own interpreter: draws every task once a seed. Arguments: folder, rows, seeds."""

import json
import sys
from pathlib import Path

import numpy as np
from bmi.benchmark import BENCHMARK_TASKS

folder, rows, seeds = Path(sys.argv[1]), int(sys.argv[2]), [int(s) for s in sys.argv[3:]]
folder.mkdir(parents=True, exist_ok=True)
for name, task in BENCHMARK_TASKS.items():
    for seed in seeds:
        kept = folder / f"{name}-{seed}.npz"
        if not kept.exists():
            x, y = task.sample(rows, seed=seed)
            partial = folder / "partial.npz"
            np.savez(partial, x=np.asarray(x, np.float32), y=np.asarray(y, np.float32))
            partial.rename(kept)
truths = {name: float(task.mutual_information) for name, task in BENCHMARK_TASKS.items()}
(folder / "tasks.json").write_text(json.dumps(truths, indent=1))

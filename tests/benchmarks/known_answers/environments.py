"""Peers that need other versions than ours: each in an environment of its own, made on first use.

Only packages under permissive licences are installed; embo, infomeasure and gmm-mi are copyleft and stay out.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .cases import Answer, Folders, Sample

SCRIPTS = Path(__file__).parent / "peer_scripts"
TIME_LIMIT = 420
"""Wall seconds that a peer may take for one estimate."""
PINS: Mapping[str, Sequence[str]] = {
    # A fresh benchmark-mi does not import: jax 0.4.38 does not fit its equinox, newer pandas and pydantic not its code.
    "benchmark-mi": (
        "benchmark-mi==0.1.3", "jax==0.4.26", "jaxlib==0.4.26", "chex==0.1.86", "numpy<2", "pandas<2", "pydantic<2",
        "scipy<1.13",
    ),
    # Its wheel forgets pandas; it needs the old numpy.
    "torch-mist": ("torch-mist==0.2.17", "torch==2.13.0", "pandas", "numpy<2"),
}  # fmt: skip
PEERS = {
    "bmi-mine": ("benchmark-mi", "bmi_peer.py"),
    "bmi-ksg": ("benchmark-mi", "bmi_peer.py"),
    "bmi-cca": ("benchmark-mi", "bmi_peer.py"),
    "torch-mist-mine": ("torch-mist", "torch_mist_peer.py"),
    "torch-mist-smile": ("torch-mist", "torch_mist_peer.py"),
}
"""Name: environment and script."""


def python_of(name: str, folders: Folders) -> Path:
    """The interpreter of an environment, which is made where there is none or its pins have changed.

    Raises:
        subprocess.CalledProcessError: pip could not install it.
    """
    home = folders.out / "environments" / name
    python, done = home / "bin" / "python", home / "installed.json"
    if not done.is_file() or json.loads(done.read_text()) != list(PINS[name]):
        print(f"making the environment of {name} in {home}", file=sys.stderr, flush=True)
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS[name]], check=True)
        done.write_text(json.dumps(list(PINS[name])))
    return python


def run_script(name: str, folders: Folders, script: str, *arguments: str, limit: float | None = None) -> str:
    """What a script prints that runs in an environment, with one thread.

    Raises:
        RuntimeError: it failed, with the last line that it wrote.
        subprocess.TimeoutExpired: it took longer than ``limit`` seconds.
    """
    quiet = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1", "JAX_PLATFORMS": "cpu"}
    command = [str(python_of(name, folders)), str(SCRIPTS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env={**os.environ, **quiet})
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return done.stdout


def peer(name: str, sample: Sample, seed: int, folders: Folders) -> Answer:
    """One estimate by a peer in its environment; its CPU seconds are those of the estimate alone."""
    environment, script = PEERS[name]
    y = sample.y if sample.y.ndim == 2 else sample.y[:, None]
    with tempfile.TemporaryDirectory() as work:
        rows = Path(work) / "rows.npz"
        np.savez(rows, x=sample.x.float().numpy(), y=y.float().numpy())
        printed = run_script(environment, folders, script, str(rows), name, str(seed), limit=TIME_LIMIT)
    return Answer(**json.loads(printed.strip().splitlines()[-1]))

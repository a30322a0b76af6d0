"""Other solvers, each in an environment of its own: embo is under the GPL, and nothing of it is imported here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SCRIPTS = Path(__file__).parent / "peer_scripts"
PINS: Mapping[str, Sequence[str]] = {"embo": ("embo==1.1.0",), "dit": ("dit==2.3",)}
TIME_LIMIT = 1800
"""Wall seconds that a peer may take for one joint."""


def python_of(name: str, out: Path) -> Path:
    """The interpreter of a peer's environment, which is made on first use.

    Raises:
        subprocess.CalledProcessError: pip could not install it.
    """
    home = out / "environments" / name
    python, done = home / "bin" / "python", home / "installed.json"
    if not done.is_file() or json.loads(done.read_text()) != list(PINS[name]):
        print(f"making the environment of {name} in {home}", file=sys.stderr, flush=True)
        venv.create(home, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PINS[name]], check=True)
        done.write_text(json.dumps(list(PINS[name])))
    return python


def ask(name: str, out: Path, p: np.ndarray, betas: Sequence[float]) -> dict[str, Any]:
    """What a peer says of a joint: β, I(X;T) and I(T;Y) in nats, wall and CPU seconds.

    Raises:
        RuntimeError: it failed, with the last line that it wrote.
        subprocess.TimeoutExpired: it took longer than the limit.
    """
    given = out / f"{name}.npz"
    np.savez(given, p=p, betas=np.asarray(betas))
    command = [str(python_of(name, out)), str(SCRIPTS / f"{name}_peer.py"), str(given)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer

"""Shapes in annotations are enforced under test, and only there: the package does not depend on jaxtyping."""

import builtins
import os
import random
from pathlib import Path

import jaxtyping
import pytest
import torch

for _name in ("Bool", "Float", "Int", "Num", "Shaped"):
    setattr(builtins, _name, getattr(jaxtyping, _name))
# beartype picks the list items that it checks at random; on the global generator it would undo the very promise that
# tests/test_harmless.py tests, so it gets one of its own.
_global, random.getrandbits = random.getrandbits, random.Random(0).getrandbits
import beartype._util.kind.integer.utilintget  # noqa: E402, F401

random.getrandbits = _global
_HOSTS = ("transformers", "lightning", "tensorboard", "mlflow", "trackio")
jaxtyping.install_import_hook(["ibprobe", *(f"ibprobe_{host}" for host in _HOSTS)], "beartype.beartype")

# Threads that wait for each other cost more than they bring on small tensors, above all where two tests run at once;
# the programs that tests start inherit it (a vision transformer of 15 s took over 280 s on a busy machine without).
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _away_from_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are written below the working directory; a test's must not land in the checkout."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder with MNIST and the 12-bit activations; the test is skipped where there is none."""
    folder = Path(os.environ.get("IBPROBE_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "szt12_activations.npz").is_file():
        pytest.skip(f"no reference data in {folder}; set IBPROBE_DATA")
    return folder

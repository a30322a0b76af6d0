"""What tests of designs share."""

import os
from pathlib import Path

import pytest
from lens.training_functions import LOG

TESTS = Path(__file__).parents[1]


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The log of runs that began."""
    monkeypatch.setenv(LOG, str(tmp_path / "begun"))
    monkeypatch.setenv("PYTHONPATH", f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return tmp_path / "begun"

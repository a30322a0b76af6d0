"""What a user installs: the package alone, importable from anywhere, with its type marker and command."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    return next(folder.glob("ibprobe-*.whl"))


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    packages = {"ibprobe", *(path.name for path in (ROOT / "integrations").glob("ibprobe_*"))}
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == packages
    assert "ibprobe/py.typed" in names


def test_it_imports_from_a_clean_place(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    code = f"import sys; sys.path.insert(0, {str(target)!r}); import ibprobe; print(ibprobe.__file__)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.startswith(str(target))


def test_its_own_plugins_are_found_in_a_clean_place(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    code = "from ibprobe.cli import main; main()"
    env = {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "160", "IBPROBE_STRICT_PLUGINS": "1"}
    command = [sys.executable, "-c", code, "plugins"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=tmp_path, env=env)
    lines = [line.replace("│", " ").split() for line in done.stdout.splitlines()]
    for host in ("tensorboard", "mlflow", "trackio"):
        [line] = [line for line in lines[lines.index(["sinks"]) : lines.index(["views"])] if line[:1] == [host]]
        assert line[-2:] == [f"ibprobe_{host}", f"({host})"]

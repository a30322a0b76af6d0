"""Integrations are written as an outsider would write them: they import what ibprobe says is public."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ibprobe

ROOT = Path(__file__).parents[2] / "integrations"
FOLDERS = sorted(ROOT.glob("ibprobe_*"))
PROVIDERS = {"ibprobe.hookspecs", "ibprobe.sinks.trackers"}
"""What is made for those who write a sink."""


def imported(folder: Path) -> Iterator[tuple[str, str]]:
    """Modules of ibprobe and the names that are taken from them."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ibprobe":
                yield from ((node.module or "", alias.name) for alias in node.names)
            elif isinstance(node, ast.Import):
                assert not [alias.name for alias in node.names if alias.name.split(".")[0] == "ibprobe"], path


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_only_public_names_of_ibprobe_are_used(folder: Path) -> None:
    found = list(imported(folder))
    assert found
    assert {name for module, name in found if module == "ibprobe"} <= set(ibprobe.__all__)
    assert {module for module, _ in found} <= {"ibprobe", *PROVIDERS}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_module_is_short(folder: Path) -> None:
    assert all(len(path.read_text(encoding="utf-8").splitlines()) < 200 for path in folder.rglob("*.py"))


def test_nothing_of_a_provider_is_imported_until_it_is_used() -> None:
    code = """
import importlib, sys
from importlib.util import find_spec
for host in ("tensorboard", "mlflow", "trackio"):
    [plugin] = importlib.import_module(f"ibprobe_{host}").ibprobe_sinks()
    if find_spec(host):
        plugin.build()
print({"tensorboard", "mlflow", "trackio", "wandb", "jinja2", "pandas", "PIL"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"

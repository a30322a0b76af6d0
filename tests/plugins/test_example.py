"""The example plugin is short, keeps its contract, and once installed is listed, used, and in the report."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from show.unpacked import Tables

from ibprobe import load_run

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugin"
BROKEN = {
    "pyproject.toml": """
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"
[project]
name = "broken-plugin"
version = "1"
[project.entry-points.ibprobe]
broken = "broken_plugin"
[tool.setuptools]
py-modules = ["broken_plugin"]
""",
    "broken_plugin.py": "from ibprobe import no_such_name\n",
}
PROGRAM = """
import sys, torch
from torch import nn
from ibprobe import IBProbe

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2))
probe = IBProbe(model, ["1"], estimator="cca", sinks=[], budget=None, run_dir="run")
with probe:
    for _ in range(2):
        model(torch.randn(600, 4))
        probe.step()
"""


def test_its_own_lines_are_ten_at_most() -> None:
    tree = ast.parse((EXAMPLE / "ibprobe_cca.py").read_text(encoding="utf-8"))
    own = [n for n in tree.body if isinstance(n, ast.FunctionDef) and not n.decorator_list]
    lines = sum((n.end_lineno or 0) - n.lineno + 1 for n in own)
    assert [n.name for n in own] == ["cca", "read"]
    assert lines <= 10


def installed(folder: Path, name: str, files: dict[str, str] | None = None) -> None:
    """Install a plugin as pip does from its folder, beside what others are there."""
    source = folder / f"{name}-source"
    if files is None:
        shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    else:
        source.mkdir()
        for file, text in files.items():
            (source / file).write_text(text)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(folder / "site"), str(source)], check=True, capture_output=True)


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python with what is installed in a folder."""
    paths = [str(folder / "site"), str(ROOT), str(ROOT / "integrations"), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200", **environment}
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done


def ibprobe(folder: Path, *arguments: str, **environment: str) -> str:
    code = "from ibprobe.cli import main; main()"
    return run(folder, "-c", code, *arguments, **environment).stdout


@pytest.mark.slow
def test_installed_it_is_listed_used_and_in_the_report(tmp_path: Path) -> None:
    installed(tmp_path, "example")
    listed = [" ".join(line.replace("│", " ").split()) for line in ibprobe(tmp_path, "plugins").splitlines()]
    cca = listed.index("cca canonical correlations, two Gaussian sides ibprobe_cca (cca)")
    assert listed.index("estimators") < cca < listed.index("sinks")
    run(tmp_path, "-W", "error", "-c", PROGRAM)
    found = load_run(tmp_path / "run").select(estimator="cca", quantity="I_XT")
    assert found[-1].nats > 0.5
    ibprobe(tmp_path, "report", "run", "-o", "page.html")
    [row] = Tables((tmp_path / "page.html").read_text(encoding="utf-8")).named("finals")
    assert row["cca"] == (f"{found[-1].nats:.3f}", repr(found[-1].nats))


@pytest.mark.slow
def test_its_own_tests_pass_where_it_is_installed(tmp_path: Path) -> None:
    installed(tmp_path, "example")
    done = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "example-source"))
    assert re.search(r"^2 passed", done.stdout, re.MULTILINE)


@pytest.mark.slow
def test_a_broken_one_beside_it_is_skipped_with_one_warning_that_names_it(tmp_path: Path) -> None:
    installed(tmp_path, "example")
    installed(tmp_path, "broken", BROKEN)
    done = run(tmp_path, "-c", PROGRAM)
    said = [line for line in done.stderr.splitlines() if "skipped" in line]
    assert len(said) == 1
    assert "ibprobe: plugin broken_plugin (broken) skipped: ImportError: cannot import name 'no_such_name'" in said[0]
    assert load_run(tmp_path / "run").select(estimator="cca")
    lines = ibprobe(tmp_path, "plugins").splitlines()
    assert [line for line in lines if "broken_plugin (broken)" in line and "no_such_name" in line]
    assert "cca" not in ibprobe(tmp_path, "plugins", IBPROBE_LOAD_PLUGINS="")
    only = ibprobe(tmp_path, "plugins", IBPROBE_LOAD_PLUGINS="cca", IBPROBE_STRICT_PLUGINS="1")
    assert "ibprobe_cca (cca)" in only

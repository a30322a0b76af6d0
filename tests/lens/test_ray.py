"""The same design on Ray: the same table, on this machine's own address alone, and nothing is left running."""

import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lens.test_engine import QUICK, design

from ibprobe.errors import MissingExtra
from ibprobe.lens.compare import compare
from ibprobe.lens.engine import run_design
from ibprobe.lens.reading import read_runs

with_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")

DESIGN = """
[design]
train = "lens.training_functions:{function}"
seeds = 2
[factors]
scale = [1.0, 3.0]
[measure]
rows = 64
every = 50
passes = 4
shifts = ["noise"]
"""
COMMAND = "from ibprobe.cli import main; main()"


def table(folder: Path) -> dict[object, object]:
    runs, said = read_runs([folder])
    assert said == []
    (comparison,) = compare(runs, "scale")
    return dict(comparison.effects)


def begin(folder: Path, function: str) -> subprocess.Popen[str]:
    """The command, on Ray with two workers."""
    (folder / "design.toml").write_text(DESIGN.format(function=function))
    given = ["lens", "run", "design.toml", "-o", "rayed", "--engine", "ray", "--jobs", "2"]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *given], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE
    )


def below(process: int) -> set[int]:
    """The processes that a process has begun, and those that they have."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    found, new = set(), {process}
    while new:
        found |= new
        new = {child for child, parent in parents.items() if parent in new} - found
    return found - {process}


def listening(processes: set[int]) -> set[str]:
    """Addresses at which processes take connections, in hexadecimal as Linux tells them."""
    sockets = set()
    for process in processes:
        for file in Path(f"/proc/{process}/fd").glob("*"):
            try:
                sockets.add(os.readlink(file))
            except OSError:
                continue
    addresses = set()
    for kind in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                addresses.add(fields[1].partition(":")[0])
    return addresses


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


@with_ray
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").is_file(), reason="only Linux tells who listens where")
def test_ray_gives_the_same_table_on_loopback_alone_and_leaves_no_process(tmp_path: Path, begun: Path) -> None:
    run_design(design(), QUICK, tmp_path / "local", jobs=2)
    process = begin(tmp_path, "tiny")
    processes: set[int] = set()
    addresses: set[str] = set()
    while process.poll() is None:
        processes |= (now := below(process.pid))
        addresses |= listening(now)
        time.sleep(0.2)
    assert process.returncode == 0
    assert "6 runs done now, 0 failed" in process.communicate()[0]
    assert addresses, "Ray's processes listen somewhere"
    assert addresses <= LOOPBACK
    assert table(tmp_path / "rayed") == table(tmp_path / "local")
    assert not {process: _command(process) for process in processes if _command(process)}


def _command(process: int) -> str:
    """Of a process that still runs."""
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except OSError:
        return ""


@with_ray
@pytest.mark.slow
def test_a_run_whose_process_dies_is_told_and_the_rest_goes_on(tmp_path: Path, begun: Path) -> None:
    process = begin(tmp_path, "dies")
    told = process.communicate()[0]
    assert process.returncode == 1
    assert "3 runs done now, 3 failed" in told
    assert len(list((tmp_path / "rayed" / "runs").iterdir())) == 3


def test_without_ray_the_error_names_it_before_anything_runs(
    tmp_path: Path, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtra, match=r"--engine ray needs ray, which is not installed: pip install 'ibprobe\[ray\]'"
    ):
        run_design(design(), QUICK, tmp_path / "lens", engine="ray")
    assert not begun.exists()

"""The solver benchmark's reference, and what it says of a run."""

from pathlib import Path

import numpy as np
import pytest
from benchmarks.ib_solvers import command, joints
from benchmarks.ib_solvers.peers import PINS

from ibprobe.bottleneck import ib_curve


def test_the_plain_iteration_and_the_solver_meet() -> None:
    p = joints.random_joint(16, 3)
    annealed = np.array(joints.annealed(p))
    curve = ib_curve(p, annealed[:, 0])
    # It may stop in a worse place, but not in a better one than the bound allows; mostly both are at the minimum.
    assert (curve.objective - curve.gap <= annealed[:, 1] + 1e-10).all()
    assert np.median(np.abs(curve.objective - annealed[:, 1])) < 1e-5


def test_the_reference_is_stricter_than_what_is_measured() -> None:
    p = joints.random_joint(16, 3)
    best, proof = joints.converged(p, joints.BETAS)
    assert proof.max() <= 1e-9
    assert (ib_curve(p, joints.BETAS).objective - best).max() <= command.GOAL


def test_a_grid_proves_what_the_search_proves() -> None:
    p = joints.random_joint(32, 2)
    below, curve = joints.proved(p, joints.BETAS), ib_curve(p, joints.BETAS)
    # The maximum may be between two places of the grid, 5e-5 apart.
    assert (below <= curve.objective + 1e-8).all()
    assert (curve.objective - below).max() <= command.GOAL


def test_without_peers_a_size_is_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joints, "_STEPS", 5)
    assert command.main(["--size", "64x2", "--no-peers", "--out", str(tmp_path)]) == 0
    rows = (tmp_path / "solver.md").read_text().splitlines()
    assert len(rows) == 3
    assert rows[2].startswith("| 64×2 | ")


def test_peers_are_pinned() -> None:
    assert all("==" in pin for pins in PINS.values() for pin in pins)

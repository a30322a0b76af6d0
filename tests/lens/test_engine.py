"""Every run of a design runs once, whatever happens in between, and a run that fails stops no other."""

import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from lens.planted_designs import write_design

from ibprobe.cli import main
from ibprobe.errors import BadInput
from ibprobe.lens.compare import compare
from ibprobe.lens.design import Design
from ibprobe.lens.engine import Done, run_design
from ibprobe.lens.measuring import Measuring
from ibprobe.lens.reading import read_runs
from ibprobe.lens.runs import Key

QUICK = Measuring(rows=64, every=50, passes=4, shifts=("noise",))


def design(function: str = "tiny", **changes: Any) -> Design:
    given = {"train": f"lens.training_functions:{function}", "factors": {"scale": [1.0, 3.0]}, "seeds": (0, 1)}
    return Design(**given | changes)


@pytest.mark.slow
def test_each_run_runs_once_and_records_everything(tmp_path: Path, begun: Path) -> None:
    told: list[tuple[Done, int]] = []
    run_design(design(), QUICK, tmp_path / "lens", jobs=1, on_done=lambda done, left: told.append((done, left)))
    assert [left for _, left in told] == [5, 4, 3, 2, 1, 0]
    assert not [done for done, _ in told if done.failed]
    assert run_design(design(), QUICK, tmp_path / "lens", jobs=1) == []
    grown = run_design(design(factors={"scale": [1.0, 3.0, 9.0]}), QUICK, tmp_path / "lens", jobs=1)
    assert len(grown) == 2
    assert len(begun.read_text().splitlines()) == 8
    runs, said = read_runs([tmp_path / "lens"])
    assert (len(runs), said) == (8, [])
    hows = {(key.how, key.split, key.quantity) for key in runs[0].values if key.layer in ("1", "")}
    for split in ("train", "held_out"):
        for how in ("training", "absolute", "sampled"):
            assert (how, split, "I_XT") in hows
        assert ("training", split, "I_XT_given_Y") in hows
        assert ("outcome", split, "accuracy") in hows
    assert ("outcome", "noise", "accuracy") in hows
    assert Key("outcome", "train", "0.weight", "norm") in runs[0].values


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_tried_again(tmp_path: Path, begun: Path) -> None:
    failing = design(fixed={"fail": True})
    ended = run_design(failing, QUICK, tmp_path / "lens", jobs=1)
    failed = [done for done in ended if done.failed]
    assert len(ended) == 6
    assert len(failed) == 3
    assert "RuntimeError: planned; see" in failed[0].failed
    assert len(list((tmp_path / "lens" / "failed").iterdir())) == 3
    assert len(run_design(failing, QUICK, tmp_path / "lens", jobs=1)) == 3


def test_a_function_that_trains_without_the_watch_is_told(tmp_path: Path, begun: Path) -> None:
    (ended,) = run_design(design("forgets_to_watch"), QUICK, tmp_path / "lens", jobs=1)
    assert "trained without  with watch(model" in ended.failed
    with pytest.raises(BadInput, match=r"cannot be imported: no function in .* named 'tny'; did you mean: tiny"):
        run_design(design("tny"), QUICK, tmp_path / "lens", jobs=1)


def test_a_keyword_that_the_function_does_not_take_is_told_before_anything_runs(tmp_path: Path, begun: Path) -> None:
    with pytest.raises(BadInput, match=r"tiny does not take what the design gives it: .* unexpected keyword .*'lr'"):
        run_design(design(fixed={"lr": 0.1}), QUICK, tmp_path / "lens")
    assert not (tmp_path / "lens").exists()


def test_a_first_run_that_fails_is_all_that_begins(tmp_path: Path, begun: Path) -> None:
    (tmp_path / "design.toml").write_text(
        '[design]\ntrain = "lens.training_functions:leaves"\nseeds = 2\n[factors]\nscale = [1.0, 3.0]\n'
    )
    told = CliRunner().invoke(main, ["lens", "run", str(tmp_path / "design.toml"), "-o", str(tmp_path / "lens")])
    assert told.exit_code == 1
    assert "0 runs done now, 1 failed, 0 were there" in told.stdout
    assert told.stdout.endswith("The first run failed, so that no other began\n")
    assert "SystemExit: 3" in told.stderr


def test_an_interrupt_says_what_is_there_and_how_to_go_on(
    tmp_path: Path, begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "design.toml").write_text(
        '[design]\ntrain = "lens.training_functions:tiny"\nseeds = 2\n[factors]\nscale = [1.0, 3.0]\n'
    )
    monkeypatch.setattr("ibprobe.lens.engine.run_design", interrupted)
    told = CliRunner().invoke(main, ["lens", "run", str(tmp_path / "design.toml"), "-o", str(tmp_path / "lens")])
    assert told.exit_code == 130
    assert f"stopped; 0 of 6 runs are in {tmp_path / 'lens'}, and the same command goes on" in told.stderr


def test_a_folder_holds_runs_of_one_function_that_are_measured_alike(tmp_path: Path, begun: Path) -> None:
    write_design(tmp_path, np.random.default_rng(0), {}, noise=0.1, seeds=2)
    design().keep(tmp_path, asdict(QUICK))
    assert len(design().missing(tmp_path)) == 6
    design(factors={"scale": [1.0, 2.0]}).keep(tmp_path, asdict(QUICK))
    for changed, measuring in ((design("dies"), QUICK), (design(), Measuring(rows=128))):
        with pytest.raises(BadInput, match="give another folder"):
            run_design(changed, measuring, tmp_path)
    assert not begun.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("function", "own"), [("dies", 3), ("dies_when_done", 0)])
def test_a_process_that_dies_stops_no_run_but_those_under_way(
    tmp_path: Path, begun: Path, function: str, own: int
) -> None:
    ended = run_design(design(function, seeds=(0, 1, 2, 3)), QUICK, tmp_path, jobs=2)
    assert len(ended) == 12
    failed = {done.name for done in ended if done.failed}
    assert [done.failed for done in ended if done.failed and "its process died: " not in done.failed] == []
    # The three of the second seed that had not ended, and at most one beside each of the three.
    assert own <= len(failed) <= own + 3
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {done.name for done in ended} - failed


PROGRAM = """
import sys
from pathlib import Path
from lens.test_engine import QUICK, design
from ibprobe.lens.engine import run_design
if __name__ == "__main__":
    run_design(design(), QUICK, Path(sys.argv[1]), jobs=1)
"""


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing_and_repeat_nothing(tmp_path: Path, begun: Path) -> None:
    run_design(design(), QUICK, tmp_path / "whole", jobs=1)
    begun.unlink()
    wait = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path / "torn")], start_new_session=True)
        seen = len(begun.read_text().splitlines()) if begun.exists() else 0
        while not (begun.exists() and len(begun.read_text().splitlines()) > seen):
            time.sleep(0.05)
        time.sleep(wait.uniform(0, 1.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = {path.name for path in (tmp_path / "torn" / "runs").iterdir()}
    run_design(design(), QUICK, tmp_path / "torn", jobs=1)
    # What was under way at a kill began again, and nothing else did.
    assert len(begun.read_text().splitlines()) <= 6 + 3
    assert done <= {path.name for path in (tmp_path / "torn" / "runs").iterdir()}
    tables = []
    for name in ("whole", "torn"):
        runs, said = read_runs([tmp_path / name])
        assert said == []
        (comparison,) = compare(runs, "scale")
        tables.append({key: (e.mean, e.low, e.seeds) for key, e in comparison.effects.items()})
    assert tables[0] == tables[1]

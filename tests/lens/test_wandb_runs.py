"""Runs that W&B has on this machine compare as run directories do."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from lens.logged_runs import META, RUNS, log_to, told
from wandb_offline import offline_run

from ibprobe.cli import main
from ibprobe.errors import BadInput, MissingExtra
from ibprobe.lens.compare import compare
from ibprobe.lens.reading import read_runs
from ibprobe.lens.runs import Key
from ibprobe.lens.wandb_runs import project_runs, wandb_files
from ibprobe.record.rundir import RunDir
from ibprobe.show import page
from ibprobe.sinks.wandb import WandbSink


@pytest.fixture(scope="module", autouse=True)
def quick_page() -> Iterator[None]:
    """The page takes two seconds to make; here it is about values."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "plane_html", lambda records: "<p>plane</p>")
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same four runs, as offline W&B runs and as run directories."""
    root = tmp_path_factory.mktemp("both")
    for seed, dropout in RUNS:
        config = {"seed": seed, "dropout": dropout, "model": {"name": "mlp", "widths": [4, 2]}}
        run = offline_run(root, config=config)
        log_to(WandbSink(run), seed, dropout)
        run.finish()
        log_to(RunDir(root / f"{seed}-{dropout}"), seed, dropout, META | {"config": config})
    return root / "wandb", root


def test_offline_runs_are_read_as_their_run_directories_are(folders: tuple[Path, Path]) -> None:
    offline, root = folders
    from_wandb, said = read_runs([offline])
    from_folders, _ = read_runs([root / f"{seed}-{dropout}" for seed, dropout in RUNS])
    assert told(from_wandb) == told(from_folders)
    assert said == []
    assert from_wandb[0].settings["model.widths"] == "[4, 2]"
    assert Key("training", "train", "net.0", "I_XT") in from_wandb[0].values
    (effects,) = (c.effects for c in compare(from_wandb, "dropout"))
    assert effects[Key("training", "held_out", "net.1", "I_XT")].mean == pytest.approx(-0.5)
    assert effects[Key("training", "train", "net.0", "I_XT_given_Y")].mean == 0


def test_a_folder_a_run_and_a_file_name_the_same_runs(folders: tuple[Path, Path]) -> None:
    files = wandb_files(folders[0])
    assert len(files) == 4
    assert wandb_files(files[0].parent) == wandb_files(files[0]) == files[:1]
    assert wandb_files(folders[1] / "0-0.0") == []


def test_the_command_compares_offline_runs(folders: tuple[Path, Path]) -> None:
    given = ["lens", "compare", str(folders[0]), "--factor", "dropout"]
    result = CliRunner().invoke(main, given)
    assert "dropout = 0.5 against 0.0: not decided, for 2 seeds are too few" in result.stdout
    assert result.exit_code == 0
    assert "expected RUN… or --wandb" in CliRunner().invoke(main, given[:2]).output


def test_a_torn_file_is_said_and_read_as_far_as_it_goes(folders: tuple[Path, Path], tmp_path: Path) -> None:
    file = wandb_files(folders[0])[0]
    whole = file.read_bytes()
    torn = tmp_path / file.parent.name / file.name
    torn.parent.mkdir()
    torn.write_bytes(whole[: whole.index(b"ib_final/step")])  # the row of the second snapshot comes after it
    (run,), said = read_runs([torn])
    assert "is torn: a message of it is damaged or ends early; it was read as far as it goes" in said[0]
    assert "did not come to its end" in said[1]
    # Runs of one second are in the order of their random names.
    assert run.values[Key("training", "train", "net.0", "I_XT")] == pytest.approx(3 + 0.1 * run.seed)


def test_without_wandb_the_error_names_it(folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "wandb.proto.wandb_internal_pb2", None)
    with pytest.raises(MissingExtra, match="needs wandb, which is not installed"):
        read_runs([folders[0]])
    with pytest.raises(MissingExtra, match="needs wandb, which is not installed"):
        list(project_runs("tester/tests", []))


def test_runs_that_nothing_tells_apart_are_said_and_keys_can_be_ignored(tmp_path: Path) -> None:
    for seed, dropout in RUNS:
        for again in ("first", "second") if dropout else ("first",):
            config = {"seed": seed, "dropout": dropout, "folder": f"{seed}{dropout}{again}"}
            log_to(RunDir(tmp_path / f"{seed}-{dropout}-{again}"), seed, dropout, META | {"config": config})
    paths = sorted(tmp_path.iterdir())
    with pytest.raises(BadInput, match="no two runs of one seed differ in 'dropout' alone"):
        compare(read_runs(paths)[0], "dropout")
    runs, said = read_runs(paths, ignore=("folder",))
    assert said == [
        f"{s}-0.5-first, {s}-0.5-second have the same settings and seed {s}: the last counts" for s in (0, 1)
    ]
    assert compare(runs, "dropout")[0].effects[Key("training", "held_out", "net.1", "I_XT")].seeds == 2

"""The command line as a user types it."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from ibprobe import check_plane, load_run
from ibprobe.cli import main
from ibprobe.plugins import Plugins
from ibprobe.record.flags import FLAGS


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args])


@pytest.fixture(scope="module")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo") / "run"
    result = run("demo", "--quick", "--epochs", 1, "--run-dir", folder)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_the_demo_measures_every_layer_on_both_splits(demo_run: tuple[Path, str]) -> None:
    records = load_run(demo_run[0])
    assert records.layers == ["hidden1", "hidden2", "hidden3", "hidden4", "logits"]
    for layer in records.layers:
        for split in ("train", "held_out"):
            for quantity in ("I_XT", "I_TY"):
                assert len(records.select(layer=layer, split=split, quantity=quantity, headline=True)) > 10


def test_the_demo_ends_with_the_run_directory_and_what_to_do_next(demo_run: tuple[Path, str]) -> None:
    last = demo_run[1].strip().splitlines()[-1]
    assert str(demo_run[0]) in last
    assert f"ibprobe report {demo_run[0]} -o report.html" in last


def test_the_demo_run_passes_the_guards(demo_run: tuple[Path, str]) -> None:
    assert check_plane(load_run(demo_run[0])) == []


def test_plugins_lists_every_estimator_with_its_source() -> None:
    result = run("plugins")
    assert result.exit_code == 0, result.output
    for name, found in Plugins().offers("estimator").items():
        line = next(line for line in result.output.splitlines() if f" {name} " in line)
        assert found.source in line


@pytest.mark.slow
def test_the_whole_demo_measures_everything_and_passes_the_guards(tmp_path: Path) -> None:
    assert run("demo", "--run-dir", tmp_path / "run").exit_code == 0
    records = load_run(tmp_path / "run")
    assert check_plane(records) == []
    last = records.select(step=records.steps[-1])
    kinds = {(e.layer, e.split, e.quantity, e.estimator) for e in last}
    # Five layers on two splits: three brackets and two critics each.
    assert len(kinds) == 5 * 2 * (3 + 2)
    assert "outside_bracket" not in {flag for e in records for flag in e.flags}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_export_writes_every_record(suffix: str, demo_run: tuple[Path, str], tmp_path: Path) -> None:
    out = tmp_path / f"run.{suffix}"
    assert run("export", demo_run[0], "-o", out).exit_code == 0
    table = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    assert table["nats"].tolist() == pytest.approx([e.nats for e in load_run(demo_run[0])])


def test_export_names_what_is_wrong(tmp_path: Path, demo_run: tuple[Path, str]) -> None:
    foreign = run("export", tmp_path, "-o", tmp_path / "x.csv")
    assert (foreign.exit_code, "is no run directory" in foreign.output) == (1, True)
    ending = run("export", demo_run[0], "-o", tmp_path / "x.xls")
    assert (ending.exit_code, ".csv or .parquet" in ending.output) == (1, True)


def test_explain_knows_every_flag_and_suggests_close_ones() -> None:
    for name, flag in FLAGS.items():
        assert flag.action in run("explain", name).output
    assert "did you mean: at_ceiling" in run("explain", "at_cieling").output
    assert all(name in run("explain").output for name in FLAGS)


def write_mnist(folder: Path, n: int = 64, *, zipped: bool = False) -> None:
    images, labels = np.arange(n * 784, dtype=np.uint8).reshape(n, 28, 28), np.arange(n, dtype=np.uint8) % 10
    for split in ("train", "t10k"):
        files = {
            f"{split}-images-idx3-ubyte": struct.pack(">4I", 0x803, n, 28, 28) + images.tobytes(),
            f"{split}-labels-idx1-ubyte": struct.pack(">2I", 0x801, n) + labels.tobytes(),
        }
        for name, raw in files.items():
            (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(raw) if zipped else raw)


@pytest.mark.parametrize("zipped", [False, True])
def test_idx_files_are_read_gzipped_or_not(zipped: bool, tmp_path: Path) -> None:
    from ibprobe.demo import load_mnist

    write_mnist(tmp_path, zipped=zipped)
    data = load_mnist(tmp_path)
    assert data.train[0].shape == (64, 784)
    assert data.held_out[1][:3].tolist() == [0, 1, 2]


def test_a_missing_or_damaged_folder_is_one_line(tmp_path: Path) -> None:
    missing = run("demo", "--data", "mnist", "--root", tmp_path)
    assert (missing.exit_code, missing.output.count("\n")) == (1, 1)
    assert "train-images-idx3-ubyte[.gz] is missing" in missing.output
    write_mnist(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(b"\x00\x00\x08\x03short")
    damaged = run("demo", "--data", "mnist", "--root", tmp_path)
    assert (damaged.exit_code, damaged.output.count("\n")) == (1, 1)
    assert "is damaged" in damaged.output


def test_mnist_without_a_folder_says_what_is_missing() -> None:
    assert "--root DIR" in run("demo", "--data", "mnist").output


def test_an_unknown_device_is_one_line() -> None:
    result = run("selfcheck", "--device", "nonsense")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)


def test_a_csv_has_one_column_a_field(demo_run: tuple[Path, str], tmp_path: Path) -> None:
    run("export", demo_run[0], "-o", tmp_path / "run.csv")
    header = (tmp_path / "run.csv").read_text().splitlines()[0].split(",")
    assert {"layer", "quantity", "nats", "bracket_low", "bracket_high", "ceiling", "flags"} <= set(header)


def test_a_wandb_workspace_can_be_looked_at_without_a_login() -> None:
    pytest.importorskip("wandb_workspaces")
    result = run("wandb-workspace", "team/project", "--dump", "--factor", "width")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["project"] == "project"
    assert "width" in result.output


def test_a_wandb_project_without_its_entity_says_what_was_expected() -> None:
    result = run("wandb-workspace", "project", "--dump")
    assert result.exit_code == 1
    assert "expected ENTITY/PROJECT" in result.output

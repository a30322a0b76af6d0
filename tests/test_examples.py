"""Every example runs and ends with its finding; the first page's program is the quickstart."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


LIGHTNINGS_OWN = ("The 'train_dataloader' does not have many workers", "`isinstance(treespec, LeafSpec)` is deprecated")
"""Warnings that its users see without ibprobe, too."""


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def last_line(name: str, *args: object, unless: tuple[str, ...] = (), under: tuple[str, ...] = ()) -> str:
    warnings = ["-Werror", *(f"-Wignore:{message}" for message in unless)]
    command = [sys.executable, *warnings, *under, str(ROOT / "examples" / name), *map(str, args)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_every_example_is_short_and_tested() -> None:
    source = Path(__file__).read_text()
    assert all(f'"{path.name}"' in source for path in EXAMPLES)
    assert all(len(path.read_text().splitlines()) <= 60 for path in EXAMPLES)


@pytest.mark.slow
def test_the_quickstart_is_right_about_a_network_with_a_known_answer() -> None:
    found = re.fullmatch(
        r"largest error of a bracket's value: (\S+) nats; .*", last_line("quickstart.py", "--steps", 50)
    )
    assert found
    # The truth lies within 0.1 of a bracket's value while the bracket is narrow, as it is here.
    assert float(found[1]) < 0.15


@pytest.mark.slow
def test_checkpoints_tell_true_labels_from_shuffled_ones() -> None:
    line = last_line("checkpoint.py")
    good, bad = map(float, re.findall(r"\d+\.\d+", line))
    assert good > bad + 0.5


@pytest.mark.slow
def test_lightning_needs_one_line() -> None:
    line = last_line("lightning_mlp.py", "--epochs", 6, unless=LIGHTNINGS_OWN)
    found = re.fullmatch(r"the head keeps (\S+) of 2.30 nats of the label; table in (\S+)", line)
    assert found
    assert float(found[1]) > 0.5
    assert Path(found[2]).is_file()
    assert Path(found[2]).with_name("report.html").is_file()


@pytest.mark.slow
def test_a_loop_with_accelerate_goes_on_with_its_records(tmp_path: Path) -> None:
    line = last_line("accelerate_loop.py", "--steps", 60, "--run-dir", tmp_path / "run")
    assert line == f"resumed: the same run, measured at steps 16 to 60; records in {tmp_path / 'run'}"


@pytest.mark.slow
def test_so_does_one_that_accelerate_launches_in_two_processes(tmp_path: Path) -> None:
    # On a CPU, --cpu would need MPI; the example itself asks for the CPU.
    launched = "-m accelerate.commands.launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no"
    under = (*launched.split(), "--dynamo_backend", "no")
    line = last_line("accelerate_loop.py", "--steps", 120, "--run-dir", tmp_path / "run", under=under)
    assert line == f"resumed: the same run, measured at steps 16 to 60; records in {tmp_path / 'run'}"


@pytest.mark.slow
@pytest.mark.parametrize(("how", "by"), [((), "0"), (("--shard",), "0"), (("--layers",), "0+1")])
def test_two_processes_of_torchrun_leave_one_run(how: tuple[str, ...], by: str, tmp_path: Path) -> None:
    line = last_line("ddp.py", "--epochs", 2, "--run-dir", tmp_path / "run", *how, under=TORCHRUN)
    assert re.fullmatch(rf"2 processes; 3 layers at \d+ steps, measured by rank {re.escape(by)}", line)


@pytest.mark.slow
def test_the_notebook_runs_and_was_saved_with_its_pictures() -> None:
    cells = json.loads((ROOT / "examples" / "plane.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 4
    assert not [output for output in outputs if output["output_type"] == "error"]
    program = "\n".join("".join(cell["source"]) for cell in code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_trainer_of_hugging_face_shows_a_classifier_and_a_language_model(tmp_path: Path) -> None:
    line = last_line("hf_trainer.py", "--steps", 60, "--out", tmp_path)
    found = re.match(r"language: its last block tells (\S+) of (\S+) nats; ", line)
    assert found
    assert 0.1 < float(found[1]) < float(found[2])
    for name in ("classifier", "language"):
        (run,) = (tmp_path / name / "ibprobe").iterdir()
        assert (run / "report.html").is_file()


@pytest.mark.slow
def test_a_vision_transformer_tells_unseen_digits_apart(tmp_path: Path) -> None:
    found = re.match(r"the head tells (\S+) of 2.30 nats", last_line("vit.py", "--steps", 200, "--out", tmp_path))
    assert found
    assert float(found[1]) > 1.2


@pytest.mark.slow
def test_the_articles_table_comes_with_brackets(reference_data: Path) -> None:
    line = last_line("mnist_mlp.py", "--root", reference_data, "--epochs", 20)
    assert line.startswith("guards broken: 0;")


@pytest.mark.slow
def test_regularizers_are_compared_with_both_activations(reference_data: Path, tmp_path: Path) -> None:
    given = {"root": reference_data, "out": tmp_path, "seeds": 2, "epochs": 1, "images": 300, "rows": 64, "jobs": 1}
    last_line("regularizers.py", *(word for name, value in given.items() for word in (f"--{name}", value)))
    for activation in ("relu", "tanh"):
        assert len(list((tmp_path / activation / "runs").iterdir())) == 2 * 10
        assert "not decided, for 2 seeds are too few" in (tmp_path / activation / "lens.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_table_of_beta_vaes_and_that_of_vib_come_with_intervals(reference_data: Path, tmp_path: Path) -> None:
    tiny: dict[str, tuple[object, ...]] = {
        "beta_vae.py": ("--steps", 5, "--bodies", 100),
        "vib_mnist.py": ("--root", reference_data, "--epochs", 1, "--images", 500, "--width", 32, "--units", 8),
    }
    for name, given in tiny.items():
        folder = tmp_path / name
        line = last_line(name, *given, "--out", folder, "--betas", 0.1, 1, "--seeds", 2, "--jobs", 1)
        assert line == f"table.md and figure.svg in {folder}"
        table = (folder / "table.md").read_text(encoding="utf-8")
        assert [row[:8] for row in table.splitlines()[-2:]] == ["| 0.1 | ", "| 1 | 2 "]
        assert "<svg" in (folder / "figure.svg").read_text(encoding="utf-8")


def test_the_first_page_has_the_quickstart() -> None:
    first = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "index.md").read_text(), re.DOTALL)
    assert first
    assert first[1] == (ROOT / "examples" / "quickstart.py").read_text()

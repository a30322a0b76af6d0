"""``ibprobe ib-curve`` and ``ibprobe report --frontier`` as a user types them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from ib.joints import labels, random_joint
from record_factory import interval
from show.unpacked import Tables

from ibprobe.bottleneck import ib_curve, load_curve
from ibprobe.cli import main
from ibprobe.record.rundir import RunDir


@pytest.fixture(autouse=True)
def _without_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scripts that draw take a second and a megabyte, and are tested with the page."""
    monkeypatch.setattr("ibprobe.show.page._bundle", lambda: "")


def run(*args: object) -> Result:
    return CliRunner().invoke(main, list(map(str, args)))


@pytest.fixture
def joint(tmp_path: Path) -> Path:
    np.savetxt(tmp_path / "joint.csv", random_joint(12, 3), delimiter=",")
    return tmp_path / "joint.csv"


def test_a_page_is_written_and_the_curve_said_in_a_line(joint: Path) -> None:
    result = run("ib-curve", joint, "-o", "new/curve.html", "--points", 8)
    assert result.exit_code == 0, result.output
    curve = ib_curve(random_joint(12, 3), points=8)
    assert f"I(X;Y) = {curve.i_xy:.4f} nats; new/curve.html (" in result.stdout
    page = Path("new/curve.html").read_text()
    points = Tables(page).named("points")
    assert [float(row["I(T;Y)"][0]) for row in points] == pytest.approx(curve.i_ty, abs=1e-4)
    assert f"{curve.onset:.6g}" in page


def test_points_alone_are_saved_and_can_be_a_frontier(joint: Path) -> None:
    assert run("ib-curve", joint, "-o", "curve.npz", "--points", 8, "--kind", "dib").exit_code == 0
    assert load_curve("curve.npz").kind == "dib"


def test_labels_get_a_note_and_the_square_answers_it(tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", labels())
    assert "note: Y is a function of X" in run("ib-curve", tmp_path / "labels.npy", "-o", "a.npz").stderr
    squared = run("ib-curve", tmp_path / "labels.npy", "-o", "b.npz", "--squared", "--points", 9)
    assert "note" not in squared.stderr
    assert np.diff(load_curve("b.npz").i_xt)[:7].min() > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.npy",), "cannot read missing.npy"),
        (("joint.txt",), "as .npy or .csv"),
        (("joint.npy", "-o", "curve.pdf"), "ends in .html or .npz"),
        (("joint.npy", "--device", "nowhere"), "cannot be used here"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str) -> None:
    np.save("joint.npy", random_joint(4, 2))
    result = run("ib-curve", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Layers below the curve of ``labels()``, at its corner, and where none can be."""
    kept = RunDir(tmp_path / "run")
    kept.open({"model": "Net", "seed": 0})
    made = []
    for name, xt, ty in (("below", 2.0, 0.5), ("corner", 1.1, ib_curve(labels(), [0.0]).h_y), ("above", 0.3, 0.9)):
        made += [interval("I_XT", xt - 0.05, xt + 0.05, layer=name), interval("I_TY", ty - 0.01, ty + 0.01, layer=name)]
    kept.write(tuple(made), ())
    kept.close("")
    return tmp_path / "run"


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_a_report_draws_the_frontier_and_says_each_layers_distance(kind: str, recorded: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", labels())
    assert run("ib-curve", tmp_path / "labels.npy", "-o", tmp_path / "labels.npz").exit_code == 0
    result = run("report", recorded, "--frontier", tmp_path / f"labels.{kind}")
    assert result.exit_code == 0, result.output
    page = Path("report.html").read_text()
    rows = {row["layer"][0]: row for row in Tables(page).named("frontier")}
    h_y = ib_curve(labels(), [0.0]).h_y
    assert float(rows["below"]["below by"][0]) == pytest.approx(h_y - 0.5, abs=2e-3)
    low, high = (float(end) for end in rows["corner"]["between"][0].strip("[]").split(", "))
    assert low <= 0 <= high
    assert float(rows["above"]["below by"][0]) == pytest.approx(0.3 - 0.9, abs=2e-3)
    assert page.count('class="flagged"') >= 1


def test_without_a_frontier_there_is_no_such_table(recorded: Path) -> None:
    assert run("report", recorded).exit_code == 0
    assert 'id="frontier"' not in Path("report.html").read_text()


def test_a_frontier_of_another_kind_is_one_line(recorded: Path) -> None:
    result = run("report", recorded, "--frontier", "curve.txt")
    assert (result.exit_code, "expected a curve (.npz" in result.stderr) == (1, True)

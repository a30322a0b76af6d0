"""Training functions that measure themselves: what they keep, and its table and figure over seeds."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from ibprobe.errors import BadInput, UnknownName
from ibprobe.lens import find, read_runs, write_report
from ibprobe.lens.beta_vae import pictures
from ibprobe.lens.design import PLACEBO, Design
from ibprobe.lens.engine import run_design
from ibprobe.lens.measuring import Measuring
from ibprobe.lens.report import page
from ibprobe.lens.report import pictures as charts
from ibprobe.lens.summary import write_outcomes
from ibprobe.lens.vib import mnist
from ibprobe.lens.watch import Watch
from ibprobe.lens.words import verdict


def watch_in(folder: Path, **config: Any) -> Watch:
    folder.mkdir(parents=True, exist_ok=True)
    return Watch(folder, Measuring(), config)


def kept(folder: Path, level: float, seed: int, order: int = 0, **values: Any) -> None:
    config = {"beta": level, "seed": seed, "order_seed": 2 * seed + order, PLACEBO: order, "train": "a.b:train"}
    watch_in(folder / "runs" / f"{level}-{seed}-{order}", **config).keep(values)


def test_a_table_has_means_and_students_intervals_without_the_placebo(tmp_path: Path) -> None:
    for seed, value in enumerate((1.0, 2.0, 3.0)):
        kept(tmp_path, 4.0, seed, cost=value)
        kept(tmp_path, 1.0, seed, cost=0.02)
    kept(tmp_path, 1.0, 0, order=1, cost=99.0)
    words = write_outcomes(tmp_path, "beta", {"cost": "the cost"})
    # 4.303 · 1/√3.
    assert words.splitlines()[-4:] == [
        "| beta | seeds | the cost |",
        "| --- | ---: | ---: |",
        "| 1 | 3 | 0.0200 ± 0.0000 |",
        "| 4 | 3 | 2.00 ± 2.48 |",
    ]
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == words + "\n"
    assert "the cost" in (tmp_path / "figure.svg").read_text(encoding="utf-8")


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no run could be read"):
        write_outcomes(tmp_path, "beta", {"cost": "cost"})
    for level in (1.0, 2.0):
        kept(tmp_path, level, 0, cost=1.0)
    with pytest.raises(UnknownName, match="cost"):
        write_outcomes(tmp_path, "beta", {"costs": "costs"})
    with pytest.raises(UnknownName, match="beta"):
        write_outcomes(tmp_path, "betas", {"cost": "cost"})
    words = write_outcomes(tmp_path, "beta", {"cost": "cost", "score": "a score"}, optional=["score"])
    assert words.endswith("\n\nAbsent: a score.")


def test_numbers_are_read_as_values_of_a_run_and_others_are_not(tmp_path: Path) -> None:
    kept(tmp_path, 1.0, 3, cost=1.5, said="a word", broken=math.nan)
    (run,), said = read_runs([tmp_path])
    assert (run.seed, run.order, dict(run.settings)) == (3, 0, {"beta": 1.0})
    assert {key.quantity: value for key, value in run.values.items()} == {"cost": 1.5}
    assert said == ["1.0-3-0: broken is nan: left out"]


def test_the_lens_compares_and_reports_what_was_kept(tmp_path: Path) -> None:
    for seed in range(8):
        for level in (1.0, 2.0, 4.0):
            # A cost that rises by its level, give or take a hundredth, and a score that no level moves for certain.
            kept(tmp_path, level, seed, cost=level + 0.01 * (seed % 3), score=float((seed * int(level)) % 3))
        kept(tmp_path, 1.0, seed, order=1, cost=1 + 0.01 * ((seed + 1) % 3), score=0.0)
    found = find([tmp_path])
    (twice, fourfold) = found.comparisons["beta"]
    assert verdict(twice, found) == "beta = 2.0 against 1.0: more in cost; not decided in score"
    assert fourfold.judged_by(found.split)["cost"].mean == pytest.approx(3)
    made = page(found)
    boxes = {name: texts for name, _, texts in made.cases[0]["verdict"]}
    assert len(boxes["What changes the layers"]) == 2
    assert {section.table.id for section in made.sections if section.table} == {"outcomes-beta", "outcomes", "design"}
    assert "beta-outcomes" in charts(found)
    text = write_report(found, tmp_path / "lens.md").read_text(encoding="utf-8")
    assert "| 4 | 8 | 4.01 ± 0.01 |" in text
    assert "| beta = 4.0 against 1.0 | cost | +3.0000 [+3.0000, +3.0000], 8/8: more |" in text


def test_a_run_keeps_once_and_no_name_twice(tmp_path: Path) -> None:
    watch = watch_in(tmp_path)
    with pytest.raises(BadInput, match="'noise' is kept already"):
        watch.keep({"noise": 1})
    watch.keep({"cost": 1.0})
    assert json.loads((tmp_path / "outcome.json").read_text())["cost"] == 1
    with pytest.raises(BadInput, match="once"):
        watch.keep({"cost": 1.0})


def test_a_small_beta_vae_is_measured_in_all_columns(tmp_path: Path) -> None:
    watch = watch_in(tmp_path)
    pictures(watch, seed=0, order_seed=0, beta_rate=1.0, steps=3, batch=16, channels=2, units=3, bodies=60)
    found = json.loads((tmp_path / "outcome.json").read_text())
    assert {"mse_train", "mse_held_out", "mse_shifted", "mig", "dci", "factor_vae", "norm", "active"} <= found.keys()
    assert found["information_low"] <= found["rate"]
    # Rate and upper end may be equal but for the draws.
    assert found["gap_low"] <= found["gap_high"]
    assert 0 < found["mse_train"] < 1


@pytest.mark.slow
def test_a_design_of_them_is_resumed(tmp_path: Path) -> None:
    fixed = {"steps": 2, "channels": 2, "bodies": 40, "units": 2}
    design = Design("ibprobe.lens.beta_vae:pictures", {"beta_rate": (1.0, 4.0)}, (0, 1), fixed=fixed)
    assert [done.failed for done in run_design(design, Measuring(), tmp_path, jobs=1)] == [""] * 6
    assert run_design(design, Measuring(), tmp_path, jobs=1) == []
    assert len(read_runs([tmp_path])[0]) == 6


@pytest.mark.slow
def test_a_small_vib_learns_digits_at_a_rate_that_falls_with_beta(tmp_path: Path, reference_data: Path) -> None:
    found = []
    for beta in (1e-3, 1.0):
        watch = watch_in(tmp_path / str(beta))
        settings = {"epochs": 12, "images": 10_000, "lr": 2e-3, "units": 16, "width": 128}
        mnist(watch, root=str(reference_data), seed=0, order_seed=0, beta_rate=beta, **settings)  # type: ignore[arg-type]
        found.append(json.loads((tmp_path / str(beta) / "outcome.json").read_text()))
    light, heavy = found
    # 1,200 steps on a sixth of the images.
    assert light["error_12"] < light["error"] + 0.5 < 12
    assert light["error_12_averaged"] < light["error_12"] + 0.5
    assert heavy["rate"] < light["rate"]
    for each in found:
        assert each["information_low"] <= each["rate"]
        assert each["told_of_labels"] <= each["information_high"]


@pytest.mark.slow
def test_the_first_epoch_of_vib_on_mnist_is_that_of_the_public_log(tmp_path: Path, reference_data: Path) -> None:
    mnist(watch_in(tmp_path), root=str(reference_data), seed=0, order_seed=0, beta_rate=1e-3, epochs=1)
    found = json.loads((tmp_path / "outcome.json").read_text(encoding="utf-8"))
    # 134.31 bits, 7.68 and 6.21 % of one run; its rate goes up and down by a tenth from epoch to epoch later on.
    assert found["rate_bits"] == pytest.approx(134.31, rel=0.25)
    assert found["error"] == pytest.approx(7.68, abs=1.5)
    assert found["error_12"] == pytest.approx(6.21, abs=1.5)

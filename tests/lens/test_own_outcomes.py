"""Training functions that measure themselves: what they keep, and its table and figure over seeds."""

import json
from pathlib import Path
from typing import Any

import pytest

from ibprobe.errors import BadInput, UnknownName
from ibprobe.lens.beta_vae import shapes
from ibprobe.lens.design import Design
from ibprobe.lens.engine import run_design
from ibprobe.lens.measuring import Measuring
from ibprobe.lens.outcomes import figure, outcomes, table
from ibprobe.lens.vib import mnist
from ibprobe.lens.watch import Watch
from ibprobe.show.pictures import rendered
from ibprobe.show.theme import themed


def watch_in(folder: Path, **config: Any) -> Watch:
    folder.mkdir(parents=True, exist_ok=True)
    return Watch(folder, Measuring(), config)


def kept(folder: Path, level: float, seed: int, order: int = 0, **values: Any) -> None:
    watch_in(folder / "runs" / f"{level}-{seed}-{order}", beta=level, seed=seed, order=order).keep(values)


def test_a_table_has_means_and_students_intervals_without_the_placebo(tmp_path: Path) -> None:
    for seed, value in enumerate((1.0, 2.0, 3.0)):
        kept(tmp_path, 4.0, seed, cost=value)
        kept(tmp_path, 1.0, seed, cost=0.02)
    kept(tmp_path, 1.0, 0, order=1, cost=99.0)
    found = outcomes(tmp_path)
    assert len(found) == 6
    # 4.303 · 1/√3.
    assert table(found, "beta", {"cost": "the cost"}).splitlines() == [
        "| beta | seeds | the cost |",
        "|---|---|---|",
        "| 1 | 3 | 0.0200 ± 0.0000 |",
        "| 4 | 3 | 2.00 ± 2.48 |",
    ]
    svg = rendered(themed(figure(found, "beta", {"cost": "the cost"})), "svg").decode()
    assert "the cost" in svg


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no whole run"):
        outcomes(tmp_path)
    for seed in range(2):
        kept(tmp_path, 1.0, seed, cost=1.0)
    with pytest.raises(UnknownName, match="cost"):
        table(outcomes(tmp_path), "beta", {"costs": "costs"})
    with pytest.raises(UnknownName, match="beta"):
        table(outcomes(tmp_path), "betas", {"cost": "cost"})


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
    shapes(watch, seed=0, order_seed=0, beta_rate=1.0, steps=3, batch=16, channels=2, units=3, bodies=60)
    found = json.loads((tmp_path / "outcome.json").read_text())
    assert {"mse_train", "mse_held_out", "mse_shifted", "mig", "dci", "factor_vae", "norm", "active"} <= found.keys()
    assert found["information_low"] <= found["rate"]
    # Rate and upper end may be equal but for the draws.
    assert found["gap_low"] <= found["gap_high"]
    assert 0 < found["mse_train"] < 1


@pytest.mark.slow
def test_a_design_of_them_is_resumed(tmp_path: Path) -> None:
    fixed = {"steps": 2, "channels": 2, "bodies": 40, "units": 2}
    design = Design("ibprobe.lens.beta_vae:shapes", {"beta_rate": (1.0, 4.0)}, (0, 1), fixed=fixed)
    assert [done.failed for done in run_design(design, Measuring(), tmp_path, jobs=1)] == [""] * 6
    assert run_design(design, Measuring(), tmp_path, jobs=1) == []
    assert len(outcomes(tmp_path)) == 4


@pytest.mark.slow
def test_a_small_vib_learns_digits_at_a_rate_that_falls_with_beta(tmp_path: Path, reference_data: Path) -> None:
    found = []
    for beta in (1e-3, 1.0):
        watch = watch_in(tmp_path / str(beta))
        settings = {"epochs": 12, "images": 10_000, "lr": 2e-3, "units": 16, "width": 128}
        mnist(watch, root=str(reference_data), seed=0, order_seed=0, beta_rate=beta, **settings)  # type: ignore[arg-type]
        found.append(json.loads((tmp_path / str(beta) / "outcome.json").read_text()))
    light, heavy = found
    # 1,200 steps, of which the averaged weights see about 1,000.
    assert light["error_12"] < light["error"] + 0.5 < 12
    assert heavy["rate"] < light["rate"]
    for each in found:
        assert each["information_low"] <= each["rate"]
        assert each["told_of_labels"] <= each["information_high"]

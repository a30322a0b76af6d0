"""Runs that no engine made, or of which some are missing: compared as far as they go, and what is not is said."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lens.planted import key, run
from lens.planted_designs import LEVEL, run_folder, write_design
from torch import nn

from ibprobe.errors import BadInput, UnknownName
from ibprobe.lens import Design, Measuring, Watch, find, findings, read_runs
from ibprobe.lens.markdown import markdown
from ibprobe.lens.report import page
from ibprobe.lens.runs import GAP, HELD_OUT, SHIFTED, Run, begun
from ibprobe.lens.to_wandb import _runs
from ibprobe.lens.watch import ABSOLUTE, TRAINING, accuracy
from ibprobe.lens.words import limits, telling_words
from ibprobe.record.records import Event
from ibprobe.record.rundir import RunDir, load_run


def with_levels(levels: Any, seeds: int = 8) -> list[Run]:
    rng = np.random.default_rng(0)
    layers = [key(name) for name in ("a|b", "c.d")]
    return [
        run(seed, {"mode": level}, {k: rng.normal() for k in layers} | {HELD_OUT: 0.9, SHIFTED: rng.normal(), GAP: 0.1})
        for seed in range(seeds)
        for level in levels
    ]


@pytest.mark.parametrize("levels", [[False, True], ["none", "crop"], [False, "mild", 2.0], [0, 0.5, True]])
def test_levels_may_be_of_any_kind(levels: Any) -> None:
    found = findings(with_levels(levels), baseline={"mode": levels[0]})
    assert [c.level for c in found.comparisons["mode"]] == sorted(levels[1:], key=lambda v: (isinstance(v, str), v))
    json.dumps(found.to_dict(), allow_nan=False)
    page(found).html()
    assert len(_runs(found).data) == len(found.runs)


def test_bars_in_names_of_layers_stay_within_their_cell() -> None:
    lines = [line for line in markdown(findings(with_levels([0.0, 0.5, 1.0]))) if line.startswith("| ")]
    assert any("a\\|b" in line for line in lines)
    bars = [line.replace("\\|", "").count("|") for line in lines]
    heads = [n for n, line in enumerate(lines) if line.startswith("| ---")]
    for at, end in zip(heads, [*(h - 1 for h in heads[1:]), len(lines)], strict=True):
        assert set(bars[at - 1 : end]) == {bars[at]}


def test_one_seed_is_shown_without_a_verdict() -> None:
    lines = list(markdown(findings(with_levels([0, 1], seeds=1))))
    assert lines[0].startswith("- mode = 1 against 0: not decided, for 1 seed is too few (8 are asked for)")


@pytest.mark.parametrize(
    ("config", "seed", "settings", "order"),
    [
        ({"seed": None, "lr": 1}, 0, {"lr": 1}, 0),
        ({"seed": 2, "order": "random", "train": "a.csv"}, 2, {"order": "random", "train": "a.csv"}, 0),
        ({"seed": 2, "order_seed": 5, "placebo": 1, "train": "a:b", "lr": 1}, 2, {"lr": 1}, 1),
    ],
)
def test_order_and_train_are_settings_but_where_a_design_says_them(
    config: dict[str, Any], seed: int, settings: dict[str, Any], order: int
) -> None:
    found = begun("run", config, said := [])
    assert (found.seed, found.settings, found.order) == (seed, settings, order)
    assert bool(said) == (config["seed"] is None)


def test_a_factor_without_pairs_is_said_and_the_others_are_compared() -> None:
    runs = [r for r in with_levels([0.0, 0.5], seeds=8)]
    for r in runs:
        r.settings = {**r.settings, "decay": 0.0}
    runs += [run(seed, {"mode": 0.0, "decay": 0.4}, {key("c.d"): 1.0}) for seed in (20, 21)]
    found = findings(runs)
    assert list(found.comparisons) == ["mode"]
    assert found.said == [
        "not compared: no two runs of one seed differ in 'decay' alone: record them with the same seeds"
    ]
    assert found.said[0] in "\n".join(markdown(found))
    with pytest.raises(BadInput, match="'decay' alone"):
        findings(runs, factors=["decay"])
    with pytest.raises(UnknownName, match="no factor named"):
        findings(runs, factors=["moda"])


def test_a_level_is_known_by_its_shorter_text() -> None:
    found = findings(with_levels([0.0, 0.5]), factors=["mode"], baseline={"mode": "0"})
    assert found.baseline == {"mode": 0.0}


def test_runs_of_the_design_that_are_not_there_are_said(tmp_path: Path) -> None:
    write_design(tmp_path, np.random.default_rng(0), {}, noise=0.1, seeds=3)
    Design("a.b:train", {"dropout": [0.0, LEVEL]}, (0, 1, 2)).keep(tmp_path, {})
    assert find([tmp_path]).said == []
    shutil.rmtree(run_folder(tmp_path, 1, LEVEL))
    found = find([tmp_path])
    assert found.said == [f"{tmp_path}: 1 of 9 runs of the design are not there"]
    assert "8 runs of 3 seeds;" in limits(found)
    for seed in range(3):
        shutil.rmtree(run_folder(tmp_path, seed, 0.0))
    with pytest.raises(BadInput, match="no two runs of one seed differ in 'dropout' alone"):
        find([tmp_path])


def test_other_absolute_noise_is_no_effect_of_a_level(tmp_path: Path) -> None:
    write_design(tmp_path, np.random.default_rng(0), {}, noise=0.1, seeds=2)
    file = run_folder(tmp_path, 0, LEVEL) / ABSOLUTE / "records.jsonl"
    sigma = load_run(file.parent).estimates[0].sigma
    file.write_text(
        file.read_text().replace(f'"sigma": {sigma}', '"sigma": 0.77').replace(f'"sigma":{sigma}', '"sigma":0.77')
    )
    runs, said = read_runs([tmp_path])
    assert len(said) == 1
    assert said[0].startswith("absolute noise is not the same in all runs: what was measured at it in hidden1")
    assert {k.how for r in runs for k in r.values} == {TRAINING, "sampled", "outcome"}


def test_a_probe_that_gave_up_is_said(tmp_path: Path) -> None:
    write_design(tmp_path, np.random.default_rng(0), {}, noise=0.1, seeds=2)
    folder = run_folder(tmp_path, 0, LEVEL)
    whole = load_run(folder / TRAINING)
    shutil.rmtree(folder / TRAINING)
    directory = RunDir(folder / TRAINING)
    directory.open(whole.meta)
    directory.write(whole.estimates, [Event(step=20, kind="disarmed", why="out of memory")])
    directory.close("")
    _, said = read_runs([tmp_path])
    assert said == [f"{folder.name}: training: out of memory"]


def test_why_nothing_is_said_of_robust_and_brittle() -> None:
    assert "of fewer than 4 settings" in telling_words(findings(with_levels([0.0, 0.5])))
    without = with_levels([0.0, 0.5])
    for r in without:
        del r.values[SHIFTED]
    assert telling_words(findings(without)).endswith("no accuracy on shifted rows was measured")


def test_accuracy_is_taken_where_the_model_is() -> None:
    class Elsewhere(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.dtype == torch.float32
            return super().forward(x)

    model = nn.Sequential(Elsewhere(3, 2)).train()
    x = torch.randn(2000, 3)
    assert accuracy(model, x, model(x).argmax(1)) == 1.0
    assert model.training


def test_a_model_of_one_module_is_watched(tmp_path: Path) -> None:
    x = torch.randn(100, 4)
    y = (x[:, 0] > 0).long()
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    folder = tmp_path / "run"
    watch = Watch(folder, Measuring(rows=64, every=5, passes=4), {"seed": 0})
    folder.mkdir()
    with watch(model, train=(x, y), held_out=(x + 0.1, y), optimizer=optimizer):
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    for how in (TRAINING, ABSOLUTE, "sampled"):
        assert {e.layer for e in load_run(folder / how).estimates} == {"model"}

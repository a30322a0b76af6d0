"""A design names its runs: every level with every seed, a baseline, a placebo."""

import re
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from helpers import unchecked

from ibprobe.cli import main
from ibprobe.errors import BadInput
from ibprobe.lens.design import Design, read_design
from ibprobe.lens.measuring import Measuring

FACTORS = {"dropout": [0.0, 0.2, 0.5], "weight_decay": [0.0, 0.1]}


GIVEN = {"train": "a.b:train", "factors": FACTORS, "seeds": (0, 1, 2), "grid": "one", "fixed": {}}


def made(**changes: Any) -> Design:
    return Design(**GIVEN | changes)


def test_one_factor_at_a_time_and_all_levels_together() -> None:
    one, full = list(made().cells()), list(made(grid="full").cells())
    assert (len(one), len(full)) == (4, 6)
    assert one[0] == full[0] == {"dropout": 0.0, "weight_decay": 0.0}
    assert {"dropout": 0.5, "weight_decay": 0.0} in one
    assert {"dropout": 0.5, "weight_decay": 0.1} in full


def test_seeds_are_shared_by_all_levels_and_the_placebo_changes_the_order_alone() -> None:
    runs = made(fixed={"epochs": 2}).runs()
    assert len(runs) == 3 * 5
    assert len({run.name for run in runs}) == 15
    placebo = [run for run in runs if run.order]
    assert [run.seed for run in placebo] == [0, 1, 2]
    base = next(run for run in runs if run.seed == 1 and run.settings == placebo[1].settings and not run.order)
    assert {k for k in base.arguments if base.arguments[k] != placebo[1].arguments[k]} == {"order_seed"}
    assert len({run.arguments["order_seed"] for run in runs}) == 6


def test_a_run_has_the_same_name_in_a_design_that_grew() -> None:
    small = {run.name for run in made().runs()}
    grown = {run.name for run in made(factors=FACTORS | {"dropout": [0.0, 0.2, 0.5, 0.8]}, seeds=(0, 1, 2, 3)).runs()}
    assert small < grown
    assert not small & {run.name for run in made(fixed={"epochs": 3}).runs()}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": "train"}, "package.module:function"),
        ({"factors": {}}, "is empty"),
        ({"factors": {"dropout": [0.5]}}, "two different levels"),
        ({"factors": {"dropout": [0.5, 0.5]}}, "two different levels"),
        ({"factors": {"seed": [0, 1]}}, "is no factor"),
        ({"fixed": {"dropout": 0.1}}, "both fixed and a factor"),
        ({"factors": {"dropout": [[0.5], [0.1]]}}, "two different levels"),
        ({"factors": {"dropout": 0.5}}, "two different levels or more, the baseline's first; got 0.5"),
        ({"train": 3}, "package.module:function; got 3"),
        ({"seeds": 8}, "two or more"),
        ({"fixed": {"day": date(2020, 1, 1)}}, "fixed values are numbers, texts"),
        ({"seeds": (0,)}, "two or more"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        unchecked(Design.__post_init__)(SimpleNamespace(**GIVEN | changes))


def test_a_design_is_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "design.toml"
    file.write_text(
        '[design]\ntrain = "a:b"\nseeds = 2\ngrid = "full"\n[factors]\ndropout = [0.0, 0.5]\n'
        "[fixed]\nepochs = 3\n[measure]\nrows = 512\n"
    )
    design, measuring = read_design(file)
    assert (design.train, tuple(design.seeds), design.grid) == ("a:b", (0, 1), "full")
    assert (design.factors, design.fixed, measuring) == ({"dropout": [0.0, 0.5]}, {"epochs": 3}, {"rows": 512})
    file.write_text('[design]\ntrain = "a:b"\nseed = 2\n[factors]\ndropout = [0.0, 0.5]\n')
    with pytest.raises(BadInput, match=r"no key in .design. named 'seed'; did you mean: seeds"):
        read_design(file)
    file.write_text("[design\n")
    with pytest.raises(BadInput, match="expected a design in TOML"):
        read_design(file)


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("seeds = 2.5", "seeds is a number of them, or a list of whole numbers; got 2.5"),
        ('seeds = ["a"]', "got \\['a'\\]"),
        ("[factors]\nlr = 0.1", r"lr is a list of levels, numbers or texts, the baseline's first; got 0.1"),
        ("[factors]\nlr = [[1], [2]]", "lr is a list of levels"),
        ("[factors]\nlr = [1, 2]\n[measure]\nsigma = 'x'", "sigma is a number above 0; got 'x'"),
        ("[factors]\nlr = [1, 2]\n[measure]\nsigma = 0", "sigma= is above 0"),
        ("[factors]\nlr = [1, 2]\n[measure]\nsigma = -1", "sigma= is a finite number"),
        ("[factors]\nlr = [1, 2]\n[measure]\nrows = 2.5", "rows is a number of inputs; got 2.5"),
        ("[factors]\nlr = [1, 2]\n[measure]\nrows = 1", "rows= is a number of distinct inputs, at least 2"),
        ("[factors]\nlr = [1, 2]\n[measure]\nevery = 'often'", 'every= is "log", a positive number of steps'),
        ("[factors]\nlr = [1, 2]\n[measure]\nevery = true", 'every is "log" or a number of steps; got True'),
        ("[factors]\nlr = [1, 2]\n[measure]\npasses = 2", "passes= is 1, or at least 4"),
        ("[factors]\nlr = [1, 2]\n[measure]\nlayers = [1]", 'layers is "auto", a name, a pattern, or a list of them'),
        ("[factors]\nlr = [1, 2]\n[measure]\nshifts = 'noise'", "shifts is a list of names; got 'noise'"),
        ("[factors]\nlr = [1, 2]\n[measure]\nshifts = ['nois']", "no shift named 'nois'; did you mean: noise"),
        ("[factors]\nlr = [1, 2]\n[measure]\nshifts = ['no.where:f']", "'no.where:f' cannot be imported"),
        ("[factor]\nlr = [1, 2]", "no section named 'factor'; did you mean: factors"),
        ("[factors]\nlr = [1, 2]\n[measure]\nshifts = ['here:']", "expected package.module:function; got 'here:'"),
        (
            "[factors]\nscal = [1, 2]",
            "unexpected keyword argument 'scal'; beside watch it takes seed, order_seed, scale",
        ),
        ("[factors]\nlr = [1, 2]\n[measure]\nrow = 5", r"\[measure\] knows sigma, rows, .*; got 'row'"),
    ],
)
def test_what_a_file_says_wrong_is_refused_before_anything_runs(tmp_path: Path, said: str, message: str) -> None:
    file = tmp_path / "design.toml"
    file.write_text(f'[design]\ntrain = "lens.training_functions:tiny"\n{said}\n')
    result = CliRunner().invoke(main, ["lens", "run", str(file), "-o", str(tmp_path / "lens")])
    assert re.search(message, result.stderr), result.stderr
    assert result.stderr.startswith("ibprobe: ")
    assert result.exit_code == 1
    assert not (tmp_path / "lens").exists()


def test_a_whole_number_is_a_sigma() -> None:
    assert Measuring.read({"sigma": 1}).sigma == 1.0
    assert Measuring.read({}) == Measuring()

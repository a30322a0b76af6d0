"""A published table held against runs: the rule, on runs whose answer is known."""

import numpy as np
import pytest
from lens.planted import run

from ibprobe.errors import BadInput
from ibprobe.lens.published import Said, published_table, steps
from ibprobe.lens.runs import Run, kept_as

LEVELS = (1.0, 4.0, 8.0)


def planted(*means: float, noise: float = 0.1, seeds: int = 5) -> list[Run]:
    """A cost with these means at the levels, and noise of each run's own."""
    rng = np.random.default_rng(0)
    return [
        run(seed, {"beta": level}, {kept_as("cost"): mean + noise * rng.normal()})
        for seed in range(seeds)
        for level, mean in zip(LEVELS, means, strict=True)
    ]


def answered(runs: list[Run], *said: float) -> str:
    column: Said = dict(zip(LEVELS, map(float, said), strict=True))
    return published_table(runs, "beta", {"cost": column}, {"cost": "the cost"}).rows[0].cells[-1].text


def test_every_step_in_the_published_direction_agrees_whatever_its_size() -> None:
    assert answered(planted(1, 2, 3), 0.04, 0.05, 0.9) == "agrees"
    assert answered(planted(1, 3, 2), 0.04, 0.06, 0.05) == "agrees"


def test_one_step_in_the_opposite_direction_differs() -> None:
    assert answered(planted(1, 2, 3), 1, 2, 1.5) == "differs"
    # The other step is not decided.
    assert answered(planted(1, 1, 3), 1, 2, 1) == "differs"


def test_a_step_that_may_be_chance_is_not_decided() -> None:
    # A step of a hundredth beside noise of a tenth.
    assert answered(planted(1, 1.01, 3), 1, 2, 3) == "not decided"
    # Four seeds are too few, however plain it is.
    assert answered(planted(1, 2, 3, seeds=4), 1, 2, 3) == "not decided"


def test_runs_without_an_effect_seldom_answer() -> None:
    rng = np.random.default_rng(1)
    wrong = 0
    for _ in range(200):
        runs = [run(seed, {"beta": level}, {kept_as("cost"): rng.normal()}) for seed in range(5) for level in LEVELS]
        wrong += answered(runs, 1, 2, 3) != "not decided"
    # Of 200 tables at 5 % false discoveries, half of which go in the published direction in one step only; 3 standard
    # errors of 10 are 9.
    assert wrong < 19


def test_changes_are_paired_by_seed_and_read_from_level_to_level() -> None:
    # Seeds differ by ten times the effect.
    runs = [run(s, {"beta": v}, {kept_as("cost"): 10 * s + n}) for s in range(5) for n, v in enumerate(LEVELS)]
    assert [(e.mean, e.verdict) for e in steps(runs, "beta", "cost", LEVELS)] == [(1.0, "more"), (1.0, "more")]


def test_a_level_that_was_not_run_is_named() -> None:
    with pytest.raises(BadInput, match=r"no seed has 'cost' at both beta = 8.0 and 16.0.*runs have 1.0, 4.0, 8.0"):
        steps(planted(1, 2, 3), "beta", "cost", (*LEVELS, 16.0))

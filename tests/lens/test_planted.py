"""From the folders of designs, damaged ones among them, comparisons find what was planted, and nothing else."""

import shutil
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from lens.planted_designs import LAYERS, LEVEL, SPLITS, Values, run_folder, tear, write_design
from scipy.stats import binomtest

from ibprobe.lens.compare import Comparison, compare
from ibprobe.lens.design import PLACEBO
from ibprobe.lens.reading import read_runs
from ibprobe.lens.runs import Key
from ibprobe.lens.watch import ABSOLUTE, SAMPLED, TRAINING

PLANTED = {TRAINING: -0.3, ABSOLUTE: 0.1, SAMPLED: 0.0}
NOISE, SEEDS = 0.1, 10
DESIGNS = 50
MISSING, TORN = (2, 7), 4
"""Seeds without a run at the level, and the one whose file is torn."""


def damaged(folder: Path, rng: np.random.Generator, share: float) -> Values:
    """A design of which two runs are missing and one file is torn."""
    values = write_design(folder, rng, PLANTED, noise=NOISE, seeds=SEEDS)
    for seed in MISSING:
        shutil.rmtree(run_folder(folder, seed, LEVEL))
    tear(run_folder(folder, TORN, LEVEL) / TRAINING / "records.jsonl", share)
    return values


def compared(folder: Path) -> tuple[Comparison, Comparison, list[str]]:
    """The level, the placebo, and what was said."""
    runs, said = read_runs([folder])
    (level,), (placebo,) = compare(runs, "dropout", baseline=0.0), compare(runs, PLACEBO)
    return level, placebo, said


def test_each_effect_is_the_mean_difference_of_the_pairs_that_are_there(tmp_path: Path) -> None:
    values = damaged(tmp_path, np.random.default_rng(0), share=0.95)
    level, placebo, said = compared(tmp_path)
    name = run_folder(tmp_path, TORN, LEVEL).name
    assert said == [f"{name}: training: the last line of records.jsonl is torn and was left out"]
    lost = Key(TRAINING, SPLITS[-1], LAYERS[-1], "I_XT")
    for key in values[0, LEVEL, 0]:
        seeds = [s for s in range(SEEDS) if s not in MISSING and not (s == TORN and key == lost)]
        effect = level.effects[key]
        assert effect.mean == pytest.approx(fmean(values[s, LEVEL, 0][key] - values[s, 0.0, 0][key] for s in seeds))
        assert effect.seeds == len(seeds)
        assert placebo.effects[key].mean == pytest.approx(
            fmean(values[s, 0.0, 1][key] - values[s, 0.0, 0][key] for s in range(SEEDS))
        )
    found = {k.how: e.verdict for k, e in level.effects.items() if k.quantity == "I_XT" and k != lost}
    assert found[TRAINING] == "less"
    assert level.effects[lost].verdict == "not decided"  # with seven seeds
    assert {e.verdict for k, e in placebo.effects.items() if k.quantity == "I_XT"} <= {"no effect", "not decided"}


def test_a_file_without_its_last_step_gives_none_of_its_values(tmp_path: Path) -> None:
    damaged(tmp_path, np.random.default_rng(0), share=0.45)
    level, _, said = compared(tmp_path)
    assert said[-1].endswith("nothing of training at its last step, 40, is there")
    by_how = {how: {e.seeds for k, e in level.effects.items() if k.how == how} for how in PLANTED}
    assert by_how == {TRAINING: {7}, ABSOLUTE: {8}, SAMPLED: {8}}


@pytest.mark.slow
def test_over_many_designs_intervals_cover_and_the_placebo_is_quiet(tmp_path: Path) -> None:
    """Values of one design are independent here, so that each effect is a draw of its own."""
    rng, covered, quiet, effects, families, alarms = np.random.default_rng(1), 0, 0, 0, 0, 0
    for _ in range(DESIGNS):
        damaged(tmp_path / "lens", rng, share=float(rng.uniform(0.5, 1)))
        level, placebo, _ = compared(tmp_path / "lens")
        shutil.rmtree(tmp_path / "lens")
        for how, planted in PLANTED.items():
            for split in SPLITS:
                found, none = level.select(how, split, "I_XT"), placebo.select(how, split, "I_XT")
                covered += sum(e.low <= planted <= e.high for e in found.values())
                quiet += sum(e.low <= 0 <= e.high for e in none.values())
                effects += len(found)
                alarms += any(e.verdict in ("more", "less") for e in none.values())
                families += 1
    assert effects == DESIGNS * len(PLANTED) * len(SPLITS) * len(LAYERS)
    # Student's intervals of normal differences are exact: both sides, at three standard errors.
    assert binomtest(covered, effects, 0.95).pvalue > 0.0027
    assert binomtest(quiet, effects, 0.95).pvalue > 0.0027
    # Where nothing is there, a family shows something with at most the rate of false discoveries.
    assert binomtest(alarms, families, 0.05, alternative="greater").pvalue > 0.00135
    assert alarms > 0

"""Claims are supported, refuted or left open by what is planted."""

from typing import Any

import numpy as np
import pytest
from lens.planted import LAYERS, design, key, run

from ibprobe.lens.claims import Claim, Evidence
from ibprobe.lens.compare import compare
from ibprobe.lens.findings import findings
from ibprobe.lens.runs import Run


def said(runs: list[Run], start: str, **changes: Any) -> Claim:
    return next(c for c in findings(runs, **changes).claims if c.said.startswith(start))


@pytest.mark.parametrize(
    ("effect", "noise", "found"),
    [(-0.5, 0.1, "supported"), (0.5, 0.1, "refuted"), (0.0, 0.02, "refuted"), (0.0, 1.0, "not decided")],
)
def test_a_claim_about_an_effect(effect: float, noise: float, found: str) -> None:
    claim = said(design(np.random.default_rng(2), effect=effect, noise=noise), "Dropout compresses")
    assert claim.found == found
    assert all(layer in claim.numbers for layer in LAYERS)


def test_one_layer_of_three_supports_no_claim() -> None:
    runs = design(np.random.default_rng(0), noise=0.02)
    for planted in runs:
        planted.values[key("early")] -= 4 * float(planted.settings["dropout"])
    claim = said(runs, "Dropout compresses")
    assert claim.found == "refuted"
    assert claim.numbers.count("no effect") == 2


def test_layers_that_disagree_decide_nothing() -> None:
    runs = design(np.random.default_rng(0), noise=0.02)
    for one in runs:
        level = 4 * float(one.settings["dropout"])
        one.values[key("early")] += level
        one.values[key("late")] -= level
    claim = said(runs, "Dropout compresses")
    assert (claim.found, claim.numbers.startswith("layers disagree")) == ("not decided", True)


def test_a_wider_spread_over_seeds_is_seen() -> None:
    rng = np.random.default_rng(0)
    runs = design(rng, seeds=24, noise=0.05)
    for one in runs:
        one.values = {k: 3 + (4 * float(one.settings["dropout"]) * 1.5 + 0.1) * rng.normal() for k in one.values}
    assert said(runs, "Dropout raises the variance").found == "supported"
    # That seeds spread by less than 0.1 nats at both levels says nothing of whether one spreads more.
    for noise in (0.1, 0.02):
        claim = said(design(np.random.default_rng(1), noise=noise), "Dropout raises the variance")
        assert claim.found == "not decided"


def test_two_seeds_say_nothing_of_how_widely_seeds_spread() -> None:
    claim = said(design(np.random.default_rng(1), seeds=2), "Dropout raises the variance")
    assert claim.numbers.count("[-inf, +inf]") == len(LAYERS)


@pytest.mark.parametrize(
    ("levels", "baseline", "strongest"),
    [
        ((0.0, 0.2, 0.5), 0.0, 0.5),
        ((0.0, 0.2, 0.5), 0.2, 0.5),
        ((0.0, 0.2, 0.5), 0.5, None),
        ((False, True), False, True),
        (("crop", "flip", "none"), "none", "flip"),
    ],
)
def test_claims_are_of_the_level_that_regularizes_most(levels: Any, baseline: Any, strongest: Any) -> None:
    assert strongest_of("dropout", levels, baseline) == strongest


@pytest.mark.parametrize(("levels", "baseline", "strongest"), [((0, 3, 10), 0, 3), ((3, 10), 10, 3), ((0, 3), 3, None)])
def test_least_patience_stops_earliest(levels: Any, baseline: Any, strongest: Any) -> None:
    assert strongest_of("patience", levels, baseline) == strongest


def strongest_of(factor: str, levels: Any, baseline: Any) -> Any:
    runs = [run(seed, {factor: level}, {key("early"): seed}) for seed in range(2) for level in levels]
    comparison = Evidence(runs, {factor: compare(runs, factor, baseline=baseline)}, (), None).strongest([factor])
    return comparison and comparison.level


def test_a_baseline_with_the_regularizer_turns_no_claim_around() -> None:
    runs = design(np.random.default_rng(2), levels=2, effect=-0.5)
    assert said(runs, "Dropout compresses", baseline={"dropout": 0.25}).found == "not in this design"


def test_drawn_masks_are_compared_with_eval_mode_in_the_same_runs() -> None:
    rng = np.random.default_rng(0)
    runs = design(rng)
    for one in runs:
        drawn = {k._replace(how="sampled"): v - float(one.settings["dropout"]) for k, v in one.values.items()}
        one.values |= {k: v + 0.02 * rng.normal() for k, v in drawn.items()}
    claim = said(runs, "Dropout makes a network average")
    assert claim.found == "supported"
    assert "early -0.5" in claim.numbers or "early -0.4" in claim.numbers


def test_what_a_design_does_not_vary_is_said_to_be_absent() -> None:
    found = findings(design(np.random.default_rng(0))).claims
    assert {c.found for c in found if c.said.startswith(("Weight", "Aug", "Early", "Of two"))} == {"not in this design"}
    # No masks were drawn, although there is dropout.
    assert next(c for c in found if c.said.startswith("Dropout makes")).found == "not in this design"


def test_few_seeds_decide_no_claim() -> None:
    found = findings(design(np.random.default_rng(0), seeds=4, effect=-2.0)).claims
    assert {c.found for c in found} == {"not decided", "not in this design"}

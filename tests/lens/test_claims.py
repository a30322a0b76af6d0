"""Claims are supported, refuted or left open by what is planted."""

from typing import Any

import numpy as np
import pytest
from lens.planted import LAYERS, design, key

from ibprobe.lens.claims import Claim
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


def test_layers_that_disagree_decide_nothing() -> None:
    runs = design(np.random.default_rng(0), noise=0.02)
    for run in runs:
        level = 4 * float(run.settings["dropout"])
        run.values[key("early")] += level
        run.values[key("late")] -= level
    claim = said(runs, "Dropout compresses")
    assert (claim.found, claim.numbers.startswith("layers disagree")) == ("not decided", True)


def test_a_wider_spread_over_seeds_is_seen() -> None:
    rng = np.random.default_rng(0)
    runs = design(rng, seeds=24, noise=0.05)
    for run in runs:
        run.values = {k: 3 + (4 * float(run.settings["dropout"]) * 1.5 + 0.1) * rng.normal() for k in run.values}
    assert said(runs, "Dropout raises the variance").found == "supported"
    assert said(design(np.random.default_rng(1)), "Dropout raises the variance").found == "not decided"


def test_drawn_masks_are_compared_with_eval_mode_in_the_same_runs() -> None:
    rng = np.random.default_rng(0)
    runs = design(rng)
    for run in runs:
        drawn = {k._replace(how="sampled"): v - float(run.settings["dropout"]) for k, v in run.values.items()}
        run.values |= {k: v + 0.02 * rng.normal() for k, v in drawn.items()}
    claim = said(runs, "Dropout makes a network average")
    assert claim.found == "supported"
    assert "early -0.5" in claim.numbers or "early -0.4" in claim.numbers


def test_what_a_design_does_not_vary_is_said_to_be_absent() -> None:
    found = findings(design(np.random.default_rng(0))).claims
    assert {c.found for c in found if c.said.startswith(("Weight", "Aug", "Early", "Of two"))} == {"not in this design"}


def test_few_seeds_decide_no_claim() -> None:
    found = findings(design(np.random.default_rng(0), seeds=4, effect=-2.0)).claims
    assert {c.found for c in found} == {"not decided", "not in this design"}

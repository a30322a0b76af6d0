"""Paired differences: intervals that cover, effects that are found, and false alarms at the stated rate."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

from ibprobe.lens.effects import Effect, differences, judged, paired


def test_the_interval_and_p_are_those_of_a_paired_t_test() -> None:
    values = [0.3, 0.1, -0.1, 0.4, 0.25]
    found, known = paired(values), ttest_1samp(values, 0)
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval(0.95)))
    assert found.p == pytest.approx(known.pvalue)
    assert (found.higher, found.seeds) == (4, 5)


def test_one_pair_has_no_interval_and_none_says_so() -> None:
    assert paired([0.2]) == Effect(0.2, -math.inf, math.inf, 1, 1, 1.0)
    assert str(paired([])) == "not measured"
    assert paired([0.5, 0.5]).p == 0
    assert paired([0.0, 0.0]).p == 1


def test_pairs_differ_in_the_level_alone_and_each_seed_counts_once() -> None:
    level = {(0, "wd=0"): 1.0, (0, "wd=1"): 3.0, (1, "wd=0"): 5.0, (2, "wd=0"): 9.0}
    base = {(0, "wd=0"): 0.5, (0, "wd=1"): 1.5, (1, "wd=0"): 5.0, (3, "wd=0"): 0.0}
    assert differences(level, base) == [1.0, 0.0]


def design(rng: np.random.Generator, effect: float, seeds: int, layers: int = 5) -> dict[str, Effect]:
    """Differences of correlated layers, as those of one network are."""
    common = rng.normal(size=(seeds, 1))
    noise = 0.6 * common + 0.8 * rng.normal(size=(seeds, layers))
    return {f"layer{k}": paired((effect + 0.1 * noise[:, k]).tolist()) for k in range(layers)}


def test_false_alarms_of_null_designs_stay_at_the_stated_rate() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(any(e.verdict in ("more", "less") for e in judged(design(rng, 0.0, 8)).values()) for _ in range(500))
    # At most 5 % of designs in which nothing is there may show anything; one-sided, at three standard errors.
    assert binomtest(alarms, 500, 0.05, alternative="greater").pvalue > 0.00135
    assert alarms > 2  # and it is no rule that never finds anything


def test_planted_effects_are_covered_and_found_with_their_sign() -> None:
    rng = np.random.default_rng(1)
    found = [e for _ in range(200) for e in judged(design(rng, -0.3, 8)).values()]
    covered = sum(e.low <= -0.3 <= e.high for e in found)
    # Five layers of one design are correlated: 200 designs are between 200 and 1,000 draws.
    assert binomtest(covered // 5, 200, 0.95).pvalue > 0.001
    assert np.mean([e.verdict == "less" for e in found]) > 0.99


def test_small_differences_with_narrow_intervals_are_no_effect_and_wide_ones_not_decided() -> None:
    values = [0.01, -0.02, 0.0, 0.015, -0.01, 0.005, -0.005, 0.01]
    effects = {"narrow": paired(values), "wide": paired([30 * v for v in values])}
    assert {name: e.verdict for name, e in judged(effects, negligible=0.1).items()} == {
        "narrow": "no effect",
        "wide": "not decided",
    }


def test_an_effect_that_is_certain_and_small_is_none() -> None:
    values = [0.02 + 0.001 * k for k in range(8)]
    assert paired(values).p < 1e-6
    assert judged({"a": paired(values)}, negligible=0.1)["a"].verdict == "no effect"
    assert judged({"a": paired(values)})["a"].verdict == "more"


def test_few_seeds_decide_nothing_however_large_the_effect() -> None:
    assert judged({"a": paired([1.0, 1.1, 0.9])})["a"].verdict == "not decided"
    assert judged({"a": paired([1.0, 1.1, 0.9])}, fewest=3)["a"].verdict == "more"


def test_layers_are_judged_together() -> None:
    # p = 0.04 alone would be found; among ten layers of which nothing else is small it is not.
    def of(p: float) -> Effect:
        return Effect(0.2, 0.1, 0.3, 8, 8, p)

    alone, among = judged({"a": of(0.04)}), judged({"a": of(0.04), **{f"b{k}": of(0.9) for k in range(9)}})
    assert (alone["a"].verdict, among["a"].verdict) == ("more", "not decided")
    assert all(e.verdict == "more" for e in judged({f"c{k}": of(0.04) for k in range(10)}).values())

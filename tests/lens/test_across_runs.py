"""What goes along with what: as often false as stated, found where it is planted, and never from one seed's luck."""

import math

import numpy as np
import pytest
from lens.planted import LAYERS, design, key, many_settings, run
from scipy.stats import binomtest, spearmanr

from ibprobe.lens.association import associations
from ibprobe.lens.brittle import _Table, telling
from ibprobe.lens.doses import dose
from ibprobe.lens.runs import GAP, SHIFTED


def test_slopes_are_those_of_least_squares_through_each_seed() -> None:
    runs = design(np.random.default_rng(1), effect=0.4)
    found = dose(runs, "dropout")
    assert found
    own = [
        np.polyfit([0, 1, 2], [r.values[key("middle")] for r in runs if r.seed == seed and not r.order], 1)[0]
        for seed in range(8)
    ]
    slope = found.slopes[key("middle")]
    assert slope.mean == pytest.approx(np.mean(own))
    assert slope.low < 0.4 < slope.high
    assert slope.verdict == "more"
    means = [e.mean for e in found.means[key("middle")]]
    # Three standard errors of the mean difference of eight pairs at this noise.
    assert [m - means[0] for m in means] == pytest.approx([0, 0.4, 0.8], abs=0.15)


def test_means_along_a_factor_are_of_what_all_levels_have() -> None:
    """Of one factor at a time: the baseline's level is that of all runs of other factors, too."""
    runs = design(np.random.default_rng(1), noise=0.0)
    for r in runs:
        r.settings = {**r.settings, "decay": 0.0}
    strong = [run(r.seed, {"dropout": 0.0, "decay": 0.4}, {k: v - 2 for k, v in r.values.items()}) for r in runs[::4]]
    found = dose([*runs, *strong], "dropout")
    assert found
    means = [e.mean for e in found.means[key("middle")]]
    assert means == pytest.approx([means[0]] * 3)
    assert found.slopes[key("middle")].mean == pytest.approx(0)
    apart = [r for r in runs if r.seed != 4 * float(r.settings["dropout"])]
    whole = dose(apart, "dropout")
    assert whole
    assert {e.seeds for e in whole.means[key("late")]} == {5}


def test_two_levels_or_words_have_no_slope() -> None:
    assert dose(design(np.random.default_rng(0), levels=2), "dropout") is None
    assert dose(design(np.random.default_rng(0)), "placebo") is None


def test_over_settings_it_is_spearmans_of_the_means() -> None:
    runs = many_settings(np.random.default_rng(0), told=1.0)
    found = next(
        a for a in associations(runs) if (a.record, a.outcome, a.across) == (key("middle"), SHIFTED, "settings")
    )
    means = [
        [np.mean([r.values[k] for r in runs if r.settings["setting"] == s]) for s in range(10)]
        for k in (key("middle"), SHIFTED)
    ]
    known = spearmanr(*means)
    assert found.correlation.mean == pytest.approx(known.statistic)
    assert found.correlation.p == pytest.approx(known.pvalue)
    assert found.correlation.seeds == 10


@pytest.mark.slow
@pytest.mark.parametrize("of_settings", [0.0, 2.0])
def test_false_associations_are_as_rare_as_stated(of_settings: float) -> None:
    """Also where each setting does something to both: among settings that is chance, however many seeds there are."""
    rng, designs = np.random.default_rng(0), 120
    alarms = {"settings": 0, "chance": 0}
    for _ in range(designs):
        found = associations(many_settings(rng, of_settings=of_settings))
        for across in alarms:
            alarms[across] += any(
                a.correlation.verdict != "not decided" for a in found if a.across == across and a.outcome == GAP
            )
    for count in alarms.values():
        # One family of layers a design and way of looking, at 5 %; one-sided, at three standard errors.
        assert binomtest(count, designs, 0.05, alternative="greater").pvalue > 0.00135


def test_what_is_planted_is_found_with_its_sign_in_both_ways() -> None:
    found = associations(many_settings(np.random.default_rng(1), settings=16, told=3.0))
    for across in ("settings", "chance"):
        of = {a.record.layer: a.correlation for a in found if a.across == across and a.outcome == SHIFTED}
        assert of["middle"].verdict == "less"
        assert of["early"].verdict == of["late"].verdict == "not decided"


def test_few_seeds_or_settings_decide_nothing() -> None:
    for few in ({"seeds": 3}, {"settings": 5}):
        found = associations(many_settings(np.random.default_rng(0), told=5.0, **few))
        of = [a.correlation for a in found if a.across == "settings"]
        assert {e.verdict for e in of} == {"not decided"}
        assert {e.seeds for e in of} == {few.get("settings", 10)}
    two = associations(many_settings(np.random.default_rng(0), seeds=2))
    # Of two seeds, one's residual is the other's with its sign turned: that is no second opinion.
    assert not [a for a in two if a.across == "chance"]


def test_a_record_that_tells_the_brittle_run_is_found_and_holds_on_unseen_pairs() -> None:
    found = telling(many_settings(np.random.default_rng(0), told=4.0))
    assert found
    assert found.tells is True
    assert found.chosen == key("middle")
    assert found.lower[key("middle")].verdict == "more"
    assert found.right > 0.8 * found.pairs
    assert found.unseen.low > 0


def test_others_share_neither_seed_nor_setting() -> None:
    rng = np.random.default_rng(0)
    cells = [(s, a, b) for s in range(4) for a in range(6) for b in range(a) if rng.random() < 0.6]
    turned = [(s, *rng.permutation(ends)) for s, *ends in cells]
    seed, robust, brittle = (np.array(of) for of in zip(*turned, strict=True))
    table = _Table([str(n) for n in range(6)], np.zeros((3, 4, 6)), seed, robust, brittle)
    scores = rng.choice([-0.5, 0.0, 0.5], size=(3, len(seed)))
    slow = [
        sum(scores[:, q] for q, other in enumerate(cells) if other[0] != own[0] and not set(other[1:]) & set(own[1:]))
        for own in cells
    ]
    assert table.of_others(scores).T == pytest.approx(np.array(slow))


def test_without_pairs_nothing_is_said() -> None:
    runs = many_settings(np.random.default_rng(0))
    assert telling([r for r in runs if r.settings["setting"] in (0, 1)]) is None
    for r in runs:
        r.values[SHIFTED] = 0.5
    assert telling(runs) is None


@pytest.mark.slow
@pytest.mark.parametrize("of_settings", [0.0, 3.0])
def test_records_that_tell_nothing_are_rarely_said_to_tell(of_settings: float) -> None:
    rng, designs = np.random.default_rng(0), 80
    found = [telling(many_settings(rng, of_settings=of_settings)) for _ in range(designs)]
    told = [f for f in found if f]
    # 5 % two-sided, so 2.5 % on the side that counts.
    assert binomtest(sum(f.tells is True for f in told), designs, 0.025, alternative="greater").pvalue > 0.00135
    covered = sum(f.unseen.low <= 0 <= f.unseen.high for f in told)
    assert binomtest(covered, designs, 0.95, alternative="less").pvalue > 0.00135
    assert abs(np.mean([f.unseen.mean for f in told])) < 4 * np.std([f.unseen.mean for f in told]) / math.sqrt(designs)


def test_layers_are_told_by_name() -> None:
    assert {a.record.layer for a in associations(many_settings(np.random.default_rng(0)))} == set(LAYERS)

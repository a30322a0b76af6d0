"""Runs that differ by their seed are averaged, with an answer by hand; others are named by what differs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from record_factory import estimate

from ibprobe.errors import BadInput
from ibprobe.record.records import Event, Logged, Records
from ibprobe.show.cases import averaged, cases, measured_cases


def run(nats: float = 5.0, *, seed: int = 0, logged: tuple[Logged, ...] = (), **config: Any) -> Records:
    meta = {"model": "Net", "seed": seed, "started": f"at {seed}", "config": config}
    return Records((estimate(nats=nats),), (), meta, logged)


def test_runs_that_differ_by_their_seed_are_one_case():
    [case] = cases([("a", run(seed=0)), ("b", run(seed=1)), ("c", run(seed=2))])
    assert (case.name, case.seeds, case.runs) == ("mean (3 seeds)", 3, ("a", "b", "c"))


def test_a_seed_in_the_config_is_a_seed_too():
    [case] = cases([("a", run(data_seed=1, lr=0.1)), ("b", run(data_seed=2, lr=0.1))])
    assert case.seeds == 2


def test_the_mean_has_students_interval():
    [mean] = averaged([run(4.0), run(5.0), run(6.0)])
    # Standard deviation 1, so a standard error of 1/√3; t with two degrees of freedom is 4.303.
    assert (mean.nats, mean.ci_low, mean.ci_high) == pytest.approx((5, 5 - 4.303 / 3**0.5, 5 + 4.303 / 3**0.5))
    assert mean.lower_confidence == mean.ci_low


def test_forty_runs_use_the_last_entry_of_the_table():
    values = [4.0, 6.0] * 20
    [mean] = averaged([run(v) for v in values])
    # The standard deviation of 40 values that are 1 off their mean is √(40/39).
    assert mean.ci_high - mean.nats == pytest.approx(2.042 * math.sqrt(40 / 39) / math.sqrt(40))


def test_a_mean_has_no_bracket_and_all_flags():
    flags = [frozenset({"few_rows"}), frozenset({"at_ceiling"})]
    [mean] = averaged([Records((estimate(flags=f),)) for f in flags])
    assert (mean.bracket_low, mean.bracket_high, mean.bound) == (None, None, "mean of 2 runs")
    assert mean.flags == {"few_rows", "at_ceiling"}


def test_falls_are_averaged_and_the_peak_is_the_median():
    falls = [Records((estimate(fall=f, peak_step=s),)) for f, s in ((0.5, 10), (0.7, 20), (0.9, 90))]
    [mean] = averaged(falls)
    assert mean.fall == pytest.approx(0.7)
    assert mean.fall_high == pytest.approx(0.7 + 4.303 * 0.2 / 3**0.5)
    assert mean.peak_step == 20


def test_a_fall_that_one_run_lacks_is_no_mean():
    [mean] = averaged([run(), Records((estimate(fall=None, peak_step=None),))])
    assert (mean.fall, mean.fall_low, mean.fall_high) == (None, None, None)


def test_values_that_not_all_runs_have_are_left_out_and_said_to_be():
    longer = Records((estimate(step=40), estimate(step=80)), (), run().meta)
    mean = averaged([run(), longer])
    assert mean.steps == [40]
    assert [e.why for e in mean.events if e.kind == "note"] == [
        "1 values that not all 2 runs have are not in the mean (--separate shows them)"
    ]


def test_values_of_different_noise_are_never_averaged():
    assert len(averaged([Records((estimate(sigma=0.25),)), Records((estimate(sigma=0.5),))])) == 0


def test_curves_are_averaged_where_all_runs_have_them():
    first = run(logged=(Logged(1, {"loss": 2.0, "acc": 0.5}), Logged(2, {"loss": 1.0})))
    mean = averaged([first, run(logged=(Logged(1, {"loss": 4.0}),))])
    assert mean.logged == (Logged(1, {"loss": 3.0}),)


def test_runs_of_other_settings_are_named_by_the_setting_that_differs():
    found = cases([("a", run(lr=0.1, width=8)), ("b", run(lr=0.01, width=8))])
    assert [case.name for case in found] == ["lr = 0.1", "lr = 0.01"]


def test_two_settings_with_two_seeds_each_are_two_means():
    runs = [(f"{lr}-{seed}", run(seed=seed, lr=lr)) for lr in (0.1, 0.01) for seed in (0, 1)]
    assert [case.name for case in cases(runs)] == ["lr = 0.1 (2 seeds)", "lr = 0.01 (2 seeds)"]


def test_equal_runs_with_one_seed_are_shown_apart():
    assert [case.name for case in cases([("a", run()), ("b", run())])] == ["a", "b"]


def test_separate_runs_keep_names_of_their_own():
    runs = [(f"{lr}-{seed}", run(seed=seed, lr=lr)) for lr in (0.1, 0.01) for seed in (0, 1)]
    found = cases(runs, average=False)
    assert [case.name for case in found] == ["0.1-0", "0.1-1", "0.01-0", "0.01-1"]
    assert {case.seeds for case in found} == {1}


def test_runs_in_folders_of_one_name_stay_apart_when_asked():
    found = cases([("ib", run(4.0, seed=0)), ("ib", run(6.0, seed=1))], average=False)
    assert [case.records[0].nats for case in found] == [4.0, 6.0]
    assert len({case.name for case in found}) == 2


def test_runs_without_an_estimate_say_why():
    empty = Records((), (Event(step=0, kind="disarmed", why="the model has no layers"),))
    with pytest.raises(BadInput, match="the model has no layers"):
        measured_cases([("a", empty)])
    assert len(measured_cases([("a", empty), ("b", run())])) == 1


@pytest.mark.parametrize("values", [(math.inf, math.inf), (math.inf, -math.inf), (math.nan, 5.0)])
def test_a_mean_of_what_is_not_finite_is_no_number_and_stops_nothing(values: tuple[float, float]) -> None:
    [mean] = averaged([run(v) for v in values])
    assert all(math.isnan(v) for v in (mean.nats, mean.ci_low, mean.ci_high))


def test_runs_that_share_no_value_say_that_they_have_no_mean():
    early, late = (Records((estimate(step=s),), (), run(seed=s).meta) for s in (3, 5))
    with pytest.raises(BadInput, match="a, b have no value in common, so no mean"):
        measured_cases([("a", early), ("b", late)])
    assert len(measured_cases([("a", early), ("b", late)], average=False)) == 2


def test_a_setting_of_the_users_own_does_not_hide_one_of_ours():
    runs = [("a", {"noise": "relative", "config": {"noise": 1}}), ("b", {"noise": "absolute", "config": {"noise": 1}})]
    found = cases([(name, Records((estimate(),), meta=meta)) for name, meta in runs])
    assert [case.name for case in found] == ["noise = relative", "noise = absolute"]

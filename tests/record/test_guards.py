"""Points that no information plane can show are named, and noise alone raises no alarm."""

import math

import pytest
import torch
from record_factory import critic, estimate, interval

from ibprobe import estimate_channel
from ibprobe.errors import BadInput
from ibprobe.estimate.channel import Target
from ibprobe.record.guards import Violation, check_plane
from ibprobe.record.records import Estimate

ARTICLE = [
    {"step": epoch, "layer": layer, "I_XT": xt, "I_TY": ty}
    for layer, points in {
        "layer 1": [(0, 9.2, 0.1), (20, 9.1, 2.1), (50, 8.8, 2.3), (100, 6.4, 2.3), (200, 4.1, 2.3)],
        "layer 4": [(0, 1.8, 0.1), (20, 3.4, 1.8), (50, 3.1, 2.1), (100, 1.9, 2.2), (200, 1.2, 2.2)],
    }.items()
    for epoch, xt, ty in points
]
"""The MNIST table of the article that the project comes from: I(T;Y) > I(X;T) at the end of layer 4."""


def rules(*records, **limits) -> list[str]:
    return [v.rule for v in check_plane(records, **limits)]


def point(xt: float, ty: float) -> dict[str, object]:
    return {"step": 3, "layer": "fc1", "I_XT": xt, "I_TY": ty}


@pytest.mark.parametrize("limits", [{}, {"n": 10_000, "h_y": math.log(10)}], ids=["table alone", "with ceilings"])
def test_the_articles_table_is_rejected_at_layer_4_at_epochs_100_and_200(limits):
    found = [(v.layer, v.step, v.rule) for v in check_plane(ARTICLE, **limits)]
    assert found == [("layer 4", 100, "ty_above_xt"), ("layer 4", 200, "ty_above_xt")]


def test_a_consistent_table_is_accepted():
    rows = [row for row in ARTICLE if row["I_TY"] <= row["I_XT"]]
    assert check_plane(rows, n=10_000, h_y=math.log(10)) == []


def test_a_violation_says_where_and_what_against_what():
    [found] = check_plane([point(1.2, 2.2)])
    text = "I(T;Y) ≥ 2.2 exceeds I(X;T) ≤ 1.2 nats, against the data processing inequality"
    assert found == Violation(3, "fc1", "ty_above_xt", f"layer fc1, step 3: {text}")


@pytest.mark.parametrize(
    ("row", "limits", "rule"),
    [
        (point(1.0, -0.1), {}, "negative"),
        (point(1.2, 2.2), {}, "ty_above_xt"),
        (point(5.0, 2.4), {"h_y": math.log(10)}, "ty_above_h_y"),
        (point(7.0, 2.0), {"n": 512}, "xt_above_ln_n"),
    ],
)
def test_each_rule_fires_alone_on_a_plain_point(row, limits, rule):
    assert rules(row, **limits) == [rule]


@pytest.mark.parametrize(
    ("records", "rule"),
    [
        ([interval("I_XT", -0.5, -0.1)], "negative"),
        ([interval("I_XT", 0.5, 1.0), interval("I_TY", 1.1, 1.4)], "ty_above_xt"),
        ([interval("I_TY", 2.4, 2.6)], "ty_above_h_y"),
        ([interval("I_XT", 7.7, 8.0, target="probe_set")], "xt_above_ln_n"),
        ([interval("I_XT", 0.5, 1.0), critic("I_TY", 2.0, estimator="channel")], "ty_above_xt"),
    ],
)
def test_each_rule_fires_alone_on_estimates_beyond_their_intervals(records, rule):
    assert rules(*records) == [rule]


@pytest.mark.parametrize(
    "records",
    [
        [interval("I_XT", -0.5, 0.1)],
        [interval("I_XT", 0.5, 1.2), interval("I_TY", 1.1, 1.4)],
        [interval("I_TY", 2.2, 2.6)],
        [interval("I_XT", 7.5, 8.0, target="probe_set")],
    ],
    ids=["zero", "both", "labels", "rows"],
)
def test_intervals_that_touch_the_limit_raise_no_alarm_although_points_cross_it(records):
    assert check_plane(records) == []


def test_a_critic_that_lags_on_the_input_side_raises_no_alarm():
    assert check_plane([critic("I_XT", 0.8), critic("I_TY", 2.0), critic("I_XT", -0.9, layer="fc2")]) == []


def test_a_population_value_above_ln_rows_is_possible():
    assert check_plane([critic("I_XT", 9.0)]) == []
    assert rules(critic("I_XT", 9.0), n=2000) == ["xt_above_ln_n"]


def test_a_continuous_target_is_not_held_against_an_entropy_it_does_not_have():
    assert check_plane([critic("I_TY", 9.0, ceiling=7.6, ceiling_name="ln(distinct rows)")]) == []


def test_an_entropy_of_zero_is_a_limit_and_not_a_missing_one():
    assert rules(interval("I_TY", 0.5, 0.6), h_y=0.0) == ["ty_above_h_y"]
    assert rules(interval("I_TY", 0.5, 0.6, ceiling=0.0)) == ["ty_above_h_y"]


def test_a_single_distinct_input_is_a_limit_and_not_a_missing_one():
    assert rules(interval("I_XT", 0.5, 0.6), n=1) == ["xt_above_ln_n"]


def test_given_limits_go_before_those_of_the_estimates():
    assert check_plane([interval("I_TY", 2.4, 2.6)], h_y=3.0) == []
    assert check_plane([interval("I_XT", 7.7, 8.0, target="probe_set")], n=10_000) == []


@pytest.mark.parametrize(
    "other",
    [{"layer": "fc2"}, {"step": 41}, {"split": "held_out"}, {"sigma": 0.5}, {"noise": "absolute"}, {"view": "pooled"}],
    ids=str,
)
def test_coordinates_of_different_variables_are_not_compared(other):
    assert check_plane([interval("I_XT", 0.5, 1.0), interval("I_TY", 1.1, 1.4, **other)]) == []


def test_estimates_and_plain_points_may_be_mixed():
    assert len(check_plane([point(1.2, 2.2), interval("I_XT", 0.5, 1.0), interval("I_TY", 1.1, 1.4)])) == 2


def test_an_exact_layer_that_keeps_nothing_raises_no_alarm():
    nothing = {"bracket_low": None, "bracket_high": None, "bound": "plug-in"}
    both: list[Estimate] = [interval(q, 0.0, 0.0, **nothing) for q in ("I_XT", "I_TY")]
    assert check_plane([*both, estimate(quantity="I_XT_given_Y")]) == []


def test_a_point_that_lacks_a_key_is_refused_with_its_name():
    with pytest.raises(BadInput, match=r"I_TY missing in \{'step': 1, 'layer': 'a', 'I_XT': 1.0\}"):
        check_plane([{"step": 1, "layer": "a", "I_XT": 1.0}])


@pytest.mark.parametrize("changes", [{"I_XT": None}, {"I_TY": "much"}, {"step": "last"}], ids=str)
def test_a_point_without_numbers_is_refused(changes):
    with pytest.raises(BadInput, match="step, I_XT and I_TY are numbers; got"):
        check_plane([point(1.0, 0.5) | changes])


@pytest.mark.parametrize("n", [0, -5])
def test_fewer_than_one_input_is_refused(n):
    with pytest.raises(BadInput, match=f"at least 1; got {n}"):
        check_plane(ARTICLE, n=n)


@pytest.mark.parametrize("target", ["population", "probe_set"])
def test_layers_that_keep_nothing_but_the_label_raise_less_than_one_false_alarm_in_a_hundred(target: Target) -> None:
    alarms = 0
    for seed in range(150):
        generator = torch.Generator().manual_seed(seed)
        y = torch.randint(6, (400,), generator=generator)
        centres = torch.randn(6, 3, generator=generator)
        t = centres[y] + 1e-3 * torch.randn(400, 3, generator=generator)
        found = estimate_channel(t, y, sigma=float(torch.rand((), generator=generator)) + 0.2, seed=seed, target=target)
        alarms += bool(check_plane(found))
    # I(T̃;Y) = I(X;T̃) here, so that half of all points would break the rule if points were compared.
    assert alarms <= 1

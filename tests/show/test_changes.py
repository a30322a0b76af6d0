"""Falls with a known truth: compressed, held, not decided."""

from __future__ import annotations

import pytest
from record_factory import INF, critic, estimate, interval

from ibprobe.record.records import Estimate, Records
from ibprobe.show.cases import Case
from ibprobe.show.changes import Change, changes
from ibprobe.show.panels import Panel, panels

NO_FALL = {"peak_step": None, "fall": None, "fall_low": None, "fall_high": None}


def panel_of(*estimates: Estimate) -> Panel:
    [panel] = panels([Case("run", Records(estimates), ("run",))])
    return panel


def paired(fall: float, low: float, high: float) -> Change:
    """A layer whose records carry their own interval of the fall."""
    first = interval("I_XT", 4.9, 5.1, step=0, fall=0.0, fall_low=0.0, fall_high=0.0, peak_step=0)
    last = interval("I_XT", 4.9 - fall, 5.1 - fall, step=9, fall=fall, fall_low=low, fall_high=high, peak_step=0)
    return changes(panel_of(first, last), "I_XT")["fc1"]


@pytest.mark.parametrize(
    ("fall", "low", "high", "verdict"),
    [
        (1.0, 0.8, 1.2, "compressed"),
        (0.2, 0.11, 0.3, "compressed"),
        (0.0, 0.0, 0.05, "held"),
        (0.05, 0.01, 0.09, "held"),
        (0.1, 0.0, 0.2, "not decided"),
        (0.5, -0.2, 1.2, "not decided"),
        (0.5, 0.1, 0.9, "not decided"),
    ],
)
def test_a_fall_is_decided_where_its_interval_lies_beyond_a_tenth_of_a_nat(fall, low, high, verdict):
    change = paired(fall, low, high)
    assert (change.nats, change.low, change.high, change.verdict) == (fall, low, high, verdict)


def test_without_a_paired_interval_the_fall_is_the_difference_of_two():
    high = interval("I_XT", 4.8, 5.2, step=3, **NO_FALL)
    low = interval("I_XT", 2.9, 3.1, step=9, **NO_FALL)
    change = changes(panel_of(interval("I_XT", 3.0, 3.2, step=0, **NO_FALL), high, low), "I_XT")["fc1"]
    assert (change.since, change.until, change.final) == (3, 9, 3.0)
    assert (change.nats, change.low, change.high) == pytest.approx((2.0, 4.8 - 3.1, 5.2 - 2.9))


def test_a_layer_that_only_rose_has_held():
    rising = [interval("I_XT", v - 0.5, v + 0.5, step=s, **NO_FALL) for s, v in ((0, 1.0), (3, 2.0), (9, 4.0))]
    change = changes(panel_of(*rising), "I_XT")["fc1"]
    assert (change.nats, change.low, change.high, change.since, change.verdict) == (0.0, 0.0, 0.0, 9, "held")


def test_overlapping_intervals_decide_nothing():
    first, last = interval("I_XT", 4.0, 6.0, step=0, **NO_FALL), interval("I_XT", 3.0, 5.0, step=9, **NO_FALL)
    assert changes(panel_of(first, last), "I_XT")["fc1"].verdict == "not decided"


def test_a_layer_that_rose_since_its_trough_says_where_that_was():
    values = [(0, 5.0), (3, 2.0), (9, 4.0)]
    change = changes(panel_of(*(interval("I_XT", v - 0.1, v + 0.1, step=s, **NO_FALL) for s, v in values)), "I_XT")[
        "fc1"
    ]
    assert change.rose == pytest.approx((2.0, 3))


def test_a_rise_within_the_error_is_none():
    values = [(0, 5.0), (3, 3.9), (9, 4.0)]
    change = changes(panel_of(*(interval("I_XT", v - 0.1, v + 0.1, step=s, **NO_FALL) for s, v in values)), "I_XT")[
        "fc1"
    ]
    assert change.rose is None


def test_one_snapshot_and_an_upper_end_change_nothing():
    assert changes(panel_of(estimate()), "I_XT") == {}
    assert changes(panel_of(estimate(step=0), estimate(step=9, bound="upper end")), "I_XT") == {}


def test_layers_come_in_forward_order_under_their_shown_names():
    names = ("conv", "", "head")
    made = changes(panel_of(*(estimate(step=s, layer=name) for s in (0, 9) for name in names)), "I_XT")
    assert list(made) == ["conv", "(model)", "head"]


def test_the_target_has_changes_of_its_own():
    inputs = [estimate(step=s) for s in (0, 9)]
    told = [interval("I_TY", v - 0.1, v + 0.1, step=s, **NO_FALL) for s, v in ((0, 2.0), (9, 0.5))]
    assert changes(panel_of(*inputs, *told), "I_TY")["fc1"].nats == pytest.approx(1.5)


def test_flags_of_the_peak_and_of_the_end_go_with_a_fall():
    first = estimate(step=0, nats=6.0, flags=frozenset({"at_ceiling"}))
    assert changes(panel_of(first, estimate(step=9)), "I_XT")["fc1"].flags == ("at_ceiling", "few_rows")


def test_an_infinite_end_and_a_missing_value_decide_nothing():
    open_ended = [critic("I_XT", v, step=s, ci_high=INF, **NO_FALL) for s, v in ((0, 3.0), (9, 2.0))]
    assert changes(panel_of(*open_ended), "I_XT")["fc1"].verdict == "not decided"
    assert changes(panel_of(estimate(step=0, nats=float("nan")), estimate(step=9)), "I_XT") == {}

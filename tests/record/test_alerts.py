"""An alert is given once for each layer and flag, with the numbers that were seen and what to look at."""

import pytest
from record_factory import estimate

from ibprobe.record.alerts import Alerts
from ibprobe.record.flags import FLAGS
from ibprobe.record.records import Event


def flagged(*flags: str, **changes):
    return estimate(flags=frozenset(flags), **changes)


def test_a_flag_of_a_layer_is_told_once_and_that_of_another_layer_again():
    alerts = Alerts()
    first = alerts.new([flagged("collapsed", step=1)], [])
    again = alerts.new([flagged("collapsed", step=2), flagged("collapsed", step=2, layer="fc2")], [])
    assert [(a.step, a.layer) for a in first + again] == [(1, "fc1"), (2, "fc2")]


def test_doubts_about_a_single_number_are_no_alerts():
    assert Alerts().new([flagged("wide_bracket", "few_rows", "stochastic")], []) == []


def test_an_alert_quotes_the_numbers_and_says_what_to_look_at():
    [alert] = Alerts().new([flagged("collapsed", nats=0.03, ci_low=0.01, ci_high=0.05, step=7)], [])
    assert alert.seen.startswith("I(X;T̃) = 0.03 nats [0.01, 0.05]")
    assert alert.look_at == FLAGS["collapsed"].action
    assert str(alert).startswith("step 7: fc1 (train) collapsed: ")


@pytest.mark.parametrize(
    ("flag", "seen"),
    [
        ("low_rank", "effective rank 12.5 of 64 units"),
        ("dead_units", "25 % of 64 units give every row the same value"),
    ],
)
def test_flags_of_units_quote_ranks_and_shares(flag, seen, monkeypatch):
    monkeypatch.setitem(FLAGS, flag, FLAGS["constant"])
    [alert] = Alerts().new([flagged(flag)], [])
    assert alert.seen.startswith(seen)


def test_learning_by_heart_is_told_with_the_labels_of_both_splits():
    train = flagged("memorises", quantity="I_TY", nats=0.6, ci_low=0.5, ci_high=0.7)
    held_out = estimate(quantity="I_TY", nats=0.0, ci_low=0.0, ci_high=0.1, split="held_out")
    others = [estimate(), estimate(quantity="I_TY", layer="fc2")]
    [alert] = Alerts().new([*others, train, held_out], [])
    told = "I(T̃;Y) = 0.60 nats [0.50, 0.70] on train rows, I(T̃;Y) = 0.00 nats [0.00, 0.10] on held-out rows"
    assert alert.seen.startswith(told)


def test_a_broken_guard_is_told_with_both_coordinates_of_the_point():
    name = "guard:ty_above_xt"
    point = [flagged(name, nats=1.0), flagged(name, nats=2.0, quantity="I_TY")]
    [alert] = Alerts().new([*point, estimate(layer="fc2"), estimate(estimator="mine")], [])
    assert alert.seen.startswith("I(X;T̃) = 1.00 nats [5.00, 5.50], I(T̃;Y) = 2.00 nats")


def test_a_layer_that_was_so_from_the_beginning_says_so():
    alerts = Alerts()
    [at_once] = alerts.new([flagged("constant", step=0)], [])
    alerts.new([flagged(step=0, layer="fc2")], [])
    [later] = alerts.new([flagged("constant", step=9, layer="fc2")], [])
    assert "from the first snapshot on" in at_once.seen
    assert "from the first snapshot on" not in later.seen


def test_guards_are_alerts_and_so_is_the_end_of_measuring():
    events = [Event(step=3, kind="disarmed", why="OSError: gone"), Event(step=3, kind="skipped", why="budget")]
    guard, disarmed = Alerts().new([flagged("guard:ty_above_xt")], events)
    assert guard.flag == "guard:ty_above_xt"
    assert (disarmed.flag, disarmed.seen, disarmed.layer) == ("disarmed", "OSError: gone", "")
    assert str(disarmed).startswith("step 3: disarmed: OSError: gone. Training goes on")


def test_the_event_of_an_alert_has_its_words():
    [alert] = Alerts().new([flagged("collapsed", step=7)], [])
    assert (alert.event.kind, alert.event.step, alert.event.layer) == ("alert", 7, "fc1")
    assert alert.seen in alert.event.why


def test_outlier_units_of_many_layers_are_told_once_with_the_noise_to_use():
    alerts = Alerts()
    layers = [flagged("outlier_units", layer=f"h.{k}") for k in range(5)]
    [alert] = alerts.new([*layers, flagged("outlier_units", layer="h.0", quantity="I_TY"), estimate()], [])
    assert alert.seen == "one unit holds more than half of the variance of h.0, h.1, h.2 and 2 more layers"
    assert "noise='per_unit'" in alert.look_at
    assert alerts.new(layers[:1], []) == []

"""What a person reads in a table of 80 columns: every value, its limits, and why one is missing."""

import pytest
from record_factory import INF, critic, estimate
from rich.cells import cell_len
from screen_factory import both, missing, row, table_of, told

from ibprobe.record.alerts import Alert
from ibprobe.record.records import Event

NAMES = ["fc1", "fc2", "features.3"]


def table(estimates=(), events=(), **options) -> str:
    """After one snapshot."""
    return table_of(told(estimates, events=events), **options)


def test_a_row_holds_both_coordinates_with_their_brackets():
    text = table(both("fc1"))
    assert row(text, "fc1").split() == ["fc1", "5.25", "[5.10,", "5.40]", "1.75", "[1.50,", "2.00]"]
    assert "nats at step 40" in text


def test_critics_get_columns_only_where_there_are_any():
    with_critics = table([*both("fc1"), critic("I_TY", 1.25, headline=False, flags=frozenset())])
    assert row(with_critics, "fc1").split()[-1] == "1.25"
    assert ("MINE" in with_critics, "MINE" in table(both("fc1"))) == (True, False)


def test_what_else_runs_beside_the_brackets_gets_a_column_of_its_name():
    text = table([*both("fc1"), critic("I_XT", 3.25, estimator="ksg")])
    assert "ksg" in text
    assert "MINE" not in text
    assert "3.25" in row(text, "fc1")


def test_the_ceilings_stand_under_the_table_once():
    text = table([*both("fc1"), *both("fc2")])
    assert text.count("ceilings: I(X;T̃) ≤ ln(distinct rows) = 7.60, I(T̃;Y) ≤ H(Y) = 2.30") == 1


def test_ceilings_that_differ_say_where_they_hold():
    text = table([*both("fc1"), *both("fc2", ceiling=6.0)])
    assert "ceilings in fc2: I(X;T̃) ≤ ln(distinct rows) = 6.00" in text


def test_views_that_differ_are_named_once_for_all_rows_of_a_layer():
    pooled = [e for split in ("train", "held_out") for e in both("conv", split=split, view="mean over space")]
    flat = [e for split in ("train", "held_out") for e in both("fc1", split=split)]
    text = table([*pooled, *flat])
    assert "compare layers of one view only" in text
    assert text.count("mean over space in conv") == 1
    assert "conv (" not in text
    assert "compare layers" not in table(pooled)


def test_an_output_that_is_flattened_compares_with_one_that_is_flat():
    assert "compare layers" not in table([*both("conv", view="flatten"), *both("fc1", view="as is")])


def test_flags_stand_under_the_table_in_full_with_the_layers_that_carry_them():
    flagged = [e for name in NAMES[:2] for e in both(name, flags=frozenset({"wide_bracket", "dtype_resolution"}))]
    lines = [line.strip() for line in table([*flagged, *both("features.3")]).splitlines()]
    assert {"wide_bracket in fc1, fc2", "dtype_resolution in fc1, fc2"} <= set(lines)
    assert "What a flag means: ibprobe explain FLAG" in lines


def test_a_flag_that_all_layers_carry_is_said_once():
    assert "few_rows in all layers" in table([e for n in NAMES for e in both(n, flags=frozenset({"few_rows"}))])


def test_without_flags_nothing_is_said_of_them():
    assert "explain" not in table(both("fc1"))


def test_splits_get_a_column_and_are_told_apart_in_the_notes():
    held_out = [*both("fc1", split="held_out"), *both("fc2", split="held_out", flags=frozenset({"few_rows"}))]
    text = table([*both("fc1", flags=frozenset({"wide_bracket"})), *both("fc2"), *held_out])
    assert [line.split()[1] for line in text.splitlines() if line.split()[:1] == ["fc1"]] == ["train", "held_out"]
    assert "wide_bracket in fc1 (train)" in text
    assert "few_rows in fc2 (held_out)" in text


def test_a_note_that_holds_for_a_whole_split_names_the_split():
    held_out = [e for n in NAMES for e in both(n, split="held_out", ceiling=5.0)]
    text = table([e for n in NAMES for e in both(n)] + held_out)
    assert "ceilings (held_out): I(X;T̃) ≤ ln(distinct rows) = 5.00" in text


def test_what_was_not_measured_says_why():
    text = table(both("fc1")[:1], [missing()])
    assert "I(T̃;Y) not measured in all layers: no targets" in text
    assert row(text, "fc1").split()[-1] == "–"


def test_a_layer_that_could_not_be_measured_at_all_is_still_named():
    text = table(both("fc1"), [missing("fc9", "3 of 3 rows hold NaN", quantity="")])
    assert "not measured in fc9: 3 of 3 rows hold NaN" in text


def test_a_reason_of_an_earlier_snapshot_is_gone_with_the_next():
    values = told(both("fc1")[:1], events=[missing()])
    values.take(both("fc1", step=50), [])
    assert "not measured" not in table_of(values)


def test_only_events_about_missing_values_are_notes():
    assert "over budget" not in table(both("fc1"), [Event(step=40, kind="skipped", why="over budget")])


def test_alerts_are_short_notes_and_the_older_ones_a_number():
    values = told([*both("fc1"), *both("fc2")])
    values.alerts += [Alert(step, "fc1", "train", "dead_units", "seen", "look") for step in range(7)]
    text = table_of(values)
    assert [step for step in range(7) if f"alert at step {step}: dead_units in fc1" in text] == [3, 4, 5, 6]
    assert "and 3 earlier alerts" in text


def test_one_alert_for_several_layers_is_one_note():
    values = told([*both("fc1"), *both("fc2"), *both("fc3")])
    values.alerts += [Alert(40, layer, "train", "collapsed", "seen", "look") for layer in ("fc1", "fc3")]
    assert "alert at step 40: collapsed in fc1, fc3" in table_of(values)


def test_a_void_lower_end_is_a_dash_and_its_value_a_bound():
    text = table(both("fc1", bracket_low=None)[:1])
    assert row(text, "fc1").split()[1:5] == ["≤", "5.25", "[–,", "5.40]"]


def test_where_the_critic_is_the_headline_it_is_the_value():
    stochastic = estimate(bracket_low=None, headline=False)
    assert row(table([stochastic, critic("I_XT", 3.5)]), "fc1").split()[1] == "3.50"


@pytest.mark.parametrize("high", [1234.5, INF])
def test_an_upper_end_without_meaning_does_not_widen_the_table(high):
    assert "[5.10, >1000]" in table([estimate(bracket_high=high)])


def test_a_value_of_an_earlier_step_says_which():
    text = table([*both("fc1", step=50), critic("I_XT", 4.9, headline=False, step=40)])
    assert "4.90 @40" in row(text, "fc1")
    assert "nats at step 50" in text


def test_brackets_in_names_and_reasons_are_not_taken_for_markup():
    text = table(both("blocks[bold]"), [missing("x[/red]", "got shape [n, d]")])
    for part in ("blocks[bold]", "in x[/red]: got shape [n, d]"):
        assert part in text


def test_eighty_columns_hold_every_value_of_two_splits_with_critics():
    splits = [(n, s) for s in ("train", "held_out") for n in NAMES]
    mine = [critic(q, 4.9, layer=n, split=s, headline=False) for n, s in splits for q in ("I_XT", "I_TY")]
    text = table([*(e for n, s in splits for e in both(n, split=s)), *mine])
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= 80
    assert row(text, "features.3").split()[2:] == "5.25 [5.10, 5.40] 4.90 1.75 [1.50, 2.00] 4.90".split()


def test_a_long_layer_name_is_folded_and_never_cut():
    name = "transformer.encoder.layers.11.attention.output.dense.activation.projection"
    text = table(both(name))
    assert "…" not in text
    assert "[5.10, 5.40]" in text
    assert "".join(line[:50].strip().split(" ")[0] for line in text.splitlines()[4:-2]).startswith(name)


def test_many_layers_are_one_line_each_and_notes_stay_short():
    text = table([e for i in range(100) for e in both(f"layer{i}", flags=frozenset({"few_rows"} if i < 60 else ()))])
    assert len(text.splitlines()) < 112
    assert "few_rows in layer0, layer1, layer2, layer3, layer4, layer5, layer6, layer7 and" in text
    assert "52 more" in text

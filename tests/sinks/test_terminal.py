"""What a person reads in a terminal of 80 columns: every value, its limits, and why one is missing."""

import io
import time

import pytest
from record_factory import INF, critic, estimate
from rich.cells import cell_len
from rich.console import Console

from ibprobe.record.records import Event
from ibprobe.sinks import terminal as module
from ibprobe.sinks.terminal import TerminalSink

NAMES = ["fc1", "fc2", "features.3"]


def console(width: int = 80, *, is_terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=width, height=20, force_terminal=is_terminal, color_system=None)


def both(layer: str, **changes) -> list:
    """A bracket of each coordinate."""
    labels = {"quantity": "I_TY", "nats": 1.75, "bracket_low": 1.5, "bracket_high": 2.0, "ceiling": 2.3}
    clean = {"flags": frozenset()} | changes
    return [estimate(layer=layer, **clean), estimate(layer=layer, **labels | {"ceiling_name": "H(Y)"} | clean)]


def printed(estimates=(), events=(), *, summary: str = "", **options) -> str:
    """What is left standing after a run."""
    out = console(**options)
    sink = TerminalSink(console=out)
    sink.open({})
    sink.write(estimates, events)
    sink.close(summary)
    return out.file.getvalue()


def row(text: str, layer: str) -> str:
    return next(line for line in text.splitlines() if line.split()[:1] == [layer])


def missing(layer: str = "fc1", why: str = "no targets", **changes) -> Event:
    return Event(
        **{"step": 40, "kind": "not_measured", "quantity": "I_TY", "layer": layer, "split": "train", "why": why}
        | changes
    )


def test_a_row_holds_both_coordinates_with_their_brackets():
    text = printed(both("fc1"))
    assert row(text, "fc1").split() == ["fc1", "5.25", "[5.10,", "5.40]", "1.75", "[1.50,", "2.00]"]
    assert "nats at step 40" in text


def test_critics_get_columns_only_where_there_are_any():
    with_critics = printed([*both("fc1"), critic("I_TY", 1.25, headline=False, flags=frozenset())])
    assert row(with_critics, "fc1").split()[-1] == "1.25"
    assert ("MINE" in with_critics, "MINE" in printed(both("fc1"))) == (True, False)


def test_what_else_runs_beside_the_brackets_gets_a_column_of_its_name():
    text = printed([*both("fc1"), critic("I_XT", 3.25, estimator="ksg")])
    assert "ksg" in text
    assert "MINE" not in text
    assert "3.25" in row(text, "fc1")


def test_the_ceilings_stand_under_the_table_once():
    text = printed([*both("fc1"), *both("fc2")])
    assert text.count("ceilings: I(X;T̃) ≤ ln(distinct rows) = 7.60, I(T̃;Y) ≤ H(Y) = 2.30") == 1


def test_ceilings_that_differ_say_where_they_hold():
    text = printed([*both("fc1"), *both("fc2", ceiling=6.0)])
    assert "ceilings in fc2: I(X;T̃) ≤ ln(distinct rows) = 6.00" in text


def test_flags_stand_under_the_table_in_full_with_the_layers_that_carry_them():
    flagged = [e for name in NAMES[:2] for e in both(name, flags=frozenset({"wide_bracket", "dtype_resolution"}))]
    lines = [line.strip() for line in printed([*flagged, *both("features.3")]).splitlines()]
    assert {"wide_bracket in fc1, fc2", "dtype_resolution in fc1, fc2"} <= set(lines)
    assert "What a flag means: ibprobe explain FLAG" in lines


def test_a_flag_that_all_layers_carry_is_said_once():
    assert "few_rows in all layers" in printed([e for n in NAMES for e in both(n, flags=frozenset({"few_rows"}))])


def test_without_flags_nothing_is_said_of_them():
    assert "explain" not in printed(both("fc1"))


def test_splits_get_a_column_and_are_told_apart_in_the_notes():
    held_out = [*both("fc1", split="held_out"), *both("fc2", split="held_out", flags=frozenset({"few_rows"}))]
    text = printed([*both("fc1", flags=frozenset({"wide_bracket"})), *both("fc2"), *held_out])
    assert [line.split()[1] for line in text.splitlines() if line.split()[:1] == ["fc1"]] == ["train", "held_out"]
    assert "wide_bracket in fc1 (train)" in text
    assert "few_rows in fc2 (held_out)" in text


def test_a_note_that_holds_for_a_whole_split_names_the_split():
    held_out = [e for n in NAMES for e in both(n, split="held_out", ceiling=5.0)]
    text = printed([e for n in NAMES for e in both(n)] + held_out)
    assert "ceilings (held_out): I(X;T̃) ≤ ln(distinct rows) = 5.00" in text


def test_what_was_not_measured_says_why():
    text = printed(both("fc1")[:1], [missing()])
    assert "I(T̃;Y) not measured in all layers: no targets" in text
    assert row(text, "fc1").split()[-1] == "–"


def test_a_layer_that_could_not_be_measured_at_all_is_still_named():
    text = printed(both("fc1"), [missing("fc9", "3 of 3 rows hold NaN", quantity="")])
    assert "not measured in fc9: 3 of 3 rows hold NaN" in text


def test_when_nothing_at_all_could_be_measured_the_reason_is_printed():
    assert "not measured: no layer ran" in printed([], [missing("", "no layer ran", quantity="")])


def test_a_reason_of_an_earlier_snapshot_is_gone_with_the_next():
    out = console()
    sink = TerminalSink(console=out)
    sink.write(both("fc1")[:1], [missing()])
    sink.write(both("fc1", step=50), [])
    sink.close("")
    assert "not measured" not in out.file.getvalue()


def test_only_events_about_missing_values_are_notes():
    assert "over budget" not in printed(both("fc1"), [Event(step=40, kind="skipped", why="over budget")])


def test_a_void_lower_end_is_a_dash_and_its_value_a_bound():
    text = printed(both("fc1", bracket_low=None)[:1])
    assert row(text, "fc1").split()[1:5] == ["≤", "5.25", "[–,", "5.40]"]


def test_where_the_critic_is_the_headline_it_is_the_value():
    stochastic = estimate(bracket_low=None, headline=False)
    assert row(printed([stochastic, critic("I_XT", 3.5)]), "fc1").split()[1] == "3.50"


@pytest.mark.parametrize("high", [1234.5, INF])
def test_an_upper_end_without_meaning_does_not_widen_the_table(high):
    assert "[5.10, >1000]" in printed([estimate(bracket_high=high)])


def test_a_value_of_an_earlier_step_says_which():
    text = printed([*both("fc1", step=50), critic("I_XT", 4.9, headline=False, step=40)])
    assert "4.90 @40" in row(text, "fc1")
    assert "nats at step 50" in text


def test_brackets_in_names_and_reasons_are_not_taken_for_markup():
    text = printed(both("blocks[bold]"), [missing("x[/red]", "got shape [n, d]")], summary="records in /tmp/a[b]0")
    for part in ("blocks[bold]", "in x[/red]: got shape [n, d]", "/tmp/a[b]0"):
        assert part in text


def test_the_summary_is_one_line_however_long():
    summary = "measured 3 of 3; records in " + "/a-long-folder" * 10
    assert printed(both("fc1"), summary=summary).splitlines()[-1] == f"ibprobe: {summary}"


def test_a_run_without_records_prints_the_summary_only():
    assert printed(summary="measured 0 of 1") == "ibprobe: measured 0 of 1\n"
    assert printed() == ""


def test_eighty_columns_hold_every_value_of_two_splits_with_critics():
    splits = [(n, s) for s in ("train", "held_out") for n in NAMES]
    mine = [critic(q, 4.9, layer=n, split=s, headline=False) for n, s in splits for q in ("I_XT", "I_TY")]
    text = printed([*(e for n, s in splits for e in both(n, split=s)), *mine])
    assert "…" not in text
    assert max(map(cell_len, text.splitlines())) <= 80
    assert row(text, "features.3").split()[2:] == "5.25 [5.10, 5.40] 4.90 1.75 [1.50, 2.00] 4.90".split()


def test_a_long_layer_name_is_folded_and_never_cut():
    name = "transformer.encoder.layers.11.attention.output.dense.activation.projection"
    text = printed(both(name))
    assert "…" not in text
    assert "[5.10, 5.40]" in text
    assert "".join(line[:50].strip().split(" ")[0] for line in text.splitlines()[4:-2]).startswith(name)


def test_many_layers_are_one_line_each_and_notes_stay_short():
    text = printed([e for i in range(100) for e in both(f"layer{i}", flags=frozenset({"few_rows"} if i < 60 else ()))])
    assert len(text.splitlines()) < 112
    assert "few_rows in layer0, layer1, layer2, layer3, layer4, layer5, layer6, layer7 and" in text
    assert "52 more" in text


def test_a_terminal_hears_of_each_snapshot_once():
    out = console(is_terminal=True)
    sink = TerminalSink(console=out)
    sink.write([*both("fc1"), *both("fc2")], [])
    sink.write([critic("I_XT", 4.9)], [])
    assert out.file.getvalue() == "ibprobe: step 40, 2 layers measured\n"


def test_a_log_file_hears_nothing_until_the_end():
    out = console()
    TerminalSink(console=out, live=True).write(both("fc1"), [])
    assert out.file.getvalue() == ""


@pytest.fixture
def live():
    """A live sink on a terminal, stopped when the test is over."""
    sink = TerminalSink(live=True, header="0 % of 10 epochs", console=console(is_terminal=True))
    sink.open({})
    yield sink
    sink.close("done")


def text_of(sink: TerminalSink) -> str:
    return sink._console.file.getvalue()


def test_a_live_table_is_redrawn_in_place_with_its_header(live):
    live.write(both("fc1"), [])
    assert "0 % of 10 epochs" in text_of(live)
    assert "5.25" in text_of(live)
    live.write(both("fc1", step=50, nats=2.5), [])
    assert "2.50" in text_of(live)
    assert "\x1b[1A" in text_of(live), "the cursor goes up to draw over the last table"


def test_a_live_table_is_not_redrawn_at_every_step(live, monkeypatch):
    before = len(text_of(live))
    monkeypatch.setattr(module, "_REDRAW_AFTER", 3600)
    for _ in range(100):
        live.tick()
    assert len(text_of(live)) == before
    monkeypatch.setattr(module, "_REDRAW_AFTER", 0.0)
    time.sleep(0.001)
    live.tick()
    assert len(text_of(live)) > before


def test_a_live_table_of_many_layers_is_whole_at_the_end(live):
    live.write([e for i in range(60) for e in both(f"layer{i}")], [])
    live.close("done")
    last = text_of(live).rpartition("nats at step")[2]
    assert all(f"layer{i} " in last for i in range(60))
    assert last.endswith("ibprobe: done\n")

"""Sentences about runs whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from record_factory import estimate, interval
from show.scenes import training_run

from ibprobe.record.flags import FLAGS
from ibprobe.record.records import Estimate, Event, Records
from ibprobe.show.cases import Case
from ibprobe.show.panels import panels
from ibprobe.show.verdict import Verdict, verdict


def said(*estimates: Estimate, events: Sequence[Event] = ()) -> Verdict:
    return verdict(panels([Case("run", Records(estimates), ("run",))]), events)


def told(first: float, last: float, **changes: Any) -> tuple[Estimate, ...]:
    """A layer that keeps the same of its input, and tells ``first``, then ``last`` of the target, give or take 0.1."""
    kept = [flat(step=step, **changes) for step in (0, 90)]
    target = [interval("I_TY", v - 0.1, v + 0.1, step=s, **changes) for s, v in ((0, first), (90, last))]
    return (*kept, *target)


def flat(**changes: Any) -> Estimate:
    return estimate(**{"fall": 0.0, "fall_low": 0.0, "fall_high": 0.01, "peak_step": 0, "flags": frozenset()} | changes)


def fell(layer: str, fall: float, low: float, high: float, **changes: Any) -> tuple[Estimate, Estimate]:
    """A layer that fell from 5 nats at step 0, with the interval of the fall."""
    first = interval("I_XT", 4.9, 5.1, layer=layer, step=0, **{"flags": frozenset()} | changes)
    own = {"fall": fall, "fall_low": low, "fall_high": high, "peak_step": 0, "flags": frozenset()}
    return first, interval("I_XT", 4.9 - fall, 5.1 - fall, layer=layer, step=90, **own | changes)


@pytest.mark.parametrize(
    ("first", "last", "end"),
    [
        (0.5, 2.0, "keeps 2.00 of 2.30 nats of the target on training rows, up from 0.50 at step 0."),
        (2.0, 0.5, "keeps 0.50 of 2.30 nats of the target on training rows, down from 2.00 at step 0."),
        (1.0, 1.1, "keeps 1.10 of 2.30 nats of the target on training rows; that is not told apart from 1.00"),
    ],
)
def test_the_target_is_said_to_rise_fall_or_neither(first: float, last: float, end: str) -> None:
    [sentence] = said(*told(first, last)).fitted
    assert sentence.startswith(f"fc1 {end}")


def test_a_limit_that_is_not_the_entropy_of_labels_is_no_whole():
    [sentence] = said(*told(0.5, 2.0, ceiling_name="ln(rows)")).fitted
    assert sentence.startswith("fc1 keeps 2.00 nats of the target")


def test_the_last_layer_that_has_a_target_value_speaks():
    records = (*told(0.5, 2.0), *told(0.6, 1.0, layer="logits"), flat(layer="aux"), flat(layer="aux", step=90))
    assert said(*records).fitted[0].startswith("logits keeps 1.00")


def test_compression_is_said_with_its_numbers():
    [sentence] = said(*fell("a", 1.0, 0.9, 1.1), *fell("b", 2.0, 1.8, 2.2), *fell("c", 0.0, 0.0, 0.02)).compressed[:1]
    assert sentence == (
        "2 of 3 layers on training rows, with 95 % intervals: b fell most, by 2.00 nats [1.80, 2.20] from its value at "
        "step 0 to 3.00; a by 1.00 [0.90, 1.10]."
    )


def test_layers_that_held_are_said_to_have():
    verdict = said(*fell("a", 0.0, 0.0, 0.02), *fell("b", 0.05, 0.0, 0.09))
    assert verdict.compressed == ("a, b did not compress on training rows (by less than 0.1 nats).",)


def test_all_layers_that_compressed_are_called_all():
    [sentence] = said(*fell("a", 1.0, 0.9, 1.1), *fell("b", 2.0, 1.8, 2.2)).compressed
    assert sentence.startswith("All 2 layers on training rows, with 95 % intervals: b fell most")


def test_what_is_not_decided_is_said_with_its_interval():
    verdict = said(*fell("a", 0.3, -0.1, 0.7))
    assert verdict.compressed == ()
    assert verdict.unknown[0].startswith("whether these compressed on training rows")
    assert verdict.unknown[0].endswith("a (0.30 [-0.10, 0.70]).")


def test_a_layer_that_rose_again_says_from_where():
    middle = interval("I_XT", 1.9, 2.1, layer="a", step=40, flags=frozenset())
    first, last = fell("a", 1.0, 0.9, 1.1)
    [sentence] = said(first, middle, last).compressed
    assert sentence.endswith("from its value at step 0 to 4.00 (lowest: 2.00 at step 40).")


def test_a_collapsed_layer_is_about_the_layer_and_a_ceiling_about_the_number():
    collapsed, limited = frozenset({"collapsed"}), frozenset({"at_ceiling"})
    verdict = said(*fell("a", 4.8, 4.7, 4.9, flags=collapsed), *fell("b", 0.0, 0.0, 0.02, flags=limited))
    assert verdict.layers[0].startswith("a (collapsed): ")
    assert verdict.doubtful[0].startswith("I(X;T̃) of b (at_ceiling): ")


@pytest.mark.parametrize("flag", ["constant", "low_rank", "dead_units", "memorises"])
def test_what_is_wrong_with_a_layer_is_said_with_its_meaning(flag: str) -> None:
    verdict = said(*fell("a", 0.0, 0.0, 0.02, flags=frozenset({flag})))
    assert verdict.layers == (f"a ({flag}): {FLAGS[flag].meaning}",)
    assert verdict.doubtful == ()


def test_a_flag_that_ibprobe_does_not_know_stops_nothing():
    [sentence] = said(*fell("a", 0.0, 0.0, 0.02, flags=frozenset({"of_a_plugin"}))).doubtful
    assert "(of_a_plugin): " in sentence


def test_one_flag_on_both_splits_is_said_once():
    flags = {"flags": frozenset({"few_rows"})}
    records = [flat(split=split, step=step, **flags) for split in ("train", "held_out") for step in (0, 90)]
    [sentence] = said(*records).doubtful
    assert "on training rows and held-out rows" in sentence


def test_a_doubt_that_passed_is_said_with_its_last_step():
    [sentence] = said(flat(step=0, flags=frozenset({"few_rows"})), flat(step=90)).doubtful
    assert sentence.startswith("earlier, I(X;T̃) of fc1 until step 0 (few_rows): ")


def test_an_upper_end_says_only_at_most():
    one_sided = [flat(step=step, bound="upper end", bracket_low=None) for step in (0, 90)]
    verdict = said(*one_sided)
    assert verdict.compressed == ()
    assert "how much of the input fc1 keeps on training rows: there is only an upper end (≤)." in verdict.unknown


def test_what_was_not_measured_is_said_with_its_reason():
    why = "its outputs are no tensors"
    missing = [Event(step=s, kind="not_measured", layer=n, quantity="I_XT", why=why) for s in (0, 9) for n in "ab"]
    assert "I(X;T̃) of a, b, not measured: its outputs are no tensors." in said(flat(), events=missing).unknown


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("disarmed", "what came after the probe was disarmed: it cost too much."),
        ("skipped", "what happened between snapshots: it cost too much."),
    ],
)
def test_what_stopped_is_said_once(kind: Any, text: str) -> None:
    events = [Event(step=step, kind=kind, why="it cost too much") for step in (3, 7)]
    assert said(flat(), events=events).unknown.count(text) == 1


def test_one_snapshot_cannot_say_what_changed():
    verdict = said(flat(step=7), interval("I_TY", 0.9, 1.1, step=7))
    assert "what changed on training rows: there is one snapshot, at step 7." in verdict.unknown
    assert verdict.fitted == ("fc1 keeps 1.00 of 2.30 nats of the target on training rows.",)


def test_without_held_out_rows_nothing_is_said_about_new_ones():
    sentence = "whether any of this holds for new rows: no held-out rows were measured (probe_set=)."
    assert sentence in said(*told(0.5, 2.0)).unknown
    assert sentence not in verdict(panels([Case("run", training_run(), ("run",))]), ()).unknown


def test_many_layers_are_counted_not_listed():
    verdict = said(*(e for i in range(9) for e in fell(f"l{i}", 0.0, 0.0, 0.02)))
    assert verdict.compressed[0].startswith("l0, l1, l2, l3 and 5 more did not compress")


def test_without_panels_only_what_is_unknown_is_said_and_a_verdict_is_text():
    torn = Event(step=0, kind="note", why="the last line is torn")
    nothing = verdict([], [torn])
    assert (nothing.fitted, nothing.compressed, nothing.layers, nothing.doubtful) == ((), (), (), ())
    assert nothing.unknown == (
        "where the layers stand: no headline value of I(X;T̃) was recorded.",
        "what was left out: the last line is torn.",
    )
    assert str(said(*told(0.5, 2.0))).startswith("Fitted: fc1 keeps 2.00")


def test_sentences_about_several_channels_say_of_which():
    records = [replace(e, sigma=sigma) for sigma in (0.25, 0.5) for e in told(0.5, 2.0)]
    first, second = said(*records).fitted
    assert "on training rows (relative σ = 0.25, replay, population)" in first
    assert "on training rows (relative σ = 0.5, replay, population)" in second


def test_a_fall_between_doubtful_values_says_so_beside_its_number():
    first, last = fell("a", 1.0, 0.9, 1.1, flags=frozenset({"wide_bracket", "dead_units"}))
    [sentence] = said(first, last).compressed
    assert "by 1.00 nats [0.90, 1.10] (flagged wide_bracket) from its value at step 0" in sentence

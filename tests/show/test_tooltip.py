"""What a pointer sees, as Vega evaluates it."""

from __future__ import annotations

from record_factory import INF, critic, estimate, interval
from show.drawing import one_panel, texts

from ibprobe.record.records import Estimate
from ibprobe.show.tooltip import of_quantities


def said(name: str, *estimates: Estimate, of: tuple[str, ...] = ("xt", "ty")) -> str:
    """One line of the tooltip of the only point, written into a chart."""
    [text] = texts(
        {
            "data": {"values": one_panel(*estimates).rows},
            "transform": [
                {"calculate": of_quantities(*of), "as": "said"},
                {"calculate": f"datum.said['{name}']", "as": "text"},
            ],
            "layer": [{"mark": "text", "encoding": {"text": {"field": "text"}}}],
        }
    )
    return text


def test_a_value_has_its_bracket_and_the_errors_of_both_ends():
    assert said("I(X;T̃)", estimate()) == "5.250 nats in [5.100, 5.400], errors 0.020, 0.030"
    assert said("I(X;T̃)", estimate(bracket_low=None, bracket_low_se=None)).endswith("[–, 5.400], errors –, 0.030")
    assert said("I(X;T̃)", critic("I_XT", 4.9)) == "4.900 nats"


def test_both_coordinates_are_told():
    told = interval("I_TY", 0.4, 0.6)
    assert said("I(T̃;Y)", estimate(), told) == "0.500 nats in [0.400, 0.600], errors 0.020, 0.030"
    assert said("I(T̃;Y)", estimate(), told, of=("ty",)).startswith("0.500 nats")


def test_the_interval_and_the_lower_bound_are_told():
    assert said("I(X;T̃) 95 %", estimate()) == "[5.000, 5.500], at least 5.050"
    assert said("I(X;T̃) 95 %", estimate(ci_high=INF)) == "[5.000, Infinity], at least 5.050"


def test_the_fall_is_told_with_the_step_of_the_peak():
    assert said("I(X;T̃) below peak", estimate()) == "0.750 [0.500, 1.000] since step 5"
    assert said("I(X;T̃) below peak", estimate(fall=None)) == "–"


def test_the_ceiling_and_how_the_value_was_made_are_told():
    assert said("I(X;T̃) ceiling, by", estimate()) == "ln(distinct rows) = 7.600; channel, kernel, 0.10 s"
    assert ", ess 900, " in said("I(X;T̃) ceiling, by", critic("I_XT", 4.9))


def test_rows_and_channel_are_told():
    rows = "2000 (1998 distinct, 2 left out), steps 38, 40, replay, population"
    assert said("rows", estimate()) == rows
    assert said("rows", estimate(), interval("I_TY", 0.4, 0.6, rows=1500)) == f"{rows}; labelled 1500"
    assert said("channel", estimate()) == "flatten, 64 numbers, relative σ = 0.25, std = 0.3333"


def test_effective_rank_and_dead_units_are_told():
    assert said("effective rank, dead units", estimate()) == "12.5 of 64, 25%"
    assert said("effective rank, dead units", estimate(effective_rank=None, dead_share=None)) == "– of 64, –"


def test_a_flag_comes_with_its_advice():
    assert said("flags", estimate()).startswith("few_rows: ")
    assert said("flags", estimate(flags=frozenset())) == "none"


def test_a_flag_that_has_no_advice_is_named():
    assert said("flags", estimate(flags=frozenset({"of_a_plugin"}))) == "of_a_plugin"

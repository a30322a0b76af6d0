"""Only values of one channel share a panel; its rows hold every field of both records."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from record_factory import INF, critic, estimate, interval
from show.scenes import training_run

from ibprobe.record.records import Estimate, Records
from ibprobe.show.cases import Case
from ibprobe.show.panels import FIELDS, Panel, advice, comparable, panels, together


def panels_of(*estimates: Estimate, name: str = "run") -> list[Panel]:
    return panels([Case(name, Records(estimates), (name,))])


def one_panel(*estimates: Estimate) -> Panel:
    [panel] = panels_of(*estimates)
    return panel


OTHER_CHANNELS: list[dict[str, Any]] = [
    {"noise": "per_unit"}, {"sigma": 0.5}, {"target": "probe_set"}, {"mode": "stream"},
]  # fmt: skip


@pytest.mark.parametrize("change", OTHER_CHANNELS, ids=lambda change: next(iter(change)))
def test_values_of_another_channel_never_share_a_panel(change: dict[str, Any]) -> None:
    first, other = panels_of(estimate(), estimate(**change))
    assert comparable(first, [other]) == []
    assert together([first, other]) == [[first], [other]]
    assert first.title != other.title


def test_splits_have_panels_of_their_own_that_share_axes():
    train, held_out = panels_of(estimate(), estimate(split="held_out"))
    assert comparable(train, [held_out]) == [held_out]
    assert (train.title, held_out.title) == ("run · training rows", "run · held-out rows")


def test_another_view_of_a_shared_layer_is_another_quantity():
    [flat], [pooled] = panels_of(estimate(), name="a"), panels_of(estimate(view="mean over positions"), name="b")
    assert comparable(flat, [pooled]) == []
    [elsewhere] = panels_of(estimate(layer="fc2", view="mean over positions"), name="c")
    assert comparable(flat, [elsewhere]) == [elsewhere]


def test_only_headline_values_are_points():
    panel = one_panel(estimate(), critic("I_XT", 4.9, headline=False), interval("I_TY", 0.1, 0.2))
    assert (len(panel.xt), len(panel.ty), len(panel.records)) == (1, 1, 3)


def test_a_row_holds_every_field_of_both_records():
    xt, ty = estimate(), interval("I_TY", 0.1, 0.3, flags=frozenset())
    [row] = one_panel(xt, ty).rows
    for name, e in (("xt", xt), ("ty", ty)):
        for field in FIELDS:
            value = getattr(e, field)
            shown = ", ".join(map(str, sorted(value))) if isinstance(value, tuple | frozenset) else value
            assert row[f"{name}_{field}"] == shown
    assert (row["layer"], row["step"], row["order"], row["snapshot"]) == ("fc1", 40, 0, 0)


def test_a_point_is_flagged_by_either_record_and_says_what_to_do():
    [row] = one_panel(estimate(flags=frozenset()), interval("I_TY", 0.1, 0.2, flags=frozenset({"few_rows"}))).rows
    assert row["flagged"] is True
    assert row["flags"] == "few_rows"
    assert row["advice"].startswith("few_rows: ")
    assert one_panel(estimate(flags=frozenset())).rows[0]["flagged"] is False


def test_a_flag_of_a_plugin_is_only_named():
    assert advice(frozenset({"of_a_plugin"})) == ["of_a_plugin"]


def test_rows_are_strict_json_where_numbers_are_infinite_or_missing():
    [row] = one_panel(estimate(bracket_high=INF, ci_low=-INF, ci_high=math.nan)).rows
    assert (row["xt_bracket_high"], row["xt_ci_low"], row["xt_ci_high"]) == ("Infinity", "-Infinity", "NaN")
    json.dumps(row, allow_nan=False)


def test_a_layer_without_a_target_value_keeps_its_row():
    panel = one_panel(estimate(), estimate(layer="fc2"), interval("I_TY", 0.1, 0.2, layer="fc2"))
    assert [row["ty_nats"] is None for row in panel.rows] == [True, False]


def test_rows_come_by_layer_in_forward_order_then_by_step():
    made = [estimate(layer=name, step=step) for step in (9, 0) for name in ("z", "a")]
    assert [(r["layer"], r["step"], r["snapshot"]) for r in one_panel(*made).rows] == [
        ("z", 0, 0), ("z", 9, 1), ("a", 0, 0), ("a", 9, 1),
    ]  # fmt: skip


def test_the_module_that_is_the_whole_model_has_a_name():
    assert one_panel(estimate(layer="")).layers == ["(model)"]


def test_records_without_values_of_the_input_have_no_panel():
    assert panels_of(interval("I_TY", 0.1, 0.2)) == []


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "I(X; T+ε), nats, relative σ = 0.25, N = 2,000"),
        ({"noise": "none", "sigma": 0.0}, "I(X; T), nats, no noise, N = 2,000"),
        ({"noise": "per_unit", "rows": 64}, "I(X; T+ε), nats, per unit σ = 0.25, N = 64"),
    ],
)
def test_an_axis_names_quantity_unit_channel_and_rows(changes: dict[str, Any], title: str) -> None:
    assert one_panel(estimate(**changes)).axis("I_XT") == title


def test_an_axis_of_several_numbers_of_rows_says_from_where_to_where():
    assert one_panel(estimate(rows=64), estimate(step=50, rows=128)).axis("I_XT").endswith("N = 64–128")


def test_a_training_run_has_two_panels_with_every_snapshot():
    found = panels([Case("run", training_run(), ("run",))])
    assert [panel.split for panel in found] == ["train", "held_out"]
    assert {len(panel.rows) for panel in found} == {5 * 12}


def test_a_ceiling_is_the_largest_limit_and_its_name():
    panel = one_panel(estimate(ceiling=7.0), estimate(step=50, ceiling=7.5), interval("I_TY", 0.1, 0.2))
    assert panel.ceiling("I_XT") == (7.5, "ln(distinct rows)")
    assert panel.ceiling("I_TY") == (2.3, "H(Y)")
    assert one_panel(estimate()).ceiling("I_TY") is None

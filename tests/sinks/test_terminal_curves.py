"""A curve is one block a snapshot on a scale that all layers share; a low screen shows what moves."""

from itertools import pairwise

import pytest
from rich.cells import cell_len
from screen_factory import both, point, row, table_of, told

from ibprobe.sinks.terminal.table import spark
from ibprobe.sinks.terminal.values import evenly


def run(steps: int, layers: int = 1, splits: tuple[str, ...] = ("train",)):
    """Layer k falls from 8 nats by (k + 1)/10 of a nat a snapshot, its I(T̃;Y) stays at 1."""
    keys = [(k, split) for split in splits for k in range(layers)]

    def snapshot(step):
        return [e for k, split in keys for e in point(f"fc{k}", 8 - step * (k + 1) / 10, 1, step=step, split=split)]

    return told(*map(snapshot, range(steps)))


def test_eighths_of_the_scale_are_the_eight_blocks():
    assert spark([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], top=8.0) == "▁▂▃▄▅▆▇█"
    assert spark([8.0, 7.99, 7.0, 6.99, 0.99], top=8.0) == "███▇▁"


def test_what_is_below_zero_or_unknown_has_no_height():
    assert spark([-0.5, None, 0.0], top=1.0) == "▁ ▁"
    assert spark([-0.5, 0.0], top=0.0) == "▁▁"


@pytest.mark.parametrize(
    ("total", "wanted", "picked"), [(3, 12, [0, 1, 2]), (12, 12, [*range(12)]), (7, 3, [0, 3, 6]), (0, 12, [])]
)
def test_positions_are_picked_evenly_from_the_first_to_the_last(total, wanted, picked):
    assert evenly(total, wanted) == picked


@pytest.mark.parametrize("total", [13, 60, 1000])
def test_a_long_run_keeps_the_width_and_both_ends(total):
    picked = evenly(total, 12)
    gaps = {b - a for a, b in pairwise(picked)}
    assert (len(picked), picked[0], picked[-1]) == (12, 0, total - 1)
    assert max(gaps) - min(gaps) <= 1


def test_a_curve_holds_values_that_were_measured():
    values = run(60)
    curve = values.curve(("fc0", "train"), "I_XT", 12)
    assert curve == [8 - step / 10 for step in evenly(60, 12)]


def test_a_value_stands_until_the_next_one_and_before_the_first_there_is_none():
    values = told(*(both("fc0", step=s) for s in range(5)), point("late", 3, 1, step=2), point("late", 4, 1, step=4))
    assert values.curve(("late", "train"), "I_XT", 12) == [None, None, 3, 3, 4]


def test_values_that_are_not_finite_leave_the_scale_alone():
    values = told(point("fc0", 2.0, 1), point("fc0", float("inf"), float("nan"), step=41))
    assert values.highest("I_XT") == 2.0
    assert values.curve(("fc0", "train"), "I_TY", 12) == [1, 1]


def test_the_highest_value_of_a_column_is_its_scale():
    values = told(
        [*point("fc0", 4, 1), *point("fc1", 8, 2)], [*point("fc0", 2, 2, step=50), *point("fc1", 1, 0, step=50)]
    )
    text = table_of(values, width=120)
    head = next(line for line in text.splitlines() if "bracket" in line)
    assert head.split() == ["layer", "I(X;T̃)", "0–8.00", "bracket", "I(T̃;Y)", "0–2.00", "bracket"]
    assert row(text, "fc0").split()[1:3] == ["2.00", "▅▃"]
    assert row(text, "fc1").split()[1:3] == ["1.00", "█▂"]


def test_the_note_says_what_the_curves_are():
    assert "curves: 12 of 60 snapshots, steps 0 to 59, on the scale over the column" in table_of(run(60), width=120)


def test_curves_grow_from_the_second_snapshot_on_and_keep_their_column():
    assert "curves" not in table_of(run(1), width=120)
    early, late = table_of(run(2), width=120), table_of(run(60), width=120)
    assert "██" in row(early, "fc0")
    assert cell_len(early.splitlines()[2]) == cell_len(late.splitlines()[2])


@pytest.mark.parametrize(("width", "cells"), [(120, 12), (80, 12), (79, 6), (68, 6), (67, 0)])
def test_curves_give_way_before_a_number_is_cut(width, cells):
    text = table_of(run(60), width=width)
    assert sum(char in "▁▂▃▄▅▆▇█" for char in text) == 2 * cells
    assert row(text, "fc0").split()[1] == "2.10"
    assert text.count("[5.10, 5.40]  ") == text.count("[1.50, 2.00]  ") == 1


def test_all_layers_are_there_where_there_is_room():
    text = table_of(run(3, layers=9), room=20, width=120)
    assert [f"fc{k}" in text for k in range(9)] == [True] * 9
    assert "changed" not in text


def test_a_low_screen_shows_the_layers_that_changed_most_in_forward_order():
    text = table_of(run(3, layers=50), room=17, width=120)
    shown = [line.split()[0] for line in text.splitlines() if line.startswith(" fc")]
    assert shown == [f"fc{k}" for k in range(40, 50)]
    assert "nats at step 2 · the 10 of 50 layers that changed most" in text
    assert len(text.splitlines()) == 17


def test_two_kinds_of_rows_share_the_room():
    text = table_of(run(3, layers=50, splits=("train", "held_out")), room=17, width=120)
    shown = [line.split()[0] for line in text.splitlines() if line.startswith(" fc")]
    assert shown == [f"fc{k}" for k in range(45, 50)] * 2


def test_a_few_layers_stand_on_a_screen_that_is_full_of_notes():
    assert table_of(run(3, layers=50), room=3, width=120).count("fc") == 4

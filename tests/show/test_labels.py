"""Names cover neither each other nor points, wherever the points are."""

from __future__ import annotations

import random
from itertools import combinations, pairwise

import pytest

from ibprobe.show.labels import Label, place_labels, spread, standing_free

WIDTH, HEIGHT = 500, 400
Box = tuple[float, float, float, float]


def box(label: Label, x: float, y: float) -> Box:
    """Where the text is: 6.6 pixels a character, 12 pixels high."""
    wide = 6.6 * len(label.text)
    left = x + label.dx - {"left": 0.0, "center": wide / 2, "right": wide}[label.align]
    return left, y + label.dy - 6, left + wide, y + label.dy + 6


def meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def points(count: int, seed: int) -> list[tuple[str, float, float]]:
    rng = random.Random(seed)
    crowded = rng.choice([1.0, 0.3, 0.05])
    return [
        (f"layer{i}", WIDTH * (0.5 + crowded * (rng.random() - 0.5)), HEIGHT * (0.5 + crowded * (rng.random() - 0.5)))
        for i in range(count)
    ]


@pytest.mark.parametrize("count", [1, 2, 5, 12, 50])
def test_names_cover_neither_each_other_nor_points_nor_the_edge(count: int) -> None:
    for seed in range(3 if count == 50 else 12):
        at = {name: (x, y) for name, x, y in points(count, seed)}
        placed = place_labels(points(count, seed), [], WIDTH, HEIGHT)
        boxes = {label.text: box(label, *at[label.text]) for label in placed}
        assert not any(meet(a, b) for a, b in combinations(boxes.values(), 2))
        marks = {name: (x - 5, y - 5, x + 5, y + 5) for name, (x, y) in at.items()}
        assert not any(meet(b, mark) for name, b in boxes.items() for other, mark in marks.items() if other != name)
        assert all(b[0] >= 0 and b[1] >= 0 and b[2] <= WIDTH and b[3] <= HEIGHT for b in boxes.values())


def test_far_points_are_all_named():
    far = [(f"block{i}", 60.0 + 90 * i, 40.0 + 70 * i) for i in range(5)]
    assert {label.text for label in place_labels(far, [], WIDTH, HEIGHT)} == {name for name, _, _ in far}


def test_where_room_is_short_the_first_and_the_last_layer_are_named():
    heap = [(f"block{i}", 250.0, 200.0) for i in range(50)]
    named = {label.text for label in place_labels(heap, [], WIDTH, HEIGHT)}
    assert {"block0", "block49"} <= named
    assert len(named) < 50


def test_a_crowd_is_avoided_where_that_is_possible():
    [free] = place_labels([("a", 250.0, 200.0)], [], WIDTH, HEIGHT)
    [avoiding] = place_labels([("a", 250.0, 200.0)], [(264.0, 200.0)], WIDTH, HEIGHT)
    assert (free.dx > 0, free.dy) == (True, 0.0)
    assert not meet(box(avoiding, 250.0, 200.0), (261.0, 197.0, 267.0, 203.0))


def test_a_name_too_long_for_the_plot_is_left_out():
    assert place_labels([("x" * 100, 250.0, 200.0)], [], WIDTH, HEIGHT) == []


def test_no_points_have_no_names():
    assert place_labels([], [], WIDTH, HEIGHT) == []


@pytest.mark.parametrize("seed", range(30))
def test_spread_keeps_the_gap_the_order_and_the_limits(seed: int) -> None:
    rng = random.Random(seed)
    wanted = [rng.choice([1.0, 260.0]) * rng.random() for _ in range(rng.randrange(1, 13))]
    placed = spread(wanted, 14.0, 0, 260)
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    ranked = [placed[i] for i in order]
    assert all(b - a >= 14 - 1e-9 for a, b in pairwise(ranked))
    assert ranked[0] >= -1e-9
    assert ranked[-1] <= 260


def test_spread_moves_nothing_that_is_far_enough_apart():
    assert spread([100.0, 20.0, 200.0], 14.0, 0, 260) == [100.0, 20.0, 200.0]
    assert spread([], 14.0, 0, 260) == []


@pytest.mark.parametrize("seed", range(30))
def test_names_that_stand_free_are_a_gap_apart_and_no_other_would_fit(seed: int) -> None:
    rng = random.Random(seed)
    at = [260 * rng.random() ** 3 for _ in range(50)]
    kept = standing_free(at, 14.0)
    assert kept == sorted(kept)
    assert 0 in kept
    assert all(abs(at[i] - at[j]) >= 14 for i, j in combinations(kept, 2))
    assert all(any(abs(at[i] - at[j]) < 14 for j in kept) for i in set(range(50)) - set(kept))


def test_the_last_layer_goes_before_those_between():
    assert standing_free([0.0, 10.0, 20.0], 14.0) == [0, 2]

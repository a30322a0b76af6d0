"""What the charts with one mark a layer draw, read off their scene graphs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from record_factory import INF, critic, estimate, interval
from show.drawing import marks, one_panel, panels_of, texts

from ibprobe.errors import BadInput
from ibprobe.record.records import Records
from ibprobe.show.panels import Panel, together
from ibprobe.show.summaries import compression, critics, sweep


def falling(*, flags: frozenset[str] = frozenset(), split: str = "train") -> Panel:
    around = {"split": split, "flags": flags}
    return one_panel(estimate(step=0, nats=6.0, **around), estimate(step=9, fall=0.75, **around))


def beside(*critics: object, **changes: object) -> Panel:
    return one_panel(estimate(**changes), *critics)


def test_a_fall_is_drawn_with_its_interval():
    spec = compression([falling()])
    [row] = spec["data"]["values"]
    assert (row["nats"], row["low"], row["high"], row["since"], row["until"]) == (0.75, 0.5, 1.0, 5, 9)
    [point] = marks(spec, "symbol")
    spans = [m for m in marks(spec, "rule") if m.get("x2", m["x"]) != m["x"]]
    assert any(min(m["x"], m["x2"]) < point["x"] < max(m["x"], m["x2"]) for m in spans)


@pytest.mark.parametrize(("flags", "filled"), [(frozenset(), True), (frozenset({"few_rows"}), False)])
def test_a_flagged_fall_is_hollow(flags: frozenset[str], filled: bool) -> None:
    [point] = marks(compression([falling(flags=flags)]), "symbol")
    assert (point["fill"] != "transparent") is filled


def test_comparable_panels_share_the_chart_of_falls_and_are_told_apart_by_shape():
    both = compression([falling(), falling(split="held_out")])
    drawn = marks(both, "symbol")
    assert len({m["shape"] for m in drawn}) == 2
    assert len({m["y"] for m in drawn}) == 2


def test_falls_at_other_sizes_of_noise_are_in_charts_of_their_own():
    found = panels_of([estimate(step=s, sigma=sigma) for sigma in (0.25, 0.5) for s in (0, 9)])
    assert [len(group) for group in together(found)] == [1, 1]


def test_a_critic_is_drawn_beside_its_bracket():
    spec = critics(beside(critic("I_XT", 4.9, headline=False)), "I_XT")
    assert spec is not None
    [row] = spec["data"]["values"]
    assert (row["low"], row["high"], row["nats"]) == (5.1, 5.4, 4.9)
    [bar], [point] = marks(spec, "rect"), marks(spec, "symbol")
    assert point["x"] < bar["x"]


def test_a_rate_is_drawn_as_an_upper_bound_with_its_error() -> None:
    rate = critic("I_XT", 6.0, headline=False, estimator="rate", bound="upper end", ci_low=0.0, ci_high=6.25)
    spec = critics(beside(rate), "I_XT")
    assert spec is not None
    [row] = spec["data"]["values"]
    assert (row["ci_low"], row["ci_high"]) == (5.75, 6.25)
    assert "rate" in row["layer"]
    assert spec["title"]["subtitle"] == "bar: bracket · rate: an upper bound"


def test_an_infinite_end_is_drawn_at_the_value():
    spec = critics(beside(critic("I_XT", 4.9, headline=False, ci_high=INF), bracket_high=INF), "I_XT")
    assert spec is not None
    assert (spec["data"]["values"][0]["high"], spec["data"]["values"][0]["ci_high"]) == (5.25, 4.9)


def test_without_critics_or_without_a_bracket_there_is_no_chart():
    assert critics(one_panel(estimate()), "I_XT") is None
    assert critics(one_panel(estimate(step=3), critic("I_XT", 4.9, step=9, headline=False)), "I_XT") is None
    assert critics(beside(critic("I_XT", 4.9, headline=False)), "I_TY") is None


def at_sizes(*, layers: int = 1) -> Records:
    values = [(s, n) for s in (0.1, 0.2, 0.4) for n in range(layers)]
    return Records(tuple(interval("I_XT", 5 - 5 * s + n / 100, 5.2 - 5 * s, sigma=s, layer=f"l{n}") for s, n in values))


def test_a_sweep_has_one_point_a_size_and_a_falling_line():
    points = sorted(marks(sweep(at_sizes(), "I_XT"), "symbol"), key=lambda m: m["x"])
    assert len(points) == 3
    assert [m["y"] for m in points] == sorted(m["y"] for m in points)


def test_names_in_a_sweep_do_not_cover_each_other():
    spec = sweep(at_sizes(layers=40), "I_XT")
    heights = sorted(m["y"] for m in marks(spec, "text"))
    assert {"l0", "l39"} & set(texts(spec))
    assert all(b - a >= 10 for a, b in pairwise(heights))


def test_a_sweep_of_nothing_says_so():
    with pytest.raises(BadInput, match="no headline value of I"):
        sweep(at_sizes(), "I_TY")


def test_a_sweep_draws_the_axis_as_what_it_is():
    spec = sweep(at_sizes(), "I_XT")
    assert spec["encoding"]["x"]["title"] == "σ (relative noise)"


def test_a_chart_of_falls_says_of_which_panel():
    [low, high] = panels_of([estimate(step=step, sigma=sigma) for sigma in (0.25, 0.5) for step in (0, 9)])
    assert compression([low])["title"]["subtitle"] == "run · training rows · relative σ = 0.25, replay, population"
    assert "subtitle" not in compression([low, high])["title"]


def test_a_sweep_has_no_place_for_no_noise():
    spec = sweep(Records((estimate(sigma=0.0), *at_sizes())), "I_XT")
    assert all(0 <= m["x"] <= spec["width"] for m in marks(spec, "symbol"))


def test_every_estimator_beside_a_bracket_has_a_line_of_its_own_at_the_last_step_with_one():
    beside = [critic("I_XT", 4.9, estimator=name, headline=False) for name in ("mine", "infonce")]
    late = critic("I_XT", 9.0, step=90, headline=False)
    drawn = critics(one_panel(estimate(), *beside, late), "I_XT")
    assert drawn is not None
    assert [(row["layer"], row["nats"]) for row in drawn["data"]["values"]] == [
        ("fc1, mine", 4.9),
        ("fc1, infonce", 4.9),
    ]

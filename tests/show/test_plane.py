"""What the information plane draws, read off its scene graph."""

from __future__ import annotations

import math

import pytest
from record_factory import INF, estimate, interval
from show.drawing import marks, one_panel, panels_of, texts
from show.scenes import training_run

from ibprobe.record.records import Estimate
from ibprobe.show.plane import HEIGHT, WIDTH, plane
from ibprobe.show.theme import Spec


def point(step: int = 0, told: float = 1.0, **changes: object) -> list[Estimate]:
    return [estimate(step=step, **changes), interval("I_TY", told - 0.1, told + 0.1, step=step, flags=frozenset())]


def coordinate(spec: Spec, channel: str, value: float) -> float:
    """Where a value is drawn."""
    layer = next(layer for layer in spec["layer"] if layer.get("name") == "points_of_layers")
    low, high = layer["encoding"][channel]["scale"]["domain"]
    share = (value - low) / (high - low)
    return WIDTH * share if channel == "x" else HEIGHT * (1 - share)


def dashed(spec: Spec) -> set[str]:
    """Names of the ceilings."""
    return {text for text in texts(spec) if " = " in text}


@pytest.fixture(scope="module")
def run() -> Spec:
    train, held_out = panels_of(tuple(training_run(layers=4, snapshots=6)))
    return plane(train, beside=[train, held_out])


def test_every_layer_at_every_step_is_a_point(run):
    assert len(marks(run, "symbol")) == 4 * 6


def test_the_slider_hides_what_came_later(run):
    early = {**run, "params": [{**run["params"][0], "value": 2}, *run["params"][1:]]}
    assert len(marks(early, "symbol")) == 4 * 3
    assert run["params"][0]["bind"]["max"] == 5


def test_points_stand_where_their_values_are():
    panel = one_panel(*point(nats=5.25, told=1.5))
    spec = plane(panel)
    [drawn] = marks(spec, "symbol")
    assert (drawn["x"], drawn["y"]) == pytest.approx((coordinate(spec, "x", 5.25), coordinate(spec, "y", 1.5)))


def test_whiskers_are_the_brackets_not_the_intervals():
    panel = one_panel(*point(bracket_low=4.0, bracket_high=6.0, ci_low=3.5, ci_high=6.5))
    spec = plane(panel)
    across = [m for m in marks(spec, "rule") if m.get("y2") is None and m["x"] != m.get("x2") and "x2" in m]
    ends = {tuple(sorted((round(m["x"], 6), round(m["x2"], 6)))) for m in across}
    assert (round(coordinate(spec, "x", 4.0), 6), round(coordinate(spec, "x", 6.0), 6)) in ends


def test_whiskers_of_a_mean_are_its_interval():
    panel = one_panel(*point(bracket_low=None, bracket_high=None, ci_low=3.5, ci_high=6.5))
    spec = plane(panel)
    wanted = [coordinate(spec, "x", 3.5), coordinate(spec, "x", 6.5)]
    assert any(sorted((m["x"], m.get("x2", m["x"]))) == pytest.approx(wanted) for m in marks(spec, "rule"))


def test_a_void_lower_end_reaches_down_to_zero():
    spec = plane(one_panel(*point(bracket_low=None, bound="upper end")))
    wanted = [coordinate(spec, "x", 0.0), coordinate(spec, "x", 5.4)]
    assert any(sorted((m["x"], m.get("x2", m["x"]))) == pytest.approx(wanted) for m in marks(spec, "rule"))


def test_flagged_points_are_hollow_and_the_last_ones_larger():
    first, last = point(0, flags=frozenset({"few_rows"})), point(9, flags=frozenset())
    drawn = {m["description"].partition("step: ")[2].partition(";")[0]: m for m in
             marks(plane(one_panel(*first, *last)), "symbol")}  # fmt: skip
    assert (drawn["0"]["fillOpacity"], drawn["9"]["fillOpacity"]) == (0, 0.9)
    assert drawn["9"]["size"] > drawn["0"]["size"]


def test_near_ceilings_are_drawn_and_far_ones_left_out():
    near = plane(one_panel(*point(ceiling=7.6)))
    assert "ln(distinct rows) = 7.60" in dashed(near)
    far = plane(one_panel(*point(nats=1.0, bracket_low=0.9, bracket_high=1.1, ceiling=7.6)))
    assert "ln(distinct rows) = 7.60" not in dashed(far)


def test_an_infinite_ceiling_is_no_line():
    assert not any("ln(distinct rows)" in text for text in dashed(plane(one_panel(*point(ceiling=INF)))))


def test_a_trajectory_joins_each_point_with_the_one_before():
    records = [e for step in (0, 5, 9) for e in point(step, told=1 + step / 20, nats=5 - step / 10)]
    panel = one_panel(*records)
    spec = plane(panel)
    at = [(coordinate(spec, "x", 5 - s / 10), coordinate(spec, "y", 1 + s / 20)) for s in (0, 5, 9)]
    joined = [(m["x2"], m["y2"], m["x"], m["y"]) for m in marks(spec, "rule") if "x2" in m and "y2" in m]
    for wanted in ((*at[0], *at[1]), (*at[1], *at[2])):
        assert any(line == pytest.approx(wanted) for line in joined)


def test_the_names_of_a_few_layers_are_written_on_a_halo(run):
    names = [text for text in texts(run) if " = " not in text]
    assert sorted(names) == sorted(["block0", "block1", "block2", "logits"] * 2)


def test_comparable_panels_have_the_same_axes_and_others_do_not():
    train = point(nats=5.25)
    held_out = [estimate(split="held_out", nats=7.0), interval("I_TY", 0.4, 0.6, split="held_out")]
    other = [estimate(sigma=1.0, nats=1.0, bracket_low=0.9, bracket_high=1.1, ceiling=9.9)]
    found = panels_of((*train, *held_out, *other, interval("I_TY", 0.4, 0.6, sigma=1.0)))
    domains = [domain(plane(panel, beside=found), "x") for panel in found]
    assert domains[0] == domains[1] != domains[2]
    assert domain(plane(found[2]), "x") == domains[2]


def domain(spec: Spec, channel: str) -> list[float]:
    layer = next(layer for layer in spec["layer"] if layer.get("name") == "points_of_layers")
    found: list[float] = layer["encoding"][channel]["scale"]["domain"]
    return found


def test_values_that_are_all_one_still_have_an_axis():
    spec = plane(one_panel(estimate(), interval("I_TY", 2.3, 2.3)))
    low, high = domain(spec, "y")
    assert low < 2.3 < high


def test_a_value_that_is_no_number_is_no_point():
    records = [*point(0, nats=math.nan), *point(9)]
    assert len(marks(plane(one_panel(*records)), "symbol")) == 1


def test_of_many_layers_only_the_last_points_have_whiskers():
    [panel] = panels_of(tuple(training_run(layers=20, snapshots=5, splits=("train",))))
    drawn = marks(plane(panel), "rule")
    both = [m for m in drawn if "x2" in m and "y2" in m]
    # Four steps between five snapshots, two whiskers at the last, and two ceilings at most.
    assert len(both) <= 20 * 4
    assert 2 * 20 <= len(drawn) - 20 * 4 <= 2 * 20 + 2


def with_rate(step: int, nats: float, rate: float) -> list[Estimate]:
    """A code's bracket, what it tells, and its rate."""
    own = {"noise": "own", "sigma": 1.0, "flags": frozenset[str]()}
    ends = {"ci_low": 0.0, "ci_high": rate + 0.2, "bracket_low": None, "bracket_high": rate}
    bound = estimate(step=step, nats=rate, estimator="rate", bound="upper end", headline=False, **ends, **own)
    told = interval("I_TY", 0.9, 1.1, step=step, **own)
    return [estimate(step=step, nats=nats, bracket_low=nats, bracket_high=nats, **own), told, bound]


def test_the_rate_of_a_code_is_a_tick_at_the_end_of_a_dotted_line_from_its_last_point():
    spec = plane(one_panel(*with_rate(0, 2.0, 6.5), *with_rate(9, 3.0, 5.0)))
    assert spec["title"]["subtitle"].endswith("dotted: up to the rate, an upper bound")
    [dotted] = [m for m in marks(spec, "rule") if m.get("strokeDash") == [1, 3]]
    ends = sorted((dotted["x"], dotted["x2"]))
    assert ends == pytest.approx([coordinate(spec, "x", value) for value in (3.0, 5.0)])
    [tick] = marks(spec, "rect")
    assert tick["x"] + tick["width"] / 2 == pytest.approx(coordinate(spec, "x", 5.0), abs=1)


def test_a_plane_without_codes_has_no_mark_for_rates(run):
    assert not [m for m in marks(run, "rule") if m.get("strokeDash") == [1, 3]]
    assert "rate" not in run["title"]["subtitle"]

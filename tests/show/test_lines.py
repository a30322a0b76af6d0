"""What the charts against the training step draw, read off their scene graphs."""

from __future__ import annotations

from itertools import pairwise

import pytest
from record_factory import INF, critic, estimate, interval
from show.drawing import marks, one_panel, panels_of, texts
from show.scenes import training_run

from ibprobe.record.records import Logged
from ibprobe.show.lines import HEIGHT, curves, lines
from ibprobe.show.theme import Spec


def domain(spec: Spec) -> list[float]:
    [points] = [layer for layer in spec["layer"] if layer.get("name") == "points_of_lines"]
    found: list[float] = points["encoding"]["y"]["scale"]["domain"]
    return found


def height(spec: Spec, value: float) -> float:
    low, high = domain(spec)
    return HEIGHT * (1 - (value - low) / (high - low))


@pytest.fixture(scope="module")
def run() -> Spec:
    [panel] = panels_of(tuple(training_run(layers=4, snapshots=6, splits=("train",))))
    return lines(panel, "I_XT")


def test_every_layer_is_a_line_with_a_point_a_step(run):
    assert len(marks(run, "symbol")) == 4 * 6
    assert len(marks(run, "area")) == len(marks(run, "line")) == 4 * 6


def test_step_zero_is_on_the_logarithmic_axis(run):
    assert min(item["x"] for item in marks(run, "symbol")) == 0


def test_points_stand_at_their_values_and_bands_at_the_interval():
    spec = lines(one_panel(estimate(step=0), estimate(step=9, ci_low=4.0, ci_high=6.0)), "I_XT")
    assert [m["y"] for m in marks(spec, "symbol")] == pytest.approx([height(spec, 5.25)] * 2)
    band = marks(spec, "area")[-1]
    assert sorted((band["y"], band["y2"])) == pytest.approx([height(spec, 6.0), height(spec, 4.0)])


def test_an_infinite_end_leaves_the_band_at_the_value():
    spec = lines(one_panel(*(critic("I_XT", 4.0, step=s, ci_high=INF) for s in (0, 9))), "I_XT")
    band = marks(spec, "area")[0]
    assert min(band["y"], band["y2"]) == pytest.approx(height(spec, 4.0))


def test_flagged_points_are_hollow():
    spec = lines(one_panel(estimate(step=0, flags=frozenset()), estimate(step=9)), "I_XT")
    assert [m["fillOpacity"] for m in sorted(marks(spec, "symbol"), key=lambda m: m["x"])] == [0.9, 0]


def test_a_near_ceiling_is_drawn_and_a_far_one_left_out():
    near = lines(one_panel(estimate(ceiling=7.0)), "I_XT")
    assert "ln(distinct rows) = 7.00" in texts(near)
    far = lines(one_panel(estimate(ceiling=17.0)), "I_XT")
    assert not any(" = " in text for text in texts(far))
    assert domain(far)[1] < 7


def test_comparable_panels_have_one_axis_and_others_do_not():
    found = panels_of((estimate(), estimate(split="held_out", nats=6.5), estimate(sigma=1.0, nats=1.0, ci_high=1.2)))
    domains = [domain(lines(panel, "I_XT", beside=found)) for panel in found]
    assert domains[0] == domains[1] != domains[2]


def test_names_of_a_few_layers_are_apart_and_in_the_order_of_their_values():
    same = [estimate(step=s, layer=f"fc{i}", nats=5.0 + i / 1000) for i in range(6) for s in (0, 9)]
    names = [m for m in marks(lines(one_panel(*same), "I_XT"), "text") if m["text"].startswith("fc")]
    heights = [m["y"] for m in sorted(names, key=lambda m: m["text"])]
    assert len(heights) == 6
    assert all(below - above >= 14 - 1e-6 for below, above in pairwise(heights))


def test_of_many_layers_those_that_stand_free_are_named():
    [panel] = panels_of(tuple(training_run(layers=50, snapshots=2, splits=("train",))))
    names = [m for m in marks(lines(panel, "I_XT"), "text") if " = " not in m["text"]]
    heights = sorted(m["y"] for m in names)
    assert {"block0", "logits"} <= {m["text"] for m in names}
    assert all(b - a >= 14 - 1e-6 for a, b in pairwise(heights))


def test_the_target_has_a_line_where_there_are_labels():
    panel = one_panel(*(f for s in (0, 9) for f in (estimate(step=s), interval("I_TY", 0.4, 0.6, step=s))))
    assert len(marks(lines(panel, "I_TY"), "symbol")) == 2
    assert marks(lines(one_panel(estimate()), "I_TY"), "symbol") == []


def test_a_value_that_is_no_number_leaves_a_gap():
    panel = one_panel(estimate(step=0), estimate(step=5, nats=float("nan")), estimate(step=9))
    assert len(marks(lines(panel, "I_XT"), "symbol")) == 2


def test_a_curve_holds_the_users_numbers():
    spec = curves([Logged(0, {"loss": 2.0}), Logged(9, {"loss": 0.1 + 0.2, "acc": 1.0})], "loss", "loss · run")
    assert spec["data"]["values"] == [{"step": 0, "value": 2.0}, {"step": 9, "value": 0.1 + 0.2}]


def test_a_layer_whose_last_value_is_no_number_is_named_where_its_line_ends():
    spec = lines(one_panel(estimate(step=0), estimate(step=9, nats=float("nan"))), "I_XT")
    assert "fc1" in texts(spec)


def test_a_long_curve_of_the_users_own_is_thinned_evenly():
    drawn = curves([Logged(step, {"loss": float(step)}) for step in range(100_000)], "loss", "loss")["data"]["values"]
    assert len(drawn) == 2000
    assert {b["step"] - a["step"] for a, b in pairwise(drawn)} == {50}

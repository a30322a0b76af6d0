"""The IB curve as it is drawn: by itself, with layers, and on a plane."""

from __future__ import annotations

import numpy as np
import pytest
from ib.joints import labels, random_joint
from record_factory import estimate, interval
from show.drawing import marks, one_panel, texts

from ibprobe.bottleneck import IBCurve, ib_curve
from ibprobe.show.frontier import WIDTH, Mark, distance_table, frontier_chart
from ibprobe.show.plane import along, plane


@pytest.fixture(scope="module")
def curve() -> IBCurve:
    return ib_curve(random_joint(12, 3), points=8, locate=0)


def test_every_solution_is_a_point_at_its_place(curve: IBCurve) -> None:
    drawn = marks(frontier_chart(curve), "symbol")
    assert len(drawn) == 8
    right = 1.06 * curve.i_xt.max()
    assert sorted(m["x"] for m in drawn) == pytest.approx(sorted(WIDTH * curve.i_xt / right), abs=1e-6)
    assert any(text.startswith("I(X;Y) = ") for text in texts(frontier_chart(curve)))


def test_layers_are_named_and_each_net_has_its_shape(curve: IBCurve) -> None:
    given = [Mark(net, f"T{i}", 1.0 + i, 0.1 + 0.1 * (net == "a")) for net in ("a", "b") for i in (1, 2)]
    spec = frontier_chart(curve, given)
    assert sorted(text for text in texts(spec) if " T" in text) == ["a T1", "a T2", "b T1", "b T2"]
    assert len({m["shape"] for m in marks(spec, "symbol") if m["size"] == 90}) == 2


def test_on_a_plane_the_frontier_reaches_as_far_as_the_layers(curve: IBCurve) -> None:
    panel = one_panel(estimate(nats=5.25), interval("I_TY", 0.1, 0.2))
    points = along(curve, panel)
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (5.25, pytest.approx(curve.i_ty.max()))
    assert len(marks(plane(panel, frontier=points), "line")) > len(marks(plane(panel), "line"))
    assert along(None, panel) == ()


def test_distances_are_nats_below_the_curve_and_what_is_above_is_marked() -> None:
    curve = ib_curve(labels())
    fine = (estimate(nats=2.0, bracket_low=1.9, bracket_high=2.1), interval("I_TY", 0.4, 0.6))
    [table] = distance_table([one_panel(*fine)], curve)
    [row] = table.rows
    assert float(row.cells[4].text) == pytest.approx(curve.h_y - 0.5, abs=1e-3)
    assert not row.flagged
    broken = (estimate(nats=0.2, bracket_low=0.1, bracket_high=0.3), interval("I_TY", 0.4, 0.6))
    [table] = distance_table([one_panel(*broken)], curve)
    assert table.rows[0].flagged
    assert distance_table([one_panel(estimate())], curve) == []


def test_a_curve_is_concave_where_its_solutions_are() -> None:
    points = np.array(ib_curve(random_joint(12, 3), points=8, locate=0).reaching(9.0))
    slopes = np.diff(points[:, 1]) / np.diff(points[:, 0])
    assert (np.diff(slopes) <= 1e-9).all()
    assert slopes[-1] == 0

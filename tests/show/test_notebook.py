"""Records draw and show themselves in a notebook."""

from __future__ import annotations

import sys
from typing import Any

import altair
import pytest
from helpers import unchecked
from record_factory import estimate, interval
from show.scenes import training_run

from ibprobe.errors import BadInput, MissingExtra, UnknownName
from ibprobe.record.records import Event, Records

RUN = training_run(layers=2, snapshots=3)
SWEEP = Records(tuple(estimate(sigma=s) for s in (0.1, 0.2)))


def title(records: Records, *args: Any, **options: Any) -> str:
    drawn = records.plot(*args, **options)
    assert isinstance(drawn, altair.LayerChart)
    said = drawn.to_dict(validate=False)["title"]
    return said if isinstance(said, str) else said["text"]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("plane", "held-out rows"),
        ("I_XT", "Kept of the input · held-out rows"),
        ("I_TY", "Kept of the target · held-out rows"),
        ("compression", "How far each layer fell from its peak"),
    ],
)
def test_every_kind_is_a_chart_of_held_out_rows_where_there_are_any(kind: Any, expected: str) -> None:
    assert title(RUN, kind) == expected


def test_the_split_can_be_chosen():
    assert title(RUN, "compression", split="train") == "How far each layer fell from its peak"
    assert title(RUN, "I_TY", split="train") == "Kept of the target · training rows"
    assert title(training_run(2, 3, ("train",)), "I_TY") == "Kept of the target · training rows"


def test_a_chart_holds_all_points_and_one_look():
    light, dark = (RUN.plot(look=look).to_dict(validate=False) for look in ("light", "dark"))
    [points] = light["datasets"].values()
    assert len(points) == 2 * 3
    assert (light["config"]["background"], dark["config"]["background"]) == ("#ffffff", "#0f141b")


def test_a_sweep_is_drawn_against_sigma():
    assert title(SWEEP, "sigma") == "I(X; T+ε) at every noise size"


def test_several_channels_must_be_told_apart_first():
    with pytest.raises(BadInput, match=r"relative σ = 0.1, relative σ = 0.2 are different quantities"):
        SWEEP.plot()
    assert isinstance(SWEEP.select(sigma=0.1).plot("I_XT"), altair.LayerChart)


@pytest.mark.parametrize("kind", ["plane", "I_XT", "compression", "sigma"])
def test_nothing_to_draw_is_said(kind: Any) -> None:
    with pytest.raises(BadInput, match="there is nothing to draw"):
        Records().plot(kind)
    with pytest.raises(BadInput, match="there is nothing to draw"):
        Records((interval("I_TY", 0.4, 0.6),)).plot(kind)


def test_unknown_names_list_those_that_there_are():
    with pytest.raises(UnknownName, match="did you mean: plane"):
        unchecked(Records.plot)(RUN, "plain")
    with pytest.raises(UnknownName, match="held_out, train"):
        RUN.plot(split="xyzzy")


def test_without_altair_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtra, match=r"altair.*pip install 'ibprobe\[report\]'"):
        RUN.plot()


def test_a_table_of_final_values_needs_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("altair", "vl_convert", "jinja2"):
        monkeypatch.setitem(sys.modules, name, None)
    html = RUN._repr_html_()
    last = RUN.one(layer="logits", step=1000, split="held_out", quantity="I_XT")
    assert f'<td title="{last.nats!r}">{last.nats:.3f}</td>' in html
    assert html.count("<tr>") == 1 + 2 * 2


def test_names_in_the_table_are_text_never_markup():
    assert '<td title="">&lt;b&gt;</td>' in Records((estimate(layer="<b>"),))._repr_html_()


def test_records_without_a_point_are_shown_as_text():
    why = Records((), (Event(step=3, kind="disarmed", why="cost > budget"),))._repr_html_()
    assert why == "<pre>step 3: disarmed: cost &gt; budget</pre>"


@pytest.mark.parametrize(
    ("kind", "why"), [("compression", "two snapshots"), ("I_TY", "not measured"), ("plane", "not")]
)
def test_a_chart_that_would_be_empty_is_an_error(kind: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        Records((estimate(),)).plot(kind)

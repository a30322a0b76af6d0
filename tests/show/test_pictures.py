"""The pictures of a report as files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from record_factory import estimate, interval
from show.scenes import training_run

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.record.records import Records
from ibprobe.show.pictures import pictures, rendered, save_pictures
from ibprobe.show.theme import themed

RUN = training_run(layers=2, snapshots=3)
SPEC = {"data": {"values": [{"x": 1}]}, "mark": "point", "encoding": {"x": {"field": "x", "type": "quantitative"}}}


def test_every_panel_has_a_plane_and_two_lines_and_all_share_the_falls():
    assert list(pictures([("run", RUN)])) == [
        "plane-1-train", "input-1-train", "target-1-train",
        "plane-2-held_out", "input-2-held_out", "target-2-held_out", "compression",
    ]  # fmt: skip


def test_one_panel_needs_no_number():
    one = Records((estimate(), interval("I_TY", 0.4, 0.6)))
    assert list(pictures([("run", one)])) == ["plane-train"]


def test_channels_that_do_not_compare_have_falls_of_their_own():
    values = [estimate(step=s, sigma=sigma) for sigma in (0.25, 0.5) for s in (0, 9)]
    assert list(pictures([("run", Records(tuple(values)))]))[-2:] == ["compression", "compression-2"]


def test_a_picture_is_a_png_at_twice_the_resolution():
    drawn = rendered(themed({**SPEC, "width": 100, "height": 50}), "png")
    assert drawn[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(drawn[16:20], "big") >= 200


def test_the_look_of_a_picture_is_light_or_dark(tmp_path: Path) -> None:
    one = [("run", Records((estimate(), interval("I_TY", 0.4, 0.6))))]
    [light] = save_pictures(one, tmp_path / "new" / "light", "svg")
    [dark] = save_pictures(one, tmp_path / "dark", "svg", look="dark")
    assert light.name == dark.name == "plane-train.svg"
    assert 'fill="#ffffff"' in light.read_text()
    assert 'fill="#0f141b"' in dark.read_text()


def test_a_folder_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot write"):
        save_pictures([("run", Records((estimate(), interval("I_TY", 0.4, 0.6))))], tmp_path / "file", "svg")


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtra, match=r"vl-convert-python.*pip install 'ibprobe\[report\]'"):
        rendered(SPEC, "svg")


def test_nothing_to_draw_is_said():
    with pytest.raises(BadInput, match="no picture to draw"):
        pictures([("one", Records((estimate(),)))])

"""What sinks for other trackers share: keys, steps, texts that change, one end, failures that are told."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping
from typing import Any

import pytest
from record_factory import INF, critic, estimate, interval

from ibprobe import MissingExtra
from ibprobe.record.records import Records
from ibprobe.sinks import trackers
from ibprobe.sinks.trackers import Numbers, TrackerSink, as_csv, as_page, planes_as_png
from ibprobe.sinks.wandb_keys import metrics_of
from ibprobe.testing import check_sink


class Kept(TrackerSink):
    """Keeps what it is given."""

    def __init__(self, patience: float | None = None, fails_at: str = "", **options: Any) -> None:
        super().__init__(patience, **options)
        self.calls: list[Any] = []
        self._fails_at = fails_at

    def _call(self, name: str, *given: Any) -> None:
        if name == self._fails_at:
            raise OSError(f"cannot {name}")
        self.calls.append((name, *given))

    def _begin(self, meta: Mapping[str, Any]) -> None:
        self._call("begin", meta)

    def _put(self, step: int, numbers: Numbers, texts: Mapping[str, str]) -> None:
        self._call("put", step, dict(numbers), dict(texts))

    def _end(self, records: Records) -> None:
        self._call("end", len(records))


@pytest.mark.parametrize("patience", [None, 10.0])
def test_it_keeps_what_every_sink_promises(patience: float | None) -> None:
    made: list[Kept] = []

    def build() -> Kept:
        made.append(Kept(patience))
        return made[-1]

    def read() -> list[tuple[int, float]]:
        puts = [call for call in made[0].calls if call[0] == "put"]
        return [(step, value) for _, step, numbers, _ in puts for value in numbers.values()]

    check_sink(build, read)


def test_a_snapshot_is_one_row_under_the_keys_of_wandb_and_the_summary_is_the_last() -> None:
    sink = Kept()
    sink.open({"limit": INF})
    both = [estimate(), interval("I_TY", 0.4, 0.6, flags=frozenset())]
    sink.write(both, [])
    sink.close("")
    sink.close("")
    begin, put, final, end = sink.calls
    assert begin == ("begin", {"limit": "Infinity"})
    numbers = {k: v for e in both for k, v in metrics_of(e, "fc1").items() if not isinstance(v, str)}
    assert put[1:3] == (40, numbers)
    assert final[1:] == (40, {**final[2], "ib_final/I_XT/fc1": 5.25, "ib_mean/I_TY": 0.5, "ib_final/step": 40}, {})
    assert end == ("end", 2)


def test_texts_come_where_they_change() -> None:
    sink = Kept()
    sink.open({})
    for step, flags in enumerate(({"few_rows"}, {"few_rows"}, set())):
        sink.write([estimate(step=step, flags=frozenset(flags), view="")], [])
    key = "ib_detail/I_XT/channel/train/fc1/flags"
    assert [texts for _, _, _, texts in sink.calls[1:]] == [{key: "few_rows"}, {}, {key: ""}]


def test_parts_of_a_layers_name_are_kept_apart_as_the_tool_can() -> None:
    sink = Kept(within=".")
    sink.open({})
    sink.write([estimate(layer="blocks.0#2")], [])
    assert "ib_I_XT/blocks.0.call2" in sink.calls[1][2]


def test_with_many_layers_the_details_are_left_out() -> None:
    sink = Kept()
    layers = [f"l{i}" for i in range(17)]
    sink.open({"layers": layers})
    sink.write([estimate(layer=layer) for layer in layers], [])
    sink.close("")
    assert sink.calls[1][1:] == (40, {f"ib_I_XT/{layer}": 5.25 for layer in layers}, {})
    assert sink.calls[2][2] == {"ib_final/step": 40, "ib_mean/I_XT": 5.25, "ib_mean/I_XT_fall": 0.75}


def test_a_run_without_a_record_only_ends() -> None:
    sink = Kept()
    sink.open({})
    sink.close("")
    assert sink.calls == [("begin", {}), ("end", 0)]
    Kept().close("")  # nor was this one ever opened


def ticking(sink: TrackerSink, seconds: float) -> None:
    """Go on training for so long."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        sink.tick()


@pytest.mark.parametrize("fails_at", ["put", "end"])
def test_what_fails_beside_training_is_told_by_the_next_call(fails_at: str) -> None:
    sink = Kept(10.0, fails_at)
    sink.open({})
    sink.write([estimate()], [])
    if fails_at == "put":
        with pytest.raises(OSError, match="cannot put"):
            ticking(sink, 10.0)
    with pytest.raises(OSError, match=f"cannot {fails_at}"):
        sink.close("")
    sink.close("")


def test_a_csv_has_every_field() -> None:
    found = [estimate(flags=frozenset({"a", "b"})), critic("I_TY", 0.5)]
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(row["flags"], row["span"], float(row["nats"])) for row in rows] == [
        ("a,b", "38-40", 5.25), ("few_rows", "38-40", 0.5),
    ]  # fmt: skip


def test_without_the_packages_of_the_report_there_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(records: Any) -> str:
        raise MissingExtra("the report", "jinja2", "report")

    monkeypatch.setattr(trackers, "plane_html", lacks)
    assert as_page(Records((estimate(),))) is None
    monkeypatch.setattr(trackers, "rendered", lambda spec, kind: lacks(spec))
    both = (estimate(), interval("I_TY", 0.4, 0.6))
    assert planes_as_png(Records(both)) == {}
    assert planes_as_png(Records(both[:1])) == {}


def test_planes_are_pictures_by_split() -> None:
    both = [estimate(), interval("I_TY", 0.4, 0.6), estimate(split="held_out")]
    drawn = planes_as_png(Records(tuple(both)))
    assert list(drawn) == ["1-train"]
    assert drawn["1-train"].startswith(b"\x89PNG")

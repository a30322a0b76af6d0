"""Every number that a run records is in TensorBoard's event file, under W&B's keys, at its training step."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ibprobe_tensorboard import TensorBoardSink
from integrations.trackers import Scalars, assert_same, expected, own_entry, watched
from record_factory import INF, estimate, interval
from torch.utils.tensorboard import SummaryWriter

from ibprobe import MissingExtra
from ibprobe.plugins import Plugins
from ibprobe.testing import check_sink

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(autouse=True)
def quick_planes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take a second to draw; one test is about them."""
    if "planes" not in request.node.name:
        monkeypatch.setattr("ibprobe_tensorboard.planes_as_png", lambda records: {})


class Read:
    """What TensorBoard's own reader finds in a folder."""

    def __init__(self, folder: Path) -> None:
        self.events = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0})
        self.events.Reload()

    @property
    def scalars(self) -> Scalars:
        tags = self.events.Tags()["scalars"]
        return {tag: [(e.step, e.value) for e in self.events.Scalars(tag)] for tag in tags}

    def texts(self, tag: str) -> list[tuple[int, str]]:
        found = self.events.Tensors(f"{tag}/text_summary")
        return [(e.step, e.tensor_proto.string_val[0].decode()) for e in found]


def test_every_number_is_at_its_training_step_and_the_users_stay(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "tb")
    writer.add_scalar("loss", 0.5, 7)
    records = watched(TensorBoardSink(writer), tmp_path / "run")
    writer.add_scalar("loss", 0.25, 8)
    writer.close()
    found = dict(Read(tmp_path / "tb").scalars)
    assert found.pop("loss") == [(7, 0.5), (8, 0.25)]
    assert_same(found, expected(records), exact=False)
    assert {f"ib_I_XT/{layer}" for layer in records.layers} <= set(found)


def test_the_planes_are_images_at_the_last_step(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path)
    sink.open({})
    for step in (0, 5):
        for split in ("train", "held_out"):
            sink.write([estimate(step=step, split=split), interval("I_TY", 0.4, 0.6, step=step, split=split)], [])
    sink.close("")
    read = Read(tmp_path)
    assert set(read.events.Tags()["images"]) == {"ib/plane/1-train", "ib/plane/2-held_out"}
    [image] = read.events.Images("ib/plane/1-train")
    assert (image.step, image.width > 500) == (5, True)


def test_flags_and_views_are_text_where_they_change(tmp_path: Path) -> None:
    writer = SummaryWriter(tmp_path / "tb")
    sink = TensorBoardSink(writer)
    sink.open({"noise": "relative", "limit": INF})
    for step, flags in enumerate((set(), {"few_rows"}, {"few_rows"}, {"at_ceiling", "few_rows"}, set())):
        sink.write([estimate(step=step, flags=frozenset(flags))], [])
    sink.close("")
    writer.close()
    read = Read(tmp_path / "tb")
    key = "ib_detail/I_XT/channel/train/fc1"
    assert read.texts(f"{key}/flags") == [(1, "few_rows"), (3, "at_ceiling,few_rows"), (4, "")]
    assert read.texts(f"{key}/view") == [(0, "flatten")]
    [(_, meta)] = read.texts("ib/meta")
    assert json.loads(meta) == {"noise": "relative", "limit": "Infinity"}


def test_it_makes_a_writer_of_its_own_where_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = watched(TensorBoardSink(tmp_path / "tb"), tmp_path / "run")
    assert_same(Read(tmp_path / "tb").scalars, expected(records), exact=False)
    monkeypatch.chdir(tmp_path)
    [sink] = Plugins([own_entry("tensorboard")]).sinks(["tensorboard"])
    records = watched(sink, tmp_path / "other")
    [folder] = (tmp_path / "runs").iterdir()
    assert_same(Read(folder).scalars, expected(records), exact=False)


def test_it_keeps_what_every_sink_promises(tmp_path: Path) -> None:
    folders = (tmp_path / str(i) for i in range(2))

    def read() -> Iterator[tuple[int, float]]:
        yield from (point for points in Read(tmp_path / "0").scalars.values() for point in points)

    # torch's writer has a thread of its own, which a full disk ends with a traceback.
    check_sink(lambda: TensorBoardSink(next(folders)), read, full_disk=False)


def test_training_does_not_wait_for_the_disk() -> None:
    class Slow:
        wrote = 0

        def add_scalar(self, *args: Any) -> None:
            time.sleep(0.01)
            self.wrote += 1

        def add_text(self, *args: Any) -> None: ...

        def flush(self) -> None: ...

    sink = TensorBoardSink(writer := Slow())
    sink.open({})
    main = threading.get_ident()
    started = time.perf_counter()
    sink.write([estimate(layer=f"l{i}") for i in range(10)], [])
    took = time.perf_counter() - started
    assert writer.wrote < 200
    sink.close("")
    # Twenty numbers a layer and more: two seconds of a slow disk.
    assert writer.wrote > 200
    assert took < 1.0
    assert main == threading.get_ident()


def test_a_writer_that_fails_is_told_by_the_probe_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        def add_text(self, *args: Any) -> None:
            raise OSError("no space left on device")

        def flush(self) -> None: ...

    records = watched(TensorBoardSink(Full()), tmp_path / "run")
    assert len(records.steps) > 1
    said = [r.getMessage() for r in caplog.records if "TensorBoardSink" in r.getMessage()]
    assert said == ["ibprobe: TensorBoardSink failed and is left out from here: no space left on device"]


def test_many_layers_keep_their_headlines_only(tmp_path: Path) -> None:
    sink = TensorBoardSink(tmp_path)
    layers = [f"blocks.{i}" for i in range(17)]
    sink.open({"layers": layers})
    sink.write([estimate(layer=layer) for layer in layers], [])
    sink.close("")
    heads = {f"ib_I_XT/blocks/{i}" for i in range(17)}
    assert set(Read(tmp_path).scalars) == heads | {"ib_final/step", "ib_mean/I_XT", "ib_mean/I_XT_fall"}


def test_without_tensorboard_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibprobe_tensorboard.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'ibprobe\[tensorboard\]'"):
        TensorBoardSink()
    assert TensorBoardSink(object())

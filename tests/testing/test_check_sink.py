"""The contract of sinks lets ours pass, and says of a broken one what was expected and what came."""

from __future__ import annotations

import io
import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from wandb_offline import finish_and_read, offline_run

from ibprobe import TerminalSink, WandbSink
from ibprobe.record.rundir import RunDir
from ibprobe.sinks.scalars import ScalarSink
from ibprobe.testing import check_sink


class Lines:
    """One line of JSON a record, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, meta: Any) -> None: ...

    def write(self, estimates: Any, events: Any) -> None:
        with self.path.open("a") as file:
            for e in estimates:
                file.write(json.dumps([e.step, e.nats]) + "\n")

    def tick(self) -> None: ...

    def close(self, summary: str) -> None: ...

    def read(self) -> Iterator[tuple[int, float]]:
        yield from (json.loads(line) for line in self.path.read_text().splitlines())


@pytest.fixture
def sink(tmp_path: Path) -> Lines:
    return Lines(tmp_path / "lines.jsonl")


def test_a_good_one_passes(sink: Lines) -> None:
    check_sink(lambda: sink, sink.read)


def test_our_run_directory_has_every_value(tmp_path: Path) -> None:
    folders = iter(tmp_path / str(i) for i in range(3))

    def read() -> Iterator[tuple[int, float]]:
        for line in (tmp_path / "0" / "records.jsonl").read_text().splitlines():
            record = json.loads(line)
            yield record["step"], record["nats"]

    check_sink(lambda: RunDir(next(folders)), read)


def test_our_terminal_takes_everything() -> None:
    check_sink(lambda: TerminalSink(console=Console(file=io.StringIO())))


def test_a_function_is_given_every_value() -> None:
    given: list[tuple[int, float]] = []

    def log(values: dict[str, float], step: int) -> None:
        given.extend((step, value) for value in values.values())

    check_sink(lambda: ScalarSink(log), lambda: given)


@pytest.mark.slow
def test_our_wandb_sink_takes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ibprobe.show.page.plane_html", lambda records: "<p>plane</p>")
    run = offline_run(tmp_path)
    check_sink(lambda: WandbSink(run), full_disk=False)  # the disk of its other process cannot be filled from here
    assert finish_and_read(run).ours()


def broken(method: str, function: Any) -> Any:
    """A good sink with one method of another kind."""
    return type("Broken", (Lines,), {method: function})


def strict_json(self: Lines, estimates: Any, events: Any) -> None:
    for e in estimates:
        json.dumps(e.ci_high, allow_nan=False)


def only_once(self: Any, summary: str) -> None:
    if getattr(self, "closed", False):
        raise ValueError("closed already")
    self.closed = True


def last_row_only(self: Lines, estimates: Any, events: Any) -> None:
    Lines.write(self, estimates[-1:], events)


def of_rows(self: Lines, estimates: Any, events: Any) -> None:
    with self.path.open("a") as file:
        file.writelines(json.dumps([i, e.nats]) + "\n" for i, e in enumerate(estimates))


def first_of_all(self: Lines, estimates: Any, events: Any) -> None:
    assert estimates[0].nats


def draws(self: Lines, estimates: Any, events: Any) -> None:
    Lines.write(self, estimates, events)
    random.random()


def takes(self: Lines, estimates: Any, events: Any) -> None:
    Lines.write(self, estimates, events)
    estimates.clear()


def writes_into_meta(self: Lines, meta: Any) -> None:
    meta["mine"] = 1


def leaves_a_thread(self: Lines, summary: str) -> None:
    timer = threading.Timer(30, print)
    timer.start()
    left.append(timer)


left: list[threading.Timer] = []


@pytest.mark.parametrize(
    ("method", "function", "message"),
    [
        ("write", strict_json, r"write\(\), a run of all kinds of records: expected no error, got ValueError: Out of"),
        ("write", first_of_all, "expected no error, got IndexError"),
        ("close", only_once, r"close\(\), the second time: expected no error, got ValueError: closed already"),
        ("write", last_row_only, r"read back after close\(\): expected I_XT = 1.0625 of layer 'net.0' on train rows"),
        ("write", of_rows, r"expected I_TY = 0.033203125 .* at step 0; there are "),
        ("write", draws, "the global generator of random was drawn from"),
        ("write", takes, "expected the lists that it is given to be left as they are"),
        ("open", writes_into_meta, "expected meta to be left as it is"),
        ("tick", None, r"expected an object with open, write, tick, close; .* lacks tick"),
        ("close", leaves_a_thread, "expected no thread that Python waits for at its exit; Thread-"),
    ],
)
def test_a_broken_one_is_told(method: str, function: Any, message: str, sink: Lines) -> None:
    made = broken(method, function)
    try:
        with pytest.raises(AssertionError, match=message):
            check_sink(lambda: made(sink.path), sink.read)
    finally:
        for timer in left:
            timer.cancel()


def test_one_that_cannot_be_opened_again_is_told(sink: Lines) -> None:
    def once(self: Any, meta: Any) -> None:
        if getattr(self, "opened", False):
            raise RuntimeError("open already")
        self.opened = True

    with pytest.raises(AssertionError, match=r"open\(\), opened again after close\(\): expected no error, got Runtime"):
        check_sink(lambda: broken("open", once)(sink.path))


def test_one_that_makes_training_wait_is_told(sink: Lines) -> None:
    with pytest.raises(AssertionError, match=r"open\(\), .*: expected 0 s at most, for training waits; it took"):
        check_sink(lambda: sink, seconds=0.0)


def test_a_full_disk_ends_in_a_sink_that_can_be_closed(tmp_path: Path) -> None:
    class Buffered(Lines):
        """Keeps its file open: what could not be written is tried again by every close."""

        def open(self, meta: Any) -> None:
            self.file = self.path.open("a")

        def write(self, estimates: Any, events: Any) -> None:
            self.file.writelines(f"{e.step} {e.nats}\n" for e in estimates)
            self.file.flush()
            wrote.append(len(estimates))

        def close(self, summary: str) -> None:
            if not self.file.closed:
                self.file.close()

    wrote: list[int] = []
    check_sink(lambda: Buffered(tmp_path / "file"))
    whole = len(wrote)
    wrote.clear()
    check_sink(lambda: Buffered(tmp_path / "file"), full_disk=False)
    assert whole == len(wrote), "the third one wrote nothing at all, for the first write failed"


def test_a_place_that_holds_nothing_is_told(sink: Lines) -> None:
    with pytest.raises(AssertionError, match=r"there are only the steps \[\]"):
        check_sink(lambda: sink, lambda: [])


def test_a_class_is_told(sink: Lines) -> None:
    with pytest.raises(AssertionError, match="expected an instance, got the class Lines"):
        check_sink(lambda: Lines)


def test_a_build_that_raises_is_told() -> None:
    with pytest.raises(AssertionError, match=r"build\(\): expected no error, got TypeError: .* 'path'"):
        check_sink(Lines)  # type: ignore[arg-type]

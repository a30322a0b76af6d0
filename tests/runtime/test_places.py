import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from helpers import random_states, same

from ibprobe import BadInput
from ibprobe.runtime.places import Inline, SideStream, Worker, make_place

CPU = torch.device("cpu")


def workers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "ibprobe"]


def for_ever() -> None:
    while True:
        time.sleep(0.001)


@pytest.mark.parametrize(("name", "kind"), [("auto", Inline), ("inline", Inline), ("thread", Worker)])
def test_places_have_names(name: str, kind: type) -> None:
    assert isinstance(make_place(name, CPU), kind)


def test_an_unknown_place_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="'auto', 'inline', 'thread', 'cuda-stream'; got 'process'"):
        make_place("process", CPU)


def test_a_stream_needs_a_model_on_a_device_that_has_them() -> None:
    with pytest.raises(
        BadInput, match='this one is on cpu: move it there before the probe is made, or pass runtime="thr'
    ):
        make_place("cuda-stream", CPU)


@pytest.mark.parametrize("name", ["inline", "thread"])
def test_a_result_comes_out_once(name: str) -> None:
    place = make_place(name, CPU)
    place.start(lambda: 7)
    outcome = place.result(wait=True)
    assert outcome is not None
    assert (outcome.found, outcome.error) == (7, None)
    assert place.result(wait=True) is None
    assert not place.busy


def test_inline_work_may_draw_from_the_global_generators() -> None:
    before = random_states()
    make_place("inline", CPU).start(lambda: (torch.rand(3), np.random.rand()))
    assert same(random_states(), before)


def test_a_worker_is_on_a_thread_of_its_own_with_one_processor_and_changes_no_setting() -> None:
    torch.set_num_threads(2)
    try:
        worker = Worker()
        # An operation that is large enough for several threads makes torch look up how many there are.
        worker.start(lambda: (threading.current_thread().name, (torch.ones(10**6).sum(), torch.get_num_threads())[1]))
        outcome = worker.result(wait=True)
        assert outcome is not None
        assert outcome.found == ("ibprobe", 1)
        assert torch.get_num_threads() == 2
        fresh: list[int] = []
        thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert fresh == [2]
    finally:
        torch.set_num_threads(1)


def test_an_error_comes_out_as_an_outcome() -> None:
    worker = Worker()
    worker.start(lambda: 1 / 0)
    outcome = worker.result(wait=True)
    assert outcome is not None
    assert isinstance(outcome.error, ZeroDivisionError)


def test_a_worker_is_busy_until_its_result_was_fetched() -> None:
    worker, may = Worker(), threading.Event()
    worker.start(may.wait)
    assert worker.busy
    assert worker.result(wait=False) is None
    may.set()
    while workers():
        time.sleep(0.001)
    assert worker.busy
    assert worker.result(wait=False) is not None
    assert not worker.busy


def test_work_can_be_called_off() -> None:
    worker = Worker()
    worker.start(for_ever)
    started = time.perf_counter()
    worker.call_off()
    assert time.perf_counter() - started < 2
    assert not workers()
    assert not worker.busy
    assert worker.result(wait=True) is None


def test_a_worker_that_is_let_go_of_takes_its_thread_along() -> None:
    gc.disable()
    try:
        worker = Worker()
        worker.start(for_ever)
        gone = weakref.ref(worker)
        del worker
        assert gone() is None
        assert not workers()
    finally:
        gc.enable()


def test_an_interpreter_ends_at_once_and_cleanly_while_a_worker_is_at_work() -> None:
    code = (
        "import torch, time; from ibprobe.runtime.places import Worker\n"
        "def work():\n    while True: torch.randn(300, 300) @ torch.randn(300, 300)\n"
        "worker = Worker(); worker.start(work); time.sleep(0.3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


class Stream:
    """Stands for a CUDA stream and its events; keeps the order of what happens."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def wait_event(self, event: Any) -> None:
        self.told.append("the side stream waits for the rows")

    def synchronize(self) -> None:
        self.told.append("its work is done")

    def record(self, stream: Any) -> None:
        self.told.append(f"the rows were enqueued on {stream}")


def test_on_a_side_stream_the_rows_are_waited_for_there_and_the_result_comes_when_all_is_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    @contextmanager
    def entered(stream: Any) -> Iterator[None]:
        told.append(f"entered on {threading.current_thread().name}")
        yield

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(told))
    monkeypatch.setattr(torch.cuda, "Event", lambda: Stream(told))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: "training's stream")
    monkeypatch.setattr(torch.cuda, "stream", entered)
    worker = Worker(SideStream(torch.device("cuda")))
    worker.start(lambda: told.append("work"))
    worker.result(wait=True)
    assert told == [
        "the rows were enqueued on training's stream",
        "entered on ibprobe",
        "the side stream waits for the rows",
        "work",
        "its work is done",
    ]

"""Errands are done in order beside training; what fails is told to whoever comes next."""

from __future__ import annotations

import threading

import pytest

from ibprobe.sinks.outbox import Outbox


def fails() -> None:
    raise OSError("no route to host")


def test_errands_are_done_in_order_on_another_thread() -> None:
    done: list[int] = []
    where: set[int] = set()
    outbox = Outbox("test")
    for i in range(100):
        outbox.put(lambda i=i: (done.append(i), where.add(threading.get_ident())))
    outbox.close(10.0)
    assert done == list(range(100))
    assert where.isdisjoint({threading.get_ident()})


def test_nobody_waits_for_an_errand() -> None:
    go, done = threading.Event(), []
    outbox = Outbox("test")
    outbox.put(lambda: go.wait(10))
    outbox.put(lambda: done.append(1))
    assert done == []
    go.set()
    outbox.close(10.0)
    assert done == [1]


def test_what_fails_is_told_next_and_the_rest_is_dropped() -> None:
    done: list[int] = []
    outbox, failed = Outbox("test"), threading.Event()
    outbox.put(fails)
    outbox.put(failed.set)  # dropped as well
    with pytest.raises(OSError, match="no route"):
        outbox.close(10.0)
    for call in (outbox.check, lambda: outbox.put(lambda: done.append(1))):
        with pytest.raises(OSError, match="no route"):
            call()
    assert not failed.is_set()
    assert done == []


def test_patience_ends_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    go = threading.Event()
    outbox = Outbox("SlowSink")
    outbox.put(lambda: go.wait(10))
    outbox.close(0.01)
    go.set()
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("ibprobe: SlowSink has not brought everything to its place within 0.01 s")


def test_the_thread_is_none_that_python_waits_for() -> None:
    outbox = Outbox("alone")
    assert [t.daemon for t in threading.enumerate() if t.name == "ibprobe-alone"] == [True]
    outbox.close(10.0)

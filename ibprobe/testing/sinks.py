"""What every sink promises."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ibprobe.sinks.fanout import Sink
from ibprobe.testing.built import built
from ibprobe.testing.stream import META, Part, headlines, parts
from ibprobe.testing.untouched import untouched

_METHODS = ("open", "write", "tick", "close")
_LATER = (200_000, 300_000)


def check_sink(
    build: Callable[[], Sink],
    read: Callable[[], Iterable[tuple[int, float]]] | None = None,
    *,
    seconds: float = 5.0,
    full_disk: bool = True,
) -> None:
    """Check a sink against the records of a made-up run: all quantities, both splits, odd names, infinite ends, flags.

    Every record is taken, and so are an empty snapshot, events alone, alerts, a second ``close``, a ``close`` without
    a record, and a second ``open`` after it: a run that is detached and attached again goes on with the same sink.
    Nothing that it does draws from a global random generator, keeps the training thread for long, changes what it is
    given, or leaves a thread behind that Python would wait for. On a full disk it may raise an ``Exception``, after
    which it is left out: then ``close`` must still return.

    Args:
        build: makes the sink, as a plugin's ``build``; it is called three times.
        read: gives ``(step, value)`` of everything that the place holds, read back by other means than the sink's.
            Every headline value in nats must be among them, to a relative error of 1e-6, at its training step.
        seconds: that one call may take; ``close``, which may wait for a server, ten times as long.
        full_disk: whether to try it on a full disk (where the operating system can pretend one).

    Raises:
        AssertionError: a promise is broken; the message says what was expected and what came.
    """
    before = {thread.ident for thread in threading.enumerate()}
    sink = built(build)
    lacking = [name for name in _METHODS if not callable(getattr(sink, name, None))]
    assert not lacking, f"build(): expected an object with {', '.join(_METHODS)}; {sink!r} lacks {', '.join(lacking)}"
    assert not isinstance(sink, type), f"build(): expected an instance, got the class {sink.__name__}"
    watched = _Watched(sink, seconds)
    with untouched("the sink", {}):
        _live(watched, list(parts()))
    _check_read(read, headlines(), "after close()")
    with untouched("the sink", {}):
        _live(watched, list(parts(_LATER)), again="opened again after close()")
    _check_read(read, [*headlines(), *headlines(_LATER)], "after it was opened and closed again")
    empty = _Watched(build(), seconds)
    empty.call("open", META, when="a run without a record")
    empty.call("close", "nothing was measured", when="a run without a record")
    if full_disk:
        _check_full_disk(_Watched(build(), seconds))
    left = [t for t in threading.enumerate() if t.ident not in before and not t.daemon and t.is_alive()]
    assert not left, f"expected no thread that Python waits for at its exit; {', '.join(t.name for t in left)} is left"


class _Watched:
    """A sink whose calls are timed, and whose errors are told as broken promises."""

    def __init__(self, sink: Any, seconds: float) -> None:
        self.sink, self._seconds = sink, seconds

    def call(self, method: str, *args: Any, when: str) -> None:
        started = time.perf_counter()
        try:
            getattr(self.sink, method)(*args)
        except Exception as e:
            raise AssertionError(f"{method}(), {when}: expected no error, got {type(e).__name__}: {e}") from e
        took, limit = time.perf_counter() - started, self._seconds * (10 if method == "close" else 1)
        assert took <= limit, (
            f"{method}(), {when}: expected {limit:g} s at most, for training waits; it took {took:.1f}"
        )


def _live(sink: _Watched, stream: list[Part], again: str = "a run of all kinds of records") -> None:
    """A whole run, with optimizer steps between its snapshots."""
    meta = copy.deepcopy(META)
    sink.call("open", meta, when=again)
    for part in stream:
        estimates, events = list(part.estimates), list(part.events)
        sink.call("write", estimates, events, when=again)
        given = (estimates, events) == (list(part.estimates), list(part.events))
        assert given, "write(): expected the lists that it is given to be left as they are; they were changed"
        for alert in part.alerts if hasattr(sink.sink, "alert") else ():
            sink.call("alert", alert, when=again)
        for _ in range(3):
            sink.call("tick", when=again)
    sink.call("close", "measured 4 of 9 due steps; records in runs/ib", when=again)
    sink.call("close", "", when="the second time")
    assert meta == META, f"open(): expected meta to be left as it is; it became {meta}"


def _check_read(read: Callable[[], Iterable[tuple[int, float]]] | None, expected: list[Any], when: str) -> None:
    if read is None:
        return
    found: dict[int, list[float]] = {}
    for step, value in read():
        found.setdefault(int(step), []).append(float(value))
    for e in expected:
        there = found.get(e.step, [])
        assert any(abs(value - e.nats) <= 1e-6 * abs(e.nats) for value in there), (
            f"read back {when}: expected {e.quantity} = {e.nats} of layer {e.layer!r} on {e.split} rows at step "
            f"{e.step}; there are {sorted(there)[:20] or f'only the steps {sorted(found)}'}"
        )


def _check_full_disk(sink: _Watched) -> None:
    """Whatever it raises then is an ``Exception``, and ``close`` returns."""
    stream = list(parts())
    sink.call("open", META, when="before the disk is full")
    try:
        with _full_disk():
            for part in stream:
                sink.sink.write(list(part.estimates), list(part.events))
            sink.sink.tick()
    except Exception:
        pass  # it is left out from here, as a probe does it
    try:
        sink.sink.close("")
    except Exception:
        pass  # likewise: what could not be written cannot be closed
    sink.call("close", "", when="the second time, after the disk was full")


@contextmanager
def _full_disk() -> Iterator[None]:
    """Within, no file of this process can grow, where the operating system has such a limit."""
    try:
        import resource
    except ImportError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

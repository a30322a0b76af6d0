"""Where a snapshot is worked on: here and now, on a thread beside training, or on that thread's own CUDA stream."""

from __future__ import annotations

import ctypes
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args, runtime_checkable

import torch

from ibprobe.capture.randomness import Randomness
from ibprobe.errors import BadInput

PlaceName = Literal["auto", "inline", "thread", "cuda-stream"]

PATIENCE = 5.0
"""Seconds that work which is called off may take to notice."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a piece of work."""

    found: Any
    error: Exception | None
    seconds: float
    """Of a processor's time where the work was done beside training; there alone training does not wait for it."""


@runtime_checkable
class Place(Protocol):
    """Takes one piece of work at a time."""

    @property
    def busy(self) -> bool:
        """Whether it is still at work."""
        ...

    def start(self, work: Callable[[], Any]) -> None:
        """Take it on; nothing else may be under way."""

    def result(self, *, wait: bool) -> Outcome | None:
        """What came out, once; None when there is nothing, or nothing yet."""

    def call_off(self) -> None:
        """Give up what is under way."""


def make_place(name: str, device: torch.device) -> Place:
    """Resolve ``runtime=``.

    Args:
        name: ``inline``, ``thread``, ``cuda-stream``, or ``auto``, which is ``inline``.
        device: of the model.

    Raises:
        BadInput: another name, or a CUDA stream for a model that is on no CUDA device.
    """
    if name not in get_args(PlaceName):
        known = ", ".join(map(repr, get_args(PlaceName)))
        raise BadInput(f"runtime= is one of {known}; got {name!r}")
    if name == "cuda-stream" and device.type != "cuda":
        raise BadInput(
            f'runtime="cuda-stream" needs a model on a CUDA device; this one is on {device}: move it there before the '
            'probe is made, or pass runtime="thread"'
        )
    if name in ("auto", "inline"):
        return Inline(device)
    return Worker(SideStream(device) if name == "cuda-stream" else None)


class Inline:
    """Works at once, while training waits. The global generators are afterwards as they were, whoever draws."""

    def __init__(self, device: torch.device) -> None:
        self._randomness = Randomness(device=device)
        self._outcome: Outcome | None = None

    @property
    def busy(self) -> bool:
        """Never: what was started is done."""
        return False

    def start(self, work: Callable[[], Any]) -> None:
        """Do it; what it raises is raised here."""
        with self._randomness.preserved():
            self._outcome = Outcome(work(), None, 0.0)

    def result(self, *, wait: bool) -> Outcome | None:
        """What came out, once."""
        outcome, self._outcome = self._outcome, None
        return outcome

    def call_off(self) -> None:
        """Nothing is ever under way."""


class SideStream:
    """A CUDA stream for work beside training; one a run, for memory that is freed on a stream stays with it.

    Training's stream is never waited for by the host, and never waits itself: the side stream waits, on the device,
    until the rows are there, and what it has used is let go only when it is done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def mark(self) -> None:
        """The rows were enqueued, on the stream that is current here."""
        self._copied.record(torch.cuda.current_stream(self._device))

    @contextmanager
    def entered(self) -> Iterator[None]:
        """On the thread that works: streams belong to a thread."""
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._copied)
            try:
                yield
            finally:
                self._stream.synchronize()


class _CalledOff(BaseException):
    """Thrown into a worker that is not needed any more."""


class Worker:
    """Works on a thread that is made for each piece of work and is gone with it, on one processor.

    Results are fetched by the thread that trains, so that records, sinks and callbacks are used by one thread only.

    Args:
        side: the CUDA stream to work on, if any.
    """

    def __init__(self, side: SideStream | None = None) -> None:
        self._side = side
        self._thread: threading.Thread | None = None
        self._outcome: list[Outcome] = []
        self._at_exit: weakref.finalize[Any, Any] | None = None

    @property
    def busy(self) -> bool:
        """Whether the last work is unfinished, or its result was not fetched yet."""
        return self._thread is not None

    def start(self, work: Callable[[], Any]) -> None:
        """Begin, on a new thread."""
        around: AbstractContextManager[None] = nullcontext()
        if self._side is not None:
            self._side.mark()
            around = self._side.entered()
        threads, ready = torch.get_num_threads(), threading.Event()
        # A list of its own: a thread that was called off too late to notice must not pass for the next one.
        self._outcome = []
        self._thread = threading.Thread(
            target=_work, args=(work, around, self._outcome, ready), name="ibprobe", daemon=True
        )
        self._thread.start()
        # A daemon that is in the midst of an operation when the interpreter ends can bring the process down.
        self._at_exit = weakref.finalize(self, _call_off, self._thread)
        try:
            ready.wait()
        finally:
            # What the worker has set is also the default of threads to come, which must stay as it was.
            torch.set_num_threads(threads)

    def result(self, *, wait: bool) -> Outcome | None:
        """What came out, once the thread is done."""
        if self._thread is None or (self._thread.is_alive() and not wait):
            return None
        self._thread.join()
        self._forget()
        return self._outcome.pop() if self._outcome else None

    def call_off(self) -> None:
        """Stop the thread and drop what it found."""
        if self._thread is not None:
            _call_off(self._thread)
        self._forget()
        self._outcome = []

    def _forget(self) -> None:
        self._thread = None
        if self._at_exit is not None:
            self._at_exit.detach()


def _work(
    work: Callable[[], Any], around: AbstractContextManager[None], outcome: list[Outcome], ready: threading.Event
) -> None:
    """The thread. It knows nothing of its owner, which can therefore be let go of."""
    started = time.thread_time()
    try:
        try:
            torch.set_num_threads(1)
            torch.get_num_threads()  # else the first operation of this thread would read the setting anew
        finally:
            ready.set()
        try:
            with around:
                found, error = work(), None
        except Exception as e:
            found, error = None, e
        outcome.append(Outcome(found, error, time.thread_time() - started))
    except _CalledOff:
        pass


def _call_off(thread: threading.Thread) -> None:
    """Throw an exception into a thread, which sees it between two of its Python instructions, and wait for its end."""
    if thread.is_alive() and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(_CalledOff))
        thread.join(PATIENCE)

"""Where the runs of a design are worked on: in processes of this machine, or on Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from ibprobe.errors import BadInput, MissingExtra

Engine = Literal["local", "ray"]
Calls = Iterable[tuple[Any, ...]]
"""Arguments of each call."""
Lost = Callable[[tuple[Any, ...], Exception], Any]
"""What stands for the result of a call whose process died, given its arguments."""
Begun = Callable[[tuple[Any, ...]], bool]
"""Whether a call has begun, given its arguments: one process that dies takes the others along, and those calls that had
not begun are made again."""

ADDRESS = "RAY_ADDRESS"
"""Environment variable by which Ray itself is told of a cluster."""
_ALONE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray's settings for a machine alone. Without the first, which it reads when it is imported, it listens on all
interfaces under Linux, whatever address it is given; without the second it reports to its makers every hour."""
_STORE = 128 * 2**20
"""Bytes of memory for what passes between workers: names and folders."""


@dataclass(frozen=True, slots=True)
class Workers:
    """Processes that share the cores there are."""

    threads: int
    """Of each call."""
    results: Callable[[Callable[..., Any], Calls, Lost, Begun], Iterator[Any]]
    """Of a function's calls, as they end, in whatever order."""


def cores_here() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def workers(engine: Engine, jobs: int | None, most: int) -> AbstractContextManager[Workers]:
    """Workers of an engine, for as long as the context lasts.

    Args:
        engine: ``local`` for processes of this machine, through joblib. ``ray`` for the cluster that the program has
            joined, or the one that the environment's ``RAY_ADDRESS`` names; without either, for a Ray of this machine
            alone, on 127.0.0.1, that ends with the context.
        jobs: calls at a time; by default one for each two cores.
        most: calls that there are.

    Raises:
        BadInput: no such engine.
        MissingExtra: joblib or Ray is not installed.
    """
    known: Mapping[str, Callable[[int | None, int], AbstractContextManager[Workers]]] = {"local": _local, "ray": _ray}
    if engine not in known:
        raise BadInput(f'engine= is "local" or "ray"; got {engine!r}')
    return known[engine](jobs, most)


def _shared(cores: int, jobs: int | None, most: int) -> tuple[int, int]:
    """Calls at a time, and threads of each."""
    at_once = min(jobs or max(1, cores // 2), max(1, most))
    return at_once, max(1, cores // at_once)


@contextmanager
def _local(jobs: int | None, most: int) -> Iterator[Workers]:
    try:
        from joblib import Parallel, delayed
    except ImportError as e:
        raise MissingExtra("ibprobe lens run", "joblib", "lens") from e
    at_once, threads = _shared(cores_here(), jobs, most)

    def results(function: Callable[..., Any], calls: Calls, lost: Lost, begun: Begun) -> Iterator[Any]:
        left = dict(enumerate(calls))
        while left:
            parallel = Parallel(n_jobs=at_once, backend="loky", return_as="generator_unordered")
            try:
                for number, result in parallel(delayed(_numbered)(n, function, left[n]) for n in tuple(left)):
                    del left[number]
                    yield result
            except BrokenProcessPool as e:
                died = [number for number, call in left.items() if begun(call)]
                if not died:
                    raise
                yield from (lost(left.pop(number), e) for number in died)

    yield Workers(threads, results)


def _numbered(number: int, function: Callable[..., Any], call: tuple[Any, ...]) -> tuple[int, Any]:
    return number, function(*call)


@contextmanager
def _ray(jobs: int | None, most: int) -> Iterator[Workers]:
    """Through Ray's own calls, for joblib's backend of that name gives no result before all are there."""
    there = sys.modules.get("ray")
    begun = there is not None and there.is_initialized()
    alone = not begun and ADDRESS not in os.environ
    at_once, threads = _shared(cores_here(), jobs, most)
    with ExitStack() as ends:
        if alone:
            ends.enter_context(_environment(_ALONE))
        try:
            import ray
        except ImportError as e:
            raise MissingExtra("--engine ray", "ray", "ray") from e
        if not begun:
            ray.init(logging_level="ERROR", **(_of_this_machine(at_once * threads) if alone else {}))
            ends.callback(ray.shutdown)
        if not alone:
            at_once, threads = _shared(int(ray.cluster_resources()["CPU"]), jobs, most)

        def results(function: Callable[..., Any], calls: Calls, lost: Lost, begun: Begun) -> Iterator[Any]:
            # A call that is tried again would find what the first left behind.
            task = ray.remote(num_cpus=threads, max_retries=0)(function)
            running = {task.remote(*call): call for call in calls}
            while running:
                (ended, *_), _ = ray.wait(list(running))
                call = running.pop(ended)
                try:
                    yield ray.get(ended)
                except ray.exceptions.RayError as e:
                    yield lost(call, e)

        yield Workers(threads, results)


def _of_this_machine(cores: int) -> dict[str, Any]:
    return {
        "num_cpus": cores, "object_store_memory": _STORE, "include_dashboard": False, "_node_ip_address": "127.0.0.1",
    }  # fmt: skip


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Settings that hold meanwhile, where nobody has set others."""
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ |= ours
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)

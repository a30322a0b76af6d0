"""Plugins made in a test: entry points from a source, and objects with one hook."""

from __future__ import annotations

import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from ibprobe.estimate.references.single import OneByOne
from ibprobe.hookspecs import (
    KINDS,
    EstimatorPlugin,
    SectionPlugin,
    SinkPlugin,
    ViewPlugin,
    hookimpl,
)
from ibprobe.plugins.loading import GROUP

HEAD = """
from ibprobe.hookspecs import EstimatorPlugin, SectionPlugin, SinkPlugin, ViewPlugin, hookimpl
"""


def entry_of(source: str, patch: pytest.MonkeyPatch, name: str = "mi") -> EntryPoint:
    """The entry point of a module with this source."""
    module = types.ModuleType(f"plugin_{name}")
    patch.setitem(sys.modules, module.__name__, module)
    exec(textwrap.dedent(HEAD) + textwrap.dedent(source), vars(module))
    return EntryPoint(name, module.__name__, GROUP)


def unread(pair: Any, seed: int) -> str:
    return "this one never reads"


class QuietSink:
    """Takes everything, keeps nothing."""

    def open(self, meta): ...

    def write(self, estimates, events): ...

    def tick(self): ...

    def close(self, summary): ...


def by_sums(t):
    return t.flatten(1).sum(1, keepdim=True)


BUILDS: dict[str, Callable[[], Any]] = {
    "estimator": lambda: OneByOne(unread),
    "sink": QuietSink,
    "view": lambda: by_sums,
    "section": lambda: lambda shown: None,
}


class Offers:
    """A plugin that offers one thing of every kind, under one name."""

    def __init__(self, name: str, **builds: Callable[[], Any]) -> None:
        self._name, self._builds = name, {**BUILDS, **builds}

    def _one(self, kind: str) -> Iterator[Any]:
        offers = {k.name: k.offers for k in KINDS}[kind]
        yield offers(self._name, "made in a test", self._builds[kind])

    @hookimpl
    def ibprobe_estimators(self) -> Iterator[EstimatorPlugin]:
        yield from self._one("estimator")

    @hookimpl
    def ibprobe_sinks(self) -> Iterator[SinkPlugin]:
        yield from self._one("sink")

    @hookimpl
    def ibprobe_views(self) -> Iterator[ViewPlugin]:
        yield from self._one("view")

    @hookimpl
    def ibprobe_report_sections(self) -> Iterator[SectionPlugin]:
        yield from self._one("section")

"""What a plugin may add, each hook with a complete example.

A plugin is a module with one or more of these hooks, and an entry point in the group ``ibprobe``::

    [project.entry-points.ibprobe]
    mine = "my_package.my_module"

Every hook yields records of a name, a summary and ``build``, which is called without arguments where the name is asked
for; heavy imports belong in there. Hooks are asked when a probe is made, never while a model trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pluggy

from ibprobe.capture.views import View
from ibprobe.estimate.pairs import Estimator
from ibprobe.show.section import SectionMaker
from ibprobe.sinks.fanout import Sink

hookspec = pluggy.HookspecMarker("ibprobe")
hookimpl = pluggy.HookimplMarker("ibprobe")
"""Marks a function of a plugin as the implementation of the hook that has its name."""


@dataclass(frozen=True, slots=True)
class EstimatorPlugin:
    """An estimator by name."""

    name: str
    """What a user writes: ``estimator="name"``."""
    summary: str
    """One line for ``ibprobe plugins``."""
    build: Callable[[], Estimator]
    """Called once a run."""


@dataclass(frozen=True, slots=True)
class SinkPlugin:
    """A place that records go to, by name."""

    name: str
    """What a user writes: ``sinks=["auto", "name"]``."""
    summary: str
    """One line for ``ibprobe plugins``."""
    build: Callable[[], Sink]
    """Called once a run, when the probe is made."""


@dataclass(frozen=True, slots=True)
class ViewPlugin:
    """A way from a module's output to rows, by name."""

    name: str
    """What a user writes: ``view="name"``, or ``view={"blocks.*": "name"}``. Records carry it."""
    summary: str
    """One line for ``ibprobe plugins``."""
    build: Callable[[], View]
    """Called once a run; a function from an output tensor ``(n, …)`` to rows ``(n, d)``."""


@dataclass(frozen=True, slots=True)
class SectionPlugin:
    """A section of the report, by name."""

    name: str
    """What a user writes: ``ibprobe report RUN --section name``, ``probe.report(path, sections=["auto", "name"])``."""
    summary: str
    """One line for ``ibprobe plugins``."""
    build: Callable[[], SectionMaker]
    """Called once a page; a function from what is shown to a section, or to None."""


@hookspec
def ibprobe_estimators() -> Iterable[EstimatorPlugin]:
    """Yield estimators of the mutual information of a pair.

    A complete plugin::

        import math
        import torch
        from ibprobe import EstimatorPlugin, Reading, hookimpl


        def pearson(pairs, folds, *, seed):
            return {name: read(pair) for name, pair in pairs.items()}


        def read(pair):
            if any(side.ndim == 1 or side.shape[1] > 1 for side in (pair.a, pair.b)):
                return "pearson reads one column against one column"
            rho = float(torch.corrcoef(torch.cat([pair.a, pair.b], 1).T)[0, 1].clamp(-0.999, 0.999))
            nats, se = -0.5 * math.log1p(-rho * rho), abs(rho) / math.sqrt(len(pair.a))
            return Reading(
                nats=nats, ci_low=nats - 1.96 * se, ci_high=nats + 1.96 * se,
                lower_confidence=nats - 1.645 * se, bound="bivariate Gaussian",
            )


        @hookimpl
        def ibprobe_estimators():
            yield EstimatorPlugin("pearson", "one column against one column, both Gaussian", lambda: pearson)

    Then ``measure(model, data, estimator="pearson")`` and ``estimate_mi(x, y, estimator="pearson")`` know it.
    """
    raise NotImplementedError


@hookspec
def ibprobe_sinks() -> Iterable[SinkPlugin]:
    r"""Yield places that records go to.

    A complete plugin::

        from pathlib import Path
        from ibprobe.hookspecs import SinkPlugin, hookimpl


        class CsvSink:
            def __init__(self, path="ib.csv"):
                self.path = Path(path)

            def open(self, meta):
                self.path.write_text("step,layer,quantity,nats\n")

            def write(self, estimates, events):
                with self.path.open("a") as file:
                    file.writelines(f"{e.step},{e.layer},{e.quantity},{e.nats}\n" for e in estimates)

            def tick(self): ...

            def close(self, summary): ...


        @hookimpl
        def ibprobe_sinks():
            yield SinkPlugin("csv", "one line a number, in ib.csv", CsvSink)

    Then ``IBProbe(model, sinks=["auto", "csv"])`` knows it. All methods are called by the thread that trains, which
    waits for them; :class:`ibprobe.sinks.trackers.TrackerSink` has a thread of its own for what may wait.
    """
    raise NotImplementedError


@hookspec
def ibprobe_views() -> Iterable[ViewPlugin]:
    """Yield ways from a module's output to rows.

    A complete plugin::

        from ibprobe.hookspecs import ViewPlugin, hookimpl


        def loudest(output):
            return output.flatten(2).amax(2)


        @hookimpl
        def ibprobe_views():
            yield ViewPlugin("loudest", "the largest value of each channel", lambda: loudest)

    Then ``IBProbe(model, view="loudest")`` and ``measure(model, data, view={"conv*": "loudest"})`` know it. A view is
    called without gradients, on a part of the rows at a time: a row of what it gives depends on that row alone.
    """
    raise NotImplementedError


@hookspec
def ibprobe_report_sections() -> Iterable[SectionPlugin]:
    """Yield sections of the report.

    A complete plugin::

        from ibprobe.hookspecs import SectionPlugin, hookimpl
        from ibprobe.show.section import Chart, Section, table_of


        def seconds(shown):
            spent = [(e.layer, e.seconds) for _, run in shown.runs for e in run]
            cost = [{"layer": name, "seconds": sum(s for n, s in spent if n == name)} for name in dict(spent)]
            axes = {"x": {"field": "seconds", "type": "quantitative"}, "y": {"field": "layer", "type": "nominal"}}
            bars = Chart({"data": {"values": cost}, "mark": {"type": "bar", "style": "bracket"}, "encoding": axes})
            return Section("What layers cost", "Seconds, all snapshots.", [bars], table_of(cost))


        @hookimpl
        def ibprobe_report_sections():
            yield SectionPlugin("seconds", "what each layer cost", lambda: seconds)

    Then ``ibprobe report RUN --section seconds`` has it below our own. Where it fails, its place on the page says so.
    """
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Kind:
    """What one of the hooks adds."""

    name: str
    """As ``ibprobe plugins`` and errors call it."""
    hook: str
    offers: type[Any]
    """The record that the hook yields."""


KINDS = (
    Kind("estimator", ibprobe_estimators.__name__, EstimatorPlugin),
    Kind("sink", ibprobe_sinks.__name__, SinkPlugin),
    Kind("view", ibprobe_views.__name__, ViewPlugin),
    Kind("section", ibprobe_report_sections.__name__, SectionPlugin),
)

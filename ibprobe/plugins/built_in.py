"""What ibprobe itself offers, through the hooks that every plugin has; modules are imported when they are built."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from ibprobe.capture.views import ViewName
from ibprobe.hookspecs import EstimatorPlugin, SectionPlugin, SinkPlugin, ViewPlugin, hookimpl

_CRITIC, _REFERENCES = "ibprobe.estimate.critic.mine:Mine", "ibprobe.estimate.references"
_ESTIMATORS: tuple[tuple[Any, ...], ...] = (
    ("mine", "held-out MINE critics, cross-fitted; the default", _CRITIC),
    ("infonce", "the same critics, read by InfoNCE only", _CRITIC, ("infonce",)),
    ("classifier", "entropy of the labels less held-out cross-entropy", "ibprobe.estimate.classifier:Classifier"),
    ("channel", "kernel sums of the known noise: a bracket", f"{_REFERENCES}.channel:build"),
    ("ksg", "k nearest neighbours (KSG; Ross with labels)", f"{_REFERENCES}.ksg:build"),
    ("kde", "pairwise bounds of a Gaussian mixture (Kolchinsky-Tracey)", f"{_REFERENCES}.kde:build"),
    ("gaussian", "log-determinants, jointly Gaussian sides", f"{_REFERENCES}.gaussian:build"),
    ("counts", "plug-in for two sides of labels, bias-corrected", f"{_REFERENCES}.counts:build"),
    ("binned", "30 bins of the layer's range", f"{_REFERENCES}.binned:relative"),
    ("binned-fixed", "30 bins of [-1, 1]", f"{_REFERENCES}.binned:fixed"),
    ("binned-width", "bins of width 0.5", f"{_REFERENCES}.binned:width"),
    ("binned-quantised", "256 levels of the layer's range (8 bits)", f"{_REFERENCES}.binned:quantised"),
)
_SINKS = (
    ("terminal", "a line a snapshot and the table at the end, or a live table", "ibprobe.sinks.terminal:TerminalSink"),
    ("wandb", "Weights & Biases: the active run", "ibprobe.sinks.wandb:WandbSink"),
)
_VIEWS: dict[ViewName, str] = {
    "auto": "the mean over positions (space, time, unmasked tokens)",
    "flatten": "all positions",
    "first": "the first position or unmasked token",
    "last": "the last position or unmasked token",
    "token": "one token that has a label, with it",
    "next_token": "one token, with the next one as its label",
}


@hookimpl
def ibprobe_estimators() -> Iterator[EstimatorPlugin]:
    """Our estimators."""
    for name, summary, where, *options in _ESTIMATORS:
        yield EstimatorPlugin(name, summary, partial(_built, where, *options))


@hookimpl
def ibprobe_sinks() -> Iterator[SinkPlugin]:
    """Our sinks."""
    for name, summary, where in _SINKS:
        yield SinkPlugin(name, summary, partial(_built, where))


@hookimpl
def ibprobe_views() -> Iterator[ViewPlugin]:
    """Our views, which capture knows by name: they need masks, labels or the meaning of axes."""
    for name, summary in _VIEWS.items():
        yield ViewPlugin(name, summary, partial(_known, name))


@hookimpl
def ibprobe_report_sections() -> Iterator[SectionPlugin]:
    """Our sections of the report, in their order on the page."""
    from ibprobe.show.report import OURS

    for section in OURS:
        yield SectionPlugin(section.name, section.summary, partial(getattr, section, "make"))


def _known(name: ViewName) -> ViewName:
    return name


def _built(where: str, *options: Sequence[str]) -> Any:
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)(*options)

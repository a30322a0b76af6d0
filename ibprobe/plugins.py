"""Finds plugins, ours among them, and builds what they offer by name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from typing import cast

import pluggy

from ibprobe import hookspecs
from ibprobe.errors import BadInput, UnknownName
from ibprobe.estimate.pairs import Estimator
from ibprobe.hookspecs import EstimatorPlugin, hookimpl

GROUP = "ibprobe"
"""The entry-point group that plugins are found in."""
_CRITIC, _REFERENCES = "ibprobe.estimate.critic.mine:Mine", "ibprobe.estimate.references"
_BUILT_IN = (
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


@dataclass(frozen=True, slots=True)
class Installed:
    """An estimator and the plugin that it comes from."""

    plugin: EstimatorPlugin
    source: str


@hookimpl
def ibprobe_estimators() -> Iterator[EstimatorPlugin]:
    """Our own; their modules are imported when they are built."""
    for name, summary, where, *options in _BUILT_IN:
        yield EstimatorPlugin(name, summary, partial(_build, EntryPoint(name, where, GROUP), *options))


def _build(entry: EntryPoint, *options: Sequence[str]) -> Estimator:
    built: Estimator = entry.load()(*options)
    return built


def plugin_manager(entries: Iterable[EntryPoint] | None = None) -> pluggy.PluginManager:
    """Register our own plugin and every installed one; one that does not load is skipped with a warning.

    Args:
        entries: where plugins are; by default, what is installed in the entry-point group ``ibprobe``.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(sys.modules[__name__], "ibprobe")
    for entry in entry_points(group=GROUP) if entries is None else entries:
        source = f"{entry.value} ({entry.name})"
        try:
            manager.register(entry.load(), source)
            manager.check_pending()
        except Exception as e:
            _skip(source, e)
            if manager.has_plugin(source):
                manager.unregister(name=source)
    return manager


def estimators(manager: pluggy.PluginManager | None = None) -> dict[str, Installed]:
    """Every estimator by name, ours first.

    Args:
        manager: from :func:`plugin_manager`, which is called by default.

    Raises:
        BadInput: two plugins offer one name.
    """
    found: dict[str, Installed] = {}
    for impl in (manager or plugin_manager()).hook.ibprobe_estimators.get_hookimpls():
        try:
            offered: list[EstimatorPlugin] = list(cast(Iterable[EstimatorPlugin], impl.function()))
        except Exception as e:
            _skip(impl.plugin_name, e)
            continue
        for plugin in offered:
            if plugin.name in found:
                sources = f"{found[plugin.name].source} and {impl.plugin_name}"
                raise BadInput(f"two plugins offer an estimator named {plugin.name!r}, {sources}: uninstall one")
            found[plugin.name] = Installed(plugin, impl.plugin_name)
    return found


def estimator_named(name: str, manager: pluggy.PluginManager | None = None, *, also: Iterable[str] = ()) -> Estimator:
    """Build an estimator.

    Args:
        name: one of :func:`estimators`.
        manager: from :func:`plugin_manager`, which is called by default.
        also: names that mean something where the caller is, to be listed with the rest.

    Raises:
        UnknownName: nothing of that name is installed.
        MissingExtra: the estimator needs a package that is not installed.
    """
    known = estimators(manager)
    if name not in known:
        raise UnknownName("estimator", str(name), [*known, *also], hint="`ibprobe plugins` lists all")
    return known[name].plugin.build()


def beside_brackets(name: str, manager: pluggy.PluginManager | None = None) -> Estimator | None:
    """What runs beside a layer's brackets: nothing for ``channel``, critics for ``auto``, else what is named."""
    known = "mine" if name == "auto" else name
    return None if name == "channel" else estimator_named(known, manager, also=["auto"])


def _skip(source: str, error: Exception) -> None:
    warnings.warn(f"ibprobe: plugin {source} skipped: {type(error).__name__}: {error}", stacklevel=3)

"""Plugins from entry points, one by one, so that a broken one takes nothing else along."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points

import pluggy

from ibprobe import hookspecs
from ibprobe.errors import ProbeError, UnknownName
from ibprobe.plugins import built_in

GROUP = "ibprobe"
"""The entry-point group that plugins are found in."""
SELECT, STRICT = "IBPROBE_LOAD_PLUGINS", "IBPROBE_STRICT_PLUGINS"


@dataclass(frozen=True, slots=True)
class Failure:
    """A plugin that was skipped."""

    source: str
    why: str


@dataclass
class Failures:
    """What was skipped, each with a warning; or the error itself, where the environment asks for that."""

    found: list[Failure] = field(default_factory=list)

    def skip(self, source: str, error: BaseException) -> None:
        """Go on without a plugin.

        Raises:
            ProbeError: ``IBPROBE_STRICT_PLUGINS=1``.
        """
        why = f"{type(error).__name__}: {error}"
        if os.environ.get(STRICT, "") not in ("", "0"):
            raise ProbeError(f"plugin {source} is broken: {why}") from error
        self.found.append(Failure(source, why))
        warnings.warn(f"ibprobe: plugin {source} skipped: {why}", stacklevel=2)


def plugin_manager(failures: Failures, entries: Iterable[EntryPoint] | None = None) -> pluggy.PluginManager:
    """Register our own plugin and every installed one.

    Args:
        failures: where those go that do not load.
        entries: where plugins are; by default, what is installed in the entry-point group ``ibprobe`` and selected by
            ``IBPROBE_LOAD_PLUGINS``: names of entry points, separated by commas, none where it is empty.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(built_in, "ibprobe")
    for entry in selected(failures) if entries is None else entries:
        source = f"{entry.value} ({entry.name})"
        try:
            manager.register(entry.load(), source)
            manager.check_pending()
        except (Exception, SystemExit) as e:
            if manager.has_plugin(source):
                manager.unregister(name=source)
            failures.skip(source, e)
    return manager


def selected(failures: Failures) -> Iterator[EntryPoint]:
    """Installed plugins that the environment does not leave out."""
    found = list(entry_points(group=GROUP))
    asked = os.environ.get(SELECT)
    names = {e.name for e in found} if asked is None else {name.strip() for name in asked.split(",")} - {""}
    for missing in sorted(names - {e.name for e in found}):
        failures.skip(f"({missing}) of {SELECT}", UnknownName("plugin", missing, (e.name for e in found)))
    yield from (entry for entry in found if entry.name in names)

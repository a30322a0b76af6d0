"""What is installed, by kind and name, and what it builds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from ibprobe.capture.views import NamedView, View, Views, ViewSpec
from ibprobe.errors import BadInput, ProbeError, UnknownName
from ibprobe.estimate.pairs import Estimator
from ibprobe.hookspecs import KINDS, Kind
from ibprobe.plugins.loading import SELECT, Failure, Failures, plugin_manager
from ibprobe.plugins.offers import EXPECTED, FITS, Offer, a, called, checked
from ibprobe.show.section import NamedSection, SectionMaker
from ibprobe.sinks.fanout import Sink, SinkSpec, make_sinks


class Plugins:
    """Everything that is installed, ours first. A probe makes one and asks it what it needs; each hook is asked once.

    Args:
        entries: where plugins are; by default, what is installed and selected (:func:`.loading.plugin_manager`).
        more: further plugins, modules or objects with hooks, by the name of their source.

    Raises:
        ProbeError: a plugin is broken, and ``IBPROBE_STRICT_PLUGINS=1``; else it is skipped with one warning.
    """

    def __init__(self, entries: Iterable[EntryPoint] | None = None, more: Mapping[str, object] | None = None) -> None:
        self._failures = Failures()
        self._manager: pluggy.PluginManager = plugin_manager(self._failures, entries)
        for source, plugin in (more or {}).items():
            self._manager.register(plugin, source)
        self._offers: dict[str, dict[str, Offer]] = {}

    @property
    def failed(self) -> Sequence[Failure]:
        """Plugins that were skipped so far; hooks are asked when they are needed."""
        return tuple(self._failures.found)

    def offers(self, kind: str) -> Mapping[str, Offer]:
        """Everything of one kind by name, ours first.

        Args:
            kind: ``estimator``, ``sink``, ``view`` or ``section``.

        Raises:
            BadInput: two plugins offer one name.
        """
        if kind not in self._offers:
            self._offers[kind] = self._asked(next(k for k in KINDS if k.name == kind))
        return self._offers[kind]

    def estimator(self, name: str, *, also: Iterable[str] = ()) -> Estimator:
        """Build an estimator.

        Args:
            name: of one that is installed.
            also: names that mean something where the caller is, to be listed with the rest.

        Raises:
            UnknownName: nothing of that name is installed.
            MissingExtra: the estimator needs a package that is not installed.
            ProbeError: the plugin cannot build it.
        """
        built: Estimator = self._built("estimator", name, also)
        return built

    def beside_brackets(self, name: str) -> Estimator | None:
        """What runs beside a layer's brackets: nothing for ``channel``, critics for ``auto``, else what is named."""
        return None if name == "channel" else self.estimator("mine" if name == "auto" else name, also=["auto"])

    def sinks(self, spec: SinkSpec) -> list[Sink]:
        """Resolve ``sinks=``; see :func:`ibprobe.sinks.fanout.make_sinks`."""
        return make_sinks(spec, lambda name: self._built("sink", name, ["auto"]))

    def views(self, spec: ViewSpec) -> Views:
        """Resolve ``view=``: names become functions, or names that capture knows.

        Raises:
            UnknownName: nothing of that name is installed.
            ProbeError: the plugin cannot build it.
        """
        if isinstance(spec, Mapping):
            return {pattern: self._view(part) for pattern, part in spec.items()}
        return self._view(spec)

    def _view(self, part: NamedView) -> View:
        if not isinstance(part, str):
            return part
        built: View = self._built("view", part)
        return called(part, built) if callable(built) else built

    def sections(self, spec: str | Sequence[str] = "auto") -> list[NamedSection]:
        """Resolve ``sections=``: names, ``"auto"`` for ours. They are built with the page, whose place says what fails.

        Raises:
            UnknownName: nothing of that name is installed.
        """
        known = self.offers("section")
        ours = [name for name, offer in known.items() if offer.source == "ibprobe"]
        asked = [spec] if isinstance(spec, str) else spec
        names = dict.fromkeys(name for item in asked for name in (ours if item == "auto" else [item]))
        return [
            NamedSection(name, self._offer("section", name, ["auto"]).plugin.summary, self._section(name))
            for name in names
        ]

    def _section(self, name: str) -> SectionMaker:
        return lambda shown: self._built("section", name)(shown)

    def _asked(self, kind: Kind) -> dict[str, Offer]:
        found: dict[str, Offer] = {}
        for impl in getattr(self._manager.hook, kind.hook).get_hookimpls():
            try:
                offered = [checked(kind, item) for item in impl.function()]
            except Exception as e:
                self._failures.skip(impl.plugin_name, e)
                continue
            for plugin in offered:
                if plugin.name in found:
                    sources = f"{found[plugin.name].source} and {impl.plugin_name}"
                    raise BadInput(
                        f"two plugins offer {a(kind.name)} named {plugin.name!r}, {sources}: uninstall one, or name "
                        f"those to load in {SELECT}"
                    )
                found[plugin.name] = Offer(plugin, impl.plugin_name)
        return found

    def _offer(self, kind: str, name: str, also: Iterable[str] = ()) -> Offer:
        known = self.offers(kind)
        if name not in known:
            raise UnknownName(kind, str(name), [*known, *also], hint="`ibprobe plugins` lists all")
        return known[name]

    def _built(self, kind: str, name: str, also: Iterable[str] = ()) -> Any:
        offer = self._offer(kind, name, also)
        try:
            built = offer.plugin.build()
        except ProbeError:
            raise
        except Exception as e:
            raise ProbeError(f"{kind} {name!r} of {offer.source} cannot be built: {type(e).__name__}: {e}") from e
        if not FITS[kind](built):
            raise BadInput(f"{kind} {name!r} of {offer.source} built {built!r}; expected {EXPECTED[kind]}")
        return built

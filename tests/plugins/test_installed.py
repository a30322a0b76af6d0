"""What is installed is asked by name: built, told apart, or refused with what there is."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from plugins.made import BUILDS, Offers, QuietSink, by_sums

from ibprobe import BadInput, MissingExtra, ProbeError, UnknownName
from ibprobe.capture.views import ViewName
from ibprobe.estimate.critic.mine import Mine
from ibprobe.hookspecs import KINDS
from ibprobe.plugins import Plugins
from ibprobe.show.report import OURS
from ibprobe.sinks.terminal import TerminalSink

KIND = [kind.name for kind in KINDS]


def with_one(name: str, **builds: Any) -> Plugins:
    return Plugins([], {"someone": Offers(name, **builds)})


def ask(plugins: Plugins, kind: str, name: str) -> Any:
    """What a user's word for something of that kind leads to."""
    asked = {"estimator": plugins.estimator, "sink": plugins.sinks, "view": plugins.views, "section": plugins.sections}
    return asked[kind](name)


@pytest.mark.parametrize("kind", KIND)
def test_ours_come_through_the_same_hooks(kind: str) -> None:
    found = Plugins([]).offers(kind)
    assert {offer.source for offer in found.values()} == {"ibprobe"}
    assert all(offer.plugin.summary for offer in found.values())


def test_ours_are_all_there() -> None:
    plugins = Plugins([])
    assert next(iter(plugins.offers("estimator"))) == "mine"
    assert {"channel", "classifier", "ksg", "binned", "kde", "gaussian", "counts"} <= set(plugins.offers("estimator"))
    assert list(plugins.offers("sink")) == ["terminal", "wandb"]
    assert list(plugins.offers("view")) == list(get_args(ViewName))
    assert list(plugins.offers("section")) == [section.name for section in OURS]


@pytest.mark.parametrize("kind", KIND)
def test_a_plugin_is_found_by_name(kind: str) -> None:
    plugins = with_one("own")
    assert plugins.offers(kind)["own"].source == "someone"
    assert ask(plugins, kind, "own")


def test_what_a_plugin_builds_is_what_is_used() -> None:
    plugins = with_one("own")
    assert plugins.estimator("own")({}, None, seed=0) == {}  # type: ignore[arg-type]
    assert [type(s) for s in plugins.sinks(["terminal", "own"])] == [TerminalSink, QuietSink]
    view = plugins.views("own")
    assert callable(view)
    assert view.__name__ == "own"
    assert plugins.views({"a*": "own", "b": by_sums, "c": "flatten"}).keys() == {"a*", "b", "c"}  # type: ignore[union-attr]
    assert [s.name for s in plugins.sections(["own", "auto"])] == ["own", *(s.name for s in OURS)]


@pytest.mark.parametrize(
    ("kind", "ours"), [("estimator", "ksg"), ("sink", "wandb"), ("view", "last"), ("section", "flags")]
)
def test_two_plugins_of_one_name_are_an_error_that_names_both(kind: str, ours: str) -> None:
    with pytest.raises(BadInput, match=f"two plugins offer an? {kind} named '{ours}', ibprobe and someone: uninstall"):
        with_one(ours).offers(kind)


@pytest.mark.parametrize("kind", KIND)
def test_an_unknown_name_lists_what_is_installed(kind: str) -> None:
    plugins = with_one("pearson")
    with pytest.raises(UnknownName, match=rf"no {kind} named 'person'; did you mean: pearson"):
        ask(plugins, kind, "person")
    with pytest.raises(UnknownName, match=r"there are: .*, .*`ibprobe plugins` lists all"):
        ask(plugins, kind, "qqq")


def test_auto_is_listed_where_it_means_something() -> None:
    plugins = Plugins([])
    for asked in (plugins.beside_brackets, plugins.sinks, plugins.sections):
        with pytest.raises(UnknownName, match="did you mean: auto"):
            asked("autoo")
    assert plugins.beside_brackets("channel") is None
    assert isinstance(plugins.beside_brackets("auto"), Mine)


@pytest.mark.parametrize("kind", ["estimator", "sink", "view"])
def test_what_a_plugin_builds_is_looked_at(kind: str) -> None:
    plugins = with_one("own", **{kind: lambda: 3})
    with pytest.raises(BadInput, match=rf"{kind} 'own' of someone built 3; expected an? (function|object) "):
        ask(plugins, kind, "own")


def test_a_class_is_no_sink() -> None:
    with pytest.raises(BadInput, match="expected an object with the methods"):
        with_one("own", sink=lambda: QuietSink).sinks("own")


@pytest.mark.parametrize("kind", ["estimator", "sink", "view"])
def test_what_cannot_be_built_says_whose_it_is(kind: str) -> None:
    def fails() -> Any:
        raise OSError("no licence")

    def lacks() -> Any:
        raise MissingExtra("it", "package", "extra")

    with pytest.raises(ProbeError, match=f"{kind} 'own' of someone cannot be built: OSError: no licence"):
        ask(with_one("own", **{kind: fails}), kind, "own")
    with pytest.raises(MissingExtra, match="it needs package"):
        ask(with_one("own", **{kind: lacks}), kind, "own")


def test_a_section_is_built_with_its_page() -> None:
    def fails() -> Any:
        raise OSError("no licence")

    [section] = with_one("own", section=fails).sections("own")
    with pytest.raises(ProbeError, match="section 'own' of someone cannot be built: OSError"):
        section.make(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["estimator", "sink", "section"])
def test_a_name_that_means_something_is_no_name(kind: str) -> None:
    plugins = with_one("auto")
    with pytest.warns(UserWarning, match="plugin someone skipped: .*expected another name, for 'auto'"):
        assert {offer.source for offer in plugins.offers(kind).values()} == {"ibprobe"}


def test_hooks_are_asked_once_and_only_for_what_is_needed() -> None:
    asked: list[str] = []

    class Counting(Offers):
        def _one(self, kind: str) -> Any:
            asked.append(kind)
            return super()._one(kind)

    plugins = Plugins([], {"someone": Counting("own")})
    for _ in range(2):
        plugins.sinks(["own", "own"])
    assert asked == ["sink"]


def test_every_kind_is_in_the_tables_above() -> None:
    assert set(BUILDS) == set(KIND)

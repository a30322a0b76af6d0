"""Plugins are found, named, told apart and skipped when broken."""

import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pluggy
import pytest

from ibprobe import BadInput, EstimatorPlugin, Pair, UnknownName, estimate_mi, hookimpl, hookspecs, plugins
from ibprobe.estimate.references.single import OneByOne
from ibprobe.plugins import beside_brackets, estimator_named, estimators, plugin_manager

Entry = Callable[..., EntryPoint]


def unread(pair: Pair, seed: int) -> str:
    return "this one never reads"


class Offers:
    """A plugin that offers one estimator."""

    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def ibprobe_estimators(self) -> Iterator[EstimatorPlugin]:
        yield EstimatorPlugin(self.name, "says why not", lambda: OneByOne(unread))


@pytest.fixture
def manager() -> pluggy.PluginManager:
    return plugin_manager([])


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    """Makes an entry point from a plugin's source."""

    def make(source: str, name: str = "mi") -> EntryPoint:
        module = types.ModuleType(f"plugin_{name}")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        exec(textwrap.dedent(source), vars(module))
        return EntryPoint(name, module.__name__, plugins.GROUP)

    return make


def test_ours_come_through_the_same_hook(manager: pluggy.PluginManager) -> None:
    found = estimators(manager)
    assert next(iter(found)) == "mine"
    assert {"channel", "classifier", "ksg", "binned", "kde", "gaussian", "counts"} <= set(found)
    assert {f.source for f in found.values()} == {"ibprobe"}


def test_a_plugin_is_built_by_name(manager: pluggy.PluginManager) -> None:
    manager.register(Offers("silent"), "someone")
    assert estimators(manager)["silent"].source == "someone"
    assert estimator_named("silent", manager)({}, None, seed=0) == {}  # type: ignore[arg-type]


def test_two_plugins_of_one_name_are_an_error_that_names_both(manager: pluggy.PluginManager) -> None:
    manager.register(Offers("ksg"), "someone")
    with pytest.raises(BadInput, match="'ksg', ibprobe and someone"):
        estimators(manager)


def test_an_unknown_name_lists_what_is_installed(manager: pluggy.PluginManager) -> None:
    manager.register(Offers("pearson"), "someone")
    with pytest.raises(UnknownName, match="did you mean: pearson"):
        estimator_named("person", manager)
    with pytest.raises(UnknownName, match=r"there are: auto, binned, .*ibprobe plugins"):
        beside_brackets("zzz", manager)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_package_anywhere", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("from ibprobe import hookimpl\n@hookimpl\ndef ibprobe_estimatorz(): ...", "unknown hook"),
    ],
)
def test_a_plugin_that_does_not_load_is_skipped_with_a_warning(
    source: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    with pytest.warns(UserWarning, match=rf"plugin broken_plugin \(mi\) skipped: .*{why}|{why}") as told:
        manager = plugin_manager([EntryPoint("mi", "broken_plugin", plugins.GROUP)])
    assert len(told) == 1
    assert "ksg" in estimators(manager)


def test_a_hook_that_fails_is_skipped_with_a_warning(entry: Entry) -> None:
    source = "from ibprobe import hookimpl\n@hookimpl\ndef ibprobe_estimators():\n    raise OSError('no disk')"
    manager = plugin_manager([entry(source)])
    with pytest.warns(UserWarning, match=r"plugin plugin_mi \(mi\) skipped: OSError: no disk"):
        assert "ksg" in estimators(manager)


def example() -> str:
    """The first block of the hookspec's docstring."""
    text = inspect.getdoc(hookspecs.ibprobe_estimators) or ""
    body = text.split("``my_package/mi.py``::")[1].split("In its ``pyproject.toml``")[0]
    return textwrap.dedent(body)


def test_the_example_in_the_hookspec_is_a_complete_plugin(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    found = entry(example())
    monkeypatch.setattr(plugins, "entry_points", lambda group: [found])
    x = [i / 100 for i in range(100)]
    reading = estimate_mi(x, [(37 * i) % 100 / 100 for i in range(100)], estimator="pearson")
    assert (reading.estimator, reading.bound) == ("pearson", "bivariate Gaussian")
    with pytest.raises(BadInput, match="one column against one column"):
        estimate_mi([[v, v] for v in x], x, estimator="pearson")


def test_what_runs_beside_the_brackets_goes_by_the_name_of_the_option(manager: pluggy.PluginManager) -> None:
    assert beside_brackets("channel", manager) is None
    assert type(beside_brackets("auto", manager)) is type(estimator_named("mine", manager))

"""Plugins are found, selected, and skipped when broken: with one warning, or with an error where that is asked for."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from plugins.made import entry_of

from ibprobe import ProbeError, hookspecs
from ibprobe.plugins import Plugins, loading
from ibprobe.plugins.loading import GROUP, SELECT, STRICT

GOOD = """
    @hookimpl
    def ibprobe_estimators():
        yield EstimatorPlugin("mutual", "none", lambda: None)
    """
KINDS = {kind.hook.removeprefix("ibprobe_"): kind.offers.__name__ for kind in hookspecs.KINDS}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    """What a look at the environment finds."""
    found: list[EntryPoint] = []
    monkeypatch.setattr(loading, "entry_points", lambda group: list(found))
    return found


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_package_anywhere", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("from ibprobe import hookimpl\n@hookimpl\ndef ibprobe_estimatorz(): ...", "unknown hook"),
        ("from ibprobe import hookimpl\n@hookimpl\ndef ibprobe_sinks(run): ...", "PluginValidationError"),
    ],
)
def test_a_plugin_that_does_not_load_is_skipped_with_a_warning(
    source: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plugin.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_plugin", raising=False)
    with pytest.warns(UserWarning, match=r"plugin broken_plugin \(mi\) skipped: ") as told:
        plugins = Plugins([EntryPoint("mi", "broken_plugin", GROUP)])
    assert len(told) == 1
    assert why in str(told[0].message)
    assert [f.source for f in plugins.failed] == ["broken_plugin (mi)"]
    assert "ksg" in plugins.offers("estimator")


@pytest.mark.parametrize("hook", KINDS)
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise OSError('no disk')", "OSError: no disk"),
        ("return None", "TypeError"),
        ("yield ('name', 'summary', print)", r"yielded \('name', 'summary', .*expected {record}\(name, summary, build"),
        ("yield {other}('a', 'b', print)", "yielded {other}"),
    ],
    ids=["raises", "gives nothing", "yields no record", "yields another record"],
)
def test_a_hook_that_fails_or_yields_the_wrong_thing_is_skipped_with_a_warning(
    hook: str, body: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"record": KINDS[hook], "other": "SinkPlugin" if hook != "sinks" else "ViewPlugin"}
    source = f"@hookimpl\ndef ibprobe_{hook}():\n    {body.format(**names)}"
    plugins = Plugins([entry_of(source, monkeypatch)])
    kind = hook.removeprefix("report_").removesuffix("s")
    with pytest.warns(UserWarning, match=rf"plugin plugin_mi \(mi\) skipped: .*{why.format(**names)}") as told:
        offers = plugins.offers(kind)
    assert len(told) == 1
    assert {offer.source for offer in offers.values()} == {"ibprobe"}


def test_a_hook_of_one_kind_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = Plugins([entry_of(f"{GOOD}\n    @hookimpl\n    def ibprobe_sinks(): return 3", monkeypatch)])
    with pytest.warns(UserWarning, match="'int' object is not iterable"):
        assert set(plugins.offers("sink")) == {"terminal", "wandb"}
    assert plugins.offers("estimator")["mutual"].source == "plugin_mi (mi)"


def test_strict_raises_what_a_plugin_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
    with pytest.raises(ProbeError, match=r"plugin nowhere_at_all \(mi\) is broken: ModuleNotFoundError") as told:
        Plugins([EntryPoint("mi", "nowhere_at_all", GROUP)])
    assert isinstance(told.value.__cause__, ModuleNotFoundError)
    plugins = Plugins([entry_of("@hookimpl\ndef ibprobe_views(): raise ValueError('why')", monkeypatch)])
    with pytest.raises(ProbeError, match=r"plugin plugin_mi \(mi\) is broken: ValueError: why"):
        plugins.offers("view")
    monkeypatch.setenv(STRICT, "0")
    with pytest.warns(UserWarning, match="skipped"):
        Plugins([EntryPoint("mi", "nowhere_at_all", GROUP)])


def test_the_environment_selects_by_the_names_of_entry_points(
    installed: list[EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed += [entry_of(GOOD, monkeypatch), EntryPoint("broken", "no_such_module", GROUP)]
    monkeypatch.setenv(SELECT, "mi")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "mutual" in Plugins().offers("estimator")
    monkeypatch.setenv(SELECT, "")
    plugins = Plugins()
    assert {o.source for kind in ("estimator", "sink") for o in plugins.offers(kind).values()} == {"ibprobe"}
    monkeypatch.setenv(SELECT, " mi , broken")
    with pytest.warns(UserWarning, match=r"no_such_module \(broken\) skipped"):
        assert "mutual" in Plugins().offers("estimator")
    monkeypatch.delenv(SELECT)
    with pytest.warns(UserWarning, match=r"no_such_module \(broken\) skipped"):
        assert "mutual" in Plugins().offers("estimator")


def test_a_selected_plugin_that_is_not_installed_is_named(
    installed: list[EntryPoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    installed += [entry_of(GOOD, monkeypatch)]
    monkeypatch.setenv(SELECT, "mii")
    with pytest.warns(UserWarning, match=r"\(mii\) of IBPROBE_LOAD_PLUGINS skipped: .*did you mean: mi"):
        plugins = Plugins()
    assert "mutual" not in plugins.offers("estimator")


def test_what_fails_is_told_once_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = Plugins([entry_of("@hookimpl\ndef ibprobe_sinks(): raise ValueError", monkeypatch)])
    with pytest.warns(UserWarning, match="skipped") as told:
        assert [len(plugins.sinks("terminal")) for _ in range(3)] == [1, 1, 1]
    assert len(told) == 1

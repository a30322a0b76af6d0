"""``ibprobe plugins`` and ``ibprobe report --section`` as a user types them."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from plugins.made import entry_of
from record_factory import estimate

from ibprobe.cli import main
from ibprobe.hookspecs import KINDS
from ibprobe.plugins import Plugins, loading
from ibprobe.plugins.loading import GROUP, STRICT
from ibprobe.record.rundir import RunDir

OWN = """
    from ibprobe.show.section import Section

    @hookimpl
    def ibprobe_report_sections():
        yield SectionPlugin("own", "words of mine", lambda: lambda shown: Section("Mine", "so many words"))

    @hookimpl
    def ibprobe_sinks():
        raise OSError("[no disk]")
    """


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in args], env={"COLUMNS": "160"})


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [entry_of(OWN, monkeypatch), EntryPoint("gone", "no_such_module", GROUP)]
    monkeypatch.setattr(loading, "entry_points", lambda group: found)


@pytest.mark.usefixtures("installed")
def test_everything_is_listed_with_summary_and_source_by_kind_and_what_failed_with_its_reason() -> None:
    result = run("plugins")
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.replace("│", " ").split()) for line in result.output.splitlines()]
    for kind in KINDS:
        for name, offer in Plugins([]).offers(kind.name).items():
            assert f"{name} {offer.plugin.summary} ibprobe" in lines
    assert "own words of mine plugin_mi (mi)" in lines
    assert "no_such_module (gone) ModuleNotFoundError: No module named 'no_such_module'" in lines
    assert "plugin_mi (mi) OSError: [no disk]" in lines


@pytest.mark.usefixtures("installed")
def test_strict_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STRICT, "1")
    result = run("plugins")
    assert result.exit_code == 1
    assert "plugin no_such_module (gone) is broken: ModuleNotFoundError" in result.output


@pytest.mark.filterwarnings("ignore:ibprobe. plugin no_such_module")
@pytest.mark.usefixtures("installed")
def test_a_section_is_added_to_a_page_by_name(tmp_path: Path) -> None:
    sink = RunDir(tmp_path / "run")
    sink.open({})
    sink.write([estimate()], [])
    sink.close("")
    result = run("report", tmp_path / "run", "-o", tmp_path / "page.html", "--section", "own")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.index("<h2>Final values</h2>") < page.index("<h2>Mine</h2>")
    unknown = run("report", tmp_path / "run", "--section", "owm")
    assert (unknown.exit_code, "no section named 'owm'; did you mean: own" in unknown.output) == (1, True)

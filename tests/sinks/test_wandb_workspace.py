"""The workspace names what the sink logs, comes out without a login, and is saved as a view."""

import builtins
import json
import re
from typing import Any

import pytest
from record_factory import estimate
from wandb_loopback import LoopbackServer

from ibprobe.errors import MissingExtra
from ibprobe.sinks.wandb_keys import AXIS, PLANE_HTML, PLANE_TABLE, RECORDS, LayerKeys, metrics_of, summary_of
from ibprobe.sinks.wandb_workspace import save_workspace, workspace_json

BOTH = [estimate(quantity=q, split=s) for q in ("I_XT", "I_TY") for s in ("train", "held_out")]


@pytest.fixture(scope="module")
def panels() -> list[dict[str, Any]]:
    made = json.loads(workspace_json("team", "project"))
    return [panel for section in _sections(made) for panel in section["panels"]]


def _sections(made: dict[str, Any]) -> list[dict[str, Any]]:
    return [s for s in made["spec"]["section"]["panelBankConfig"]["sections"] if s["panels"]]


def configs(panels: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [panel["config"] for panel in panels if panel["viewType"] == kind]


def test_there_is_a_section_for_the_plane_each_quantity_and_runs_compared():
    names = [section["name"] for section in _sections(json.loads(workspace_json("team", "project")))]
    assert names == ["Information plane", "I(X;T̃) by step", "I(T̃;Y) by step", "Across runs"]


def test_each_headline_of_the_sink_is_matched_by_one_line_plot_on_our_axis(panels):
    plots = configs(panels, "Run History Line Plot")
    assert {plot["xAxis"] for plot in plots} == {AXIS}
    for e in BOTH:
        key = f"ib_{e.quantity}{'_held_out' if e.split == 'held_out' else ''}/fc1"
        assert key in metrics_of(e, "fc1")
        assert sum(bool(re.search(plot["metricRegex"], key)) for plot in plots) == 1


def test_no_line_plot_shows_a_detail(panels):
    details = [key for e in BOTH for key in metrics_of(e, "fc1") if key.startswith("ib_detail/")]
    assert not [k for k in details for p in configs(panels, "Run History Line Plot") if re.search(p["metricRegex"], k)]


def test_the_plane_reads_the_table_that_the_sink_logs_by_a_built_in_preset(panels):
    [chart] = configs(panels, "Vega2")
    assert (chart["panelDefId"], chart["fieldSettings"]) == ("wandb/scatter/v0", {"x": "I_XT", "y": "I_TY"})
    assert f"'value': '{PLANE_TABLE}'" in str(chart["userQuery"])


def test_the_page_and_the_records_are_shown(panels):
    shown = json.dumps(panels)
    assert [media["mediaKeys"] for media in configs(panels, "Media Browser")] == [[PLANE_HTML]]
    assert RECORDS in shown


def test_runs_are_compared_by_summary_values_that_the_sink_sets(panels):
    logged = {f"summary:{key}" for key in summary_of(BOTH, LayerKeys(), each=True)}
    [ends] = configs(panels, "Scatter Plot")
    [lens] = configs(panels, "Parallel Coordinates Plot")
    columns = [column["accessor"] for column in lens["columns"]]
    assert {ends["xAxis"], ends["yAxis"]} <= logged
    assert {c for c in columns if c.startswith("summary:")} <= logged
    assert [c for c in columns if c.startswith("config:")] == ["config:dropout.value", "config:weight_decay.value"]


def test_saving_sends_the_view_to_the_server_and_gives_its_address(monkeypatch):
    with LoopbackServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        url = save_workspace("tester", "tests")
    assert server.kept.operations["UpsertView2"] == 1
    assert (server.kept.errors, server.kept.unknown) == ([], [])
    assert url.startswith(f"{server.url}/tester/tests?nw=")
    assert PLANE_TABLE in server.kept.views[0]["spec"]


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def blocked(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("wandb_workspaces"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(MissingExtra, match=r"pip install 'ibprobe\[workspace\]'"):
        workspace_json("team", "project")

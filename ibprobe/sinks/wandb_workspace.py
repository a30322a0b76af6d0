"""A saved W&B workspace: a section for each quantity, one for the plane, one to compare runs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from ibprobe.errors import MissingExtra
from ibprobe.record.records import SYMBOLS
from ibprobe.sinks.wandb_keys import AXIS, HEADLINES, PLANE_HTML, PLANE_TABLE, RECORDS, headline_prefix, mean_key

NAME = "Information plane"
CAVEATS = (
    "Values are nats about T̃, a layer's output with noise; they compare only where noise, σ, rows and view of a layer "
    "are the same. Read a value with its interval, its ceiling and its flags (`ibprobe explain FLAG`): all are in the "
    f"table `{RECORDS}`, and a value at its ceiling says only that there is at least so much."
)


def workspace_json(entity: str, project: str, factors: Sequence[str] = ("dropout", "weight_decay")) -> str:
    """The workspace as W&B would store it; this needs no login.

    Args:
        entity: user or team.
        project: its project.
        factors: keys of the runs' own config that runs are compared by.

    Raises:
        MissingExtra: ``wandb-workspaces`` is not installed.
    """
    # Private, for the public way out is to save; the version is pinned by a test of what comes out.
    made: str = _workspace(entity, project, factors)._to_model().model_dump_json(by_alias=True, exclude_none=True)
    return made


def save_workspace(entity: str, project: str, factors: Sequence[str] = ("dropout", "weight_decay")) -> str:
    """Save the workspace as a new view of the project, as the user that W&B is logged in as.

    Args:
        entity: user or team.
        project: its project.
        factors: keys of the runs' own config that runs are compared by.

    Returns:
        Its address.

    Raises:
        MissingExtra: ``wandb-workspaces`` is not installed.
    """
    saved: str = _workspace(entity, project, factors).save().url
    return saved


def _workspace(entity: str, project: str, factors: Sequence[str]) -> Any:
    with warnings.catch_warnings():
        # At its first import the package warns of its own use of pydantic.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            from wandb_workspaces.reports import v2 as panels
            from wandb_workspaces.workspaces import Section, Workspace
        except ImportError as e:
            raise MissingExtra("a W&B workspace", "wandb-workspaces", "workspace") from e
    curves = {f"{SYMBOLS[quantity]} by step": _curves(panels, quantity) for quantity in HEADLINES}
    named = {"Information plane": _plane(panels), **curves, "Across runs": _across_runs(panels, factors)}
    sections = [Section(name=name, panels=shown, is_open=True) for name, shown in named.items()]
    return Workspace(entity=entity, project=project, name=NAME, sections=sections)


def _plane(panels: ModuleType) -> list[Any]:
    chart = panels.CustomChart(
        query={"summaryTable": {"tableKey": PLANE_TABLE}},
        chart_name="wandb/scatter/v0",
        chart_fields={"x": "I_XT", "y": "I_TY"},
        chart_strings={"title": "Information plane, nats"},
    )
    table = panels.WeavePanelSummaryTable(table_name=RECORDS)
    page = panels.MediaBrowser(title="Plane, interactive", media_keys=[PLANE_HTML], num_columns=1)
    return [panels.MarkdownPanel(markdown=CAVEATS), chart, page, table]


def _curves(panels: ModuleType, quantity: str) -> list[Any]:
    titles = {"train": "", "held_out": ", held-out rows"}
    return [
        panels.LinePlot(
            title=f"{SYMBOLS[quantity]}{title}",
            x=AXIS,
            title_x="optimizer steps",
            title_y="nats",
            metric_regex=f"^{headline_prefix(quantity, split)}/",
        )
        for split, title in titles.items()
    ]


def _across_runs(panels: ModuleType, factors: Sequence[str]) -> list[Any]:
    """Means over layers, which all runs have whatever their layers are called."""
    xt, fall, ty = mean_key("I_XT"), mean_key("I_XT", fall=True), mean_key("I_TY")
    values = {xt: "mean I(X;T̃)", fall: "mean fall of I(X;T̃)", ty: "mean I(T̃;Y)"}
    column = panels.ParallelCoordinatesPlotColumn
    axes = [
        *(column(metric=panels.Config(name)) for name in factors),
        *(column(metric=panels.SummaryMetric(key), display_name=name) for key, name in values.items()),
    ]
    ends = panels.ScatterPlot(
        title="Last snapshot, mean over layers, nats", x=panels.SummaryMetric(xt), y=panels.SummaryMetric(ty)
    )
    return [ends, panels.ParallelCoordinatesPlot(title="Factors and what they did", columns=axes)]

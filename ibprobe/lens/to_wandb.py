"""What runs show, in Weights & Biases: the page, tables, a chart, and the verdicts as summary values."""

from __future__ import annotations

from typing import Any

from ibprobe.errors import BadInput
from ibprobe.lens.design import PLACEBO
from ibprobe.lens.findings import Findings
from ibprobe.lens.report import page
from ibprobe.lens.runs import GAP, HELD_OUT, KEPT, SHIFTED
from ibprobe.lens.words import verdict

_OUTCOMES = {"gap": GAP, "held_out": HELD_OUT, "shifted": SHIFTED}


def log_findings(found: Findings, run: Any = None) -> None:
    """Log everything to a W&B run, under ``lens/``.

    Args:
        found: everything, from :func:`ibprobe.lens.find`.
        run: a ``wandb`` run; by default the active one.

    Raises:
        BadInput: there is no active run.
        MissingExtra: the packages of the ``report`` extra are not installed.
    """
    import wandb

    to: Any = run if run is not None else wandb.run
    if to is None:
        raise BadInput("no W&B run is active: call wandb.init() before, or pass a run")
    html = page(found).html()
    told = found.to_dict()
    runs = _runs(found)
    made = {
        "effects": _table(wandb, told["effects"]),
        "claims": _table(wandb, told["claims"]),
        "runs": runs,
        "page": wandb.Html(html, inject=False),
    }
    last = next((name for name in reversed(runs.columns) if name.startswith("I_XT ")), None)
    if last and "shifted" in runs.columns:
        title = f"{last}, nats, against accuracy on shifted rows"
        made["shifted"] = wandb.plot.scatter(runs, last, "shifted", title=title)
    to.log({f"lens/{name}": value for name, value in made.items()})
    to.summary.update(_summary(found))


def _table(wandb: Any, rows: list[dict[str, Any]]) -> Any:
    names = list(dict.fromkeys(name for row in rows for name in row))
    # A column of W&B's has one type; levels may be numbers for one factor and words for another.
    cells = [[str(row[n]) if n in ("level", "baseline") else row.get(n) for n in names] for row in rows]
    return wandb.Table(columns=names, data=cells)


def _runs(found: Findings) -> Any:
    """One row a run: its levels, what each layer keeps, its accuracies."""
    import wandb

    keys = dict.fromkeys(k for run in found.runs for k in run.values)
    layers = {f"I_XT {k.layer}": k for k in keys if (k.how, k.split, k.quantity) == ("training", found.split, "I_XT")}
    outcomes = {name: key for name, key in _OUTCOMES.items() if key in keys}
    columns = layers | outcomes | {k.quantity: k for k in keys if k.how == KEPT}
    words = {name for name in found.baseline for run in found.runs if type(run.settings.get(name)) in (str, bool)}
    data: Any = [
        [run.name, run.seed, run.order]
        + [str(run.settings.get(name)) if name in words else run.settings.get(name) for name in found.baseline]
        + [run.values.get(key) for key in columns.values()]
        for run in found.runs
    ]
    return wandb.Table(columns=["run", "seed", PLACEBO, *found.baseline, *columns], data=data)


def _summary(found: Findings) -> dict[str, Any]:
    values: dict[str, Any] = {"lens/runs_read": len(found.runs), "lens/seeds": found.seeds}
    for comparison in (c for of in found.comparisons.values() for c in of):
        name = f"lens/{comparison.factor}={comparison.level}"
        values[f"{name}/verdict"] = verdict(comparison, found)
        for layer, e in comparison.select("training", found.split, "I_XT").items():
            values[f"{name}/{layer.replace('.', '/')}/I_XT"] = e.mean
    return values


def start_run(project: str) -> Any:
    """A W&B run for the findings.

    Args:
        project: ``project`` or ``entity/project``.
    """
    import wandb

    entity, _, name = project.rpartition("/")
    return wandb.init(project=name, entity=entity or None, job_type="lens")

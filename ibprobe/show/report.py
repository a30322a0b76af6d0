"""The report: verdict and planes first, then lines, final values, and how all of it was measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ibprobe.bottleneck.curve import IBCurve
from ibprobe.record.records import Records
from ibprobe.show.cases import Case, measured_cases
from ibprobe.show.files import write_file
from ibprobe.show.frontier import distance_table
from ibprobe.show.lines import curves, lines
from ibprobe.show.page import Page
from ibprobe.show.panels import Panel, panels, together
from ibprobe.show.summaries import compression, critics, sweep
from ibprobe.show.tables import events_table, finals_table, flags_table, measurement_table
from ibprobe.show.theme import Spec


def write_report(
    runs: Sequence[tuple[str, Records]],
    path: str | Path,
    *,
    average: bool | None = None,
    frontier: IBCurve | None = None,
) -> Path:
    """Write one self-contained HTML page about one or more runs.

    Args:
        runs: name and records of each.
        path: the page to write.
        average: whether runs of the same settings are shown as their mean, with its interval over seeds; by default,
            where their recorded seeds differ.
        frontier: the IB curve of the task's p(x, y), drawn on the planes, with each layer's distance to it.

    Returns:
        The path.

    Raises:
        BadInput: no run holds an estimate, or the page cannot be written.
        MissingExtra: the packages of the ``report`` extra are not installed.
    """
    return write_file(path, _page(runs, average, frontier).html())


def _page(runs: Sequence[tuple[str, Records]], average: bool | None, frontier: IBCurve | None = None) -> Page:
    found = measured_cases(runs, average=average)
    own = [panels([case]) for case in found]
    everything = [panel for of_case in own for panel in of_case]
    page = Page(_title(runs), _subtitle(found))
    trained = [(case, of_case) for case, of_case in zip(found, own, strict=True) if not _is_sweep(case.records)]
    for case, of_case in trained:
        page.add_case(case, of_case, everything, frontier)
    _add_charts(page, [case for case, _ in trained], [panel for _, of_case in trained for panel in of_case])
    _add_sweeps(page, [case for case in found if _is_sweep(case.records)])
    page.tables += distance_table(everything, frontier) if frontier else []
    page.tables += [
        *finals_table(everything), *flags_table(everything), *measurement_table(found), *events_table(found),
    ]  # fmt: skip
    return page


def _title(runs: Sequence[tuple[str, Records]]) -> str:
    return f"Information plane of {runs[0][0]}" if len(runs) == 1 else f"Information planes of {len(runs)} runs"


def _subtitle(found: Sequence[Case]) -> str:
    meta = found[0].records.meta
    model = [str(meta["model"])] if meta.get("model") else []
    started = [str(meta["started"]).replace("T", " ").rstrip("Z") + " UTC"] if meta.get("started") else []
    return " · ".join([*model, *started])


def _is_sweep(records: Records) -> bool:
    return len({(e.step, e.layer) for e in records}) * 2 < len({(e.step, e.layer, e.sigma) for e in records})


def _add_sweeps(page: Page, found: Sequence[Case]) -> None:
    shown = [case.records.select(headline=True) for case in found]
    specs = [(sweep(r, q), None) for r in shown for q in ("I_XT", "I_TY") if r.select(quantity=q)]
    text = "What falls with σ is what can be told apart at that resolution; compare layers at one σ only."
    page.add_section("At every noise size", text, specs)


def _add_charts(page: Page, found: Sequence[Case], everything: Sequence[Panel]) -> None:
    moving = [p for p in everything if len(p.steps) > 1]
    both: tuple[Literal["I_XT", "I_TY"], ...] = ("I_XT", "I_TY")
    page.add_section(
        "Against the training step",
        "Bands are 95 % intervals; colour is depth here, from the input to the output.",
        [(lines(p, q, beside=moving), p) for p in moving for q in both if q == "I_XT" or p.ty]
        + [(s, None) for s in _curves(found)],
    )
    page.add_section(
        "Compression",
        "Peak minus final value of I(X; T+ε) at this noise: how many fewer inputs the layer tells apart. Where rows"
        " and noise were the same at both steps the interval is paired, and holds for all earlier steps at once.",
        [(compression(same), None) for same in together(moving)],
    )
    page.add_section(
        "Critics beside brackets",
        "A critic is a lower bound: within the bar or left of it is healthy, right of it is a fault.",
        [(spec, None) for p in everything for q in both if (spec := critics(p, q))],
    )


def _curves(found: Sequence[Case]) -> list[Spec]:
    made = []
    for case in found:
        names = dict.fromkeys(name for entry in case.records.logged for name in entry.values)
        made += [curves(case.records.logged, name, f"{name} · {case.name}") for name in names]
    return made

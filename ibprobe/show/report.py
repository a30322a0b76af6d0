"""The report: verdict and planes first, then lines, final values, and how all of it was measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.record.records import Records
from ibprobe.show.cases import Case, cases
from ibprobe.show.lines import curves, lines
from ibprobe.show.page import Page
from ibprobe.show.panels import Panel, comparable, panels
from ibprobe.show.plane import plane
from ibprobe.show.summaries import compression, critics, sweep
from ibprobe.show.tables import events_table, finals_table, flags_table, measurement_table
from ibprobe.show.theme import Look, Spec, themed

Runs = Sequence[tuple[str, Records]]


def write_report(runs: Runs, path: str | Path, *, average: bool = True) -> Path:
    """Write one self-contained HTML page about one or more runs.

    Args:
        runs: name and records of each.
        path: the page to write.
        average: whether runs that differ by their seed only are shown as their mean, with its interval over seeds.

    Returns:
        The path.

    Raises:
        BadInput: no run holds an estimate, or the page cannot be written.
        MissingExtra: the packages of the ``report`` extra are not installed.
    """
    page = _page(runs, average).html()
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    except OSError as e:
        raise BadInput(f"cannot write {target}: {e}") from e
    return target


def _page(runs: Runs, average: bool) -> Page:
    found = _cases(runs, average)
    own = [panels([case]) for case in found]
    everything = [panel for of_case in own for panel in of_case]
    page = Page(_title(runs), _subtitle(found))
    if any(_is_sweep(case.records) for case in found):
        _add_sweeps(page, found)
    else:
        for case, of_case in zip(found, own, strict=True):
            page.add_case(case.name, of_case, everything)
        _add_charts(page, found, everything)
    page.tables += [
        *finals_table(everything), *flags_table(everything), *measurement_table(found), *events_table(found),
    ]  # fmt: skip
    return page


def _cases(runs: Runs, average: bool) -> list[Case]:
    measured = [(name, records) for name, records in runs if len(records)]
    if not measured:
        why = "; ".join(dict.fromkeys(str(e) for _, records in runs for e in records.events)) or "nothing was recorded"
        raise BadInput(f"there is nothing to show, for no run holds an estimate: {why}")
    return cases(measured, average=average)


def _title(runs: Runs) -> str:
    return f"Information plane of {runs[0][0]}" if len(runs) == 1 else f"Information planes of {len(runs)} runs"


def _subtitle(found: Sequence[Case]) -> str:
    meta = found[0].records.meta
    model = [str(meta["model"])] if meta.get("model") else []
    started = [str(meta["started"]).replace("T", " ").rstrip("Z") + " UTC"] if meta.get("started") else []
    return " · ".join([*model, *started])


def _is_sweep(records: Records) -> bool:
    return len({(e.step, e.layer) for e in records}) * 2 < len({(e.step, e.layer, e.sigma) for e in records})


def _add_sweeps(page: Page, found: Sequence[Case]) -> None:
    specs = [(sweep(c.records, q), None) for c in found for q in ("I_XT", "I_TY") if c.records.select(quantity=q)]
    text = "What falls with σ is what can be told apart at that resolution; compare layers at one σ only."
    page.add_section("At every noise size", text, specs)


def _add_charts(page: Page, found: Sequence[Case], everything: Sequence[Panel]) -> None:
    moving = [p for p in everything if len(p.steps) > 1]
    both: tuple[Literal["I_XT", "I_TY"], ...] = ("I_XT", "I_TY")
    page.add_section(
        "Against the training step",
        "Bands are 95 % intervals; colour runs from the input (early) to the output (late).",
        [(lines(p, q, beside=moving), p) for p in moving for q in both if q == "I_XT" or p.ty]
        + [(s, None) for s in _curves(found)],
    )
    page.add_section(
        "Compression",
        "Peak minus final value of I(X; T+ε) at this noise: how many fewer inputs the layer tells apart. The interval"
        " is paired where rows and noise were the same at both steps, and holds for all earlier steps at once.",
        [(compression(same), None) for same in _comparable(moving)],
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


def _comparable(found: Sequence[Panel]) -> list[list[Panel]]:
    groups: list[list[Panel]] = []
    for panel in found:
        group = next((g for g in groups if panel in comparable(g[0], [panel])), None)
        if group is None:
            groups.append([panel])
        else:
            group.append(panel)
    return groups


def pictures(runs: Runs, *, average: bool = True) -> dict[str, Spec]:
    """The planes, lines and compression of runs by file name, as specifications that stand alone."""
    found = _cases(runs, average)
    everything = panels(found)
    made: dict[str, Spec] = {}
    for number, panel in enumerate(everything):
        name = f"{number + 1}-{panel.split}" if len(everything) > 1 else panel.split
        if panel.ty:
            made[f"plane-{name}"] = plane(panel, beside=everything)
        if len(panel.steps) > 1:
            made[f"input-{name}"] = lines(panel, "I_XT", beside=everything)
            made |= {f"target-{name}": lines(panel, "I_TY", beside=everything)} if panel.ty else {}
    moving = [p for p in everything if len(p.steps) > 1]
    for number, group in enumerate(_comparable(moving)):
        made["compression" + (f"-{number + 1}" if number else "")] = compression(group)
    return made


def save_pictures(
    runs: Runs, folder: str | Path, kind: Literal["png", "svg"], *, look: Look = "light", average: bool = True
) -> list[Path]:
    """Write every picture of the report as a file.

    Args:
        runs: name and records of each.
        folder: where; it is created.
        kind: ``png`` (twice the resolution of a screen) or ``svg``.
        look: ``light`` or ``dark``.
        average: as for :func:`write_report`.

    Raises:
        BadInput: no run holds an estimate.
        MissingExtra: vl-convert-python is not installed.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for name, spec in pictures(runs, average=average).items():
        path = target / f"{name}.{kind}"
        path.write_bytes(rendered(themed(spec, look), kind))
        written.append(path)
    return written


def rendered(spec: Mapping[str, Any], kind: Literal["png", "svg"]) -> bytes:
    """A picture of a specification, drawn without a browser."""
    try:
        import vl_convert
    except ImportError as e:
        raise MissingExtra("drawing pictures", "vl-convert-python", "report") from e
    text = json.dumps(spec)
    if kind == "svg":
        return bytes(vl_convert.vegalite_to_svg(text).encode())
    return bytes(vl_convert.vegalite_to_png(text, scale=2))

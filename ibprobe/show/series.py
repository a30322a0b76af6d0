"""The sections of the report that are charts: against the step, falls, critics, noise sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ibprobe.record.records import Records
from ibprobe.show.cases import Case
from ibprobe.show.lines import curves, lines
from ibprobe.show.panels import Panel, together
from ibprobe.show.section import Chart, Section, Shown
from ibprobe.show.summaries import compression, critics, sweep
from ibprobe.show.theme import Spec

_BOTH: tuple[Literal["I_XT", "I_TY"], ...] = ("I_XT", "I_TY")


def along_steps(shown: Shown) -> Section | None:
    """Both coordinates of every layer against the training step, and the user's own curves."""
    moving = _moving(shown)
    charts = [Chart(lines(p, q, beside=moving), p) for p in moving for q in _BOTH if q == "I_XT" or p.ty]
    charts += [Chart(spec) for spec in _own_curves([case for case in shown.cases if not is_sweep(case.records)])]
    text = "Bands are 95 % intervals; colour is depth here, from the input to the output."
    return Section("Against the training step", text, charts) if charts else None


def compressed(shown: Shown) -> Section | None:
    """How far each layer's I(X;T̃) fell from its peak."""
    text = (
        "Peak minus final value of I(X; T+ε) at this noise: how many fewer inputs the layer tells apart. Where rows"
        " and noise were the same at both steps the interval is paired, and holds for all earlier steps at once."
    )
    charts = [Chart(compression(same)) for same in together(_moving(shown))]
    return Section("Compression", text, charts) if charts else None


def critics_beside(shown: Shown) -> Section | None:
    """Critics beside the brackets of the same rows."""
    text = "A critic is a lower bound: within the bar or left of it is healthy, right of it is a fault."
    charts = [Chart(spec) for p in _trained(shown) for q in _BOTH if (spec := critics(p, q))]
    return Section("Critics beside brackets", text, charts) if charts else None


def at_every_noise(shown: Shown) -> Section | None:
    """Sweeps over the size of the noise."""
    found = [case.records.select(headline=True) for case in shown.cases if is_sweep(case.records)]
    charts = [Chart(sweep(records, q)) for records in found for q in _BOTH if records.select(quantity=q)]
    text = "What falls with σ is what can be told apart at that resolution; compare layers at one σ only."
    return Section("At every noise size", text, charts) if charts else None


def is_sweep(records: Records) -> bool:
    """Whether the records are of many noise sizes rather than of many steps."""
    return len({(e.step, e.layer) for e in records}) * 2 < len({(e.step, e.layer, e.sigma) for e in records})


def _trained(shown: Shown) -> list[Panel]:
    sweeps = {case.name for case in shown.cases if is_sweep(case.records)}
    return [panel for panel in shown.panels if panel.case not in sweeps]


def _moving(shown: Shown) -> list[Panel]:
    return [panel for panel in _trained(shown) if len(panel.steps) > 1]


def _own_curves(found: Sequence[Case]) -> list[Spec]:
    made = []
    for case in found:
        names = dict.fromkeys(name for entry in case.records.logged for name in entry.values)
        made += [curves(case.records.logged, name, f"{name} · {case.name}") for name in names]
    return made

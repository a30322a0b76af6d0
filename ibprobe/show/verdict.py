"""The verdict in words: what fitted, what compressed and by how much, what not to trust, and what cannot be said."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ibprobe.record.flags import FLAGS
from ibprobe.record.records import SYMBOLS, Estimate, Event
from ibprobe.show.changes import TELLING, Change, changes
from ibprobe.show.panels import ROWS, Panel, few, shown_name

_NAMES = 4
"""So many layers are named in a sentence."""
_OF_LAYERS = {"collapsed", "constant", "low_rank", "dead_units", "memorises"}
"""Flags that say something about the layer, not about how well it was measured."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Sentences by what they are about; none where there is nothing to say."""

    fitted: tuple[str, ...]
    compressed: tuple[str, ...]
    layers: tuple[str, ...]
    """Layers that collapsed, memorise, or keep little of their width."""
    doubtful: tuple[str, ...]
    """Which numbers not to trust, and why."""
    unknown: tuple[str, ...]
    """What cannot be said, and why."""

    def __str__(self) -> str:
        parts = {
            "Fitted": self.fitted, "Compressed": self.compressed, "Look at": self.layers,
            "Not to trust": self.doubtful, "Cannot be said": self.unknown,
        }  # fmt: skip
        return "\n".join(f"{name}: {text}" for name, texts in parts.items() for text in texts)


def verdict(panels: Sequence[Panel], events: Sequence[Event]) -> Verdict:
    """Read the panels of one case.

    Args:
        panels: one a split and channel.
        events: what happened to the measuring.
    """
    return Verdict(
        tuple(text for p in panels for text in _fitted(p)),
        (*(text for p in panels for text in _compressed(p)), *_held(panels)),
        tuple(_flagged(panels, about_layers=True)),
        (*_flagged(panels, about_layers=False), *_flagged_before(panels)),
        (*_unknown(panels), *_missing(events)),
    )


def _on(panel: Panel) -> str:
    return f"on {_rows(panel)}"


def _rows(panel: Panel) -> str:
    """What tells the panel from the others of its case."""
    rows = ROWS.get(panel.split, panel.split)
    return f"{rows} ({panel.channel})" if panel.channel else rows


def _fitted(panel: Panel) -> list[str]:
    """What the last layer that has it tells of the target, at the end and at the start."""
    of = [e for e in panel.ty if e.layer == panel.ty[-1].layer and math.isfinite(e.nats)]
    if not of:
        return []
    name = of[0].layer
    first, last = of[0], of[-1]
    told = f"{shown_name(name)} keeps {last.nats:.2f} of {last.ceiling:.2f} nats of the target {_on(panel)}"
    if last.ceiling_name != "H(Y)":
        told = f"{shown_name(name)} keeps {last.nats:.2f} nats of the target {_on(panel)}"
    if len(of) == 1:
        return [f"{told}."]
    if last.ci_low > first.ci_high:
        return [f"{told}, up from {first.nats:.2f} at step {first.step}."]
    if last.ci_high < first.ci_low:
        return [f"{told}, down from {first.nats:.2f} at step {first.step}."]
    return [f"{told}; that is not told apart from {first.nats:.2f} at step {first.step}."]


def _compressed(panel: Panel) -> list[str]:
    most = sorted(_changed(panel, "compressed"), key=lambda c: -c.nats)
    if not most:
        return []
    rest = f"; {few((f'{c.layer} by {_by(c)}' for c in most[1:]), _NAMES)}" if len(most) > 1 else ""
    return [f"{_count(most, panel)} {_on(panel)}, with 95 % intervals: {_fell(most[0])}{rest}."]


def _changed(panel: Panel, verdict: str) -> list[Change]:
    return [c for c in changes(panel, "I_XT").values() if c.verdict == verdict]


def _held(panels: Sequence[Panel]) -> list[str]:
    found = [(few((c.layer for c in held), _NAMES), panel) for panel in panels if (held := _changed(panel, "held"))]
    return [f"{names} did not compress {on} (by less than {TELLING:g} nats)." for names, on in _together(found)]


def _together(found: Iterable[tuple[str, Panel]]) -> list[tuple[str, str]]:
    """The same thing on several sets of rows is said once."""
    by: dict[str, list[str]] = defaultdict(list)
    for text, panel in found:
        by[text].append(_rows(panel))
    return [(text, f"on {' and '.join(rows)}") for text, rows in by.items()]


def _fell(change: Change) -> str:
    since = "its value at step 0" if change.since == 0 else f"its peak at step {change.since}"
    lowest = f" (lowest: {change.rose[0]:.2f} at step {change.rose[1]})" if change.rose else ""
    return f"{change.layer} fell most, by {_by(change, ' nats')} from {since} to {change.final:.2f}{lowest}"


def _by(change: Change, unit: str = "") -> str:
    """A fall with its interval, and with the doubts about the two values that it lies between."""
    doubts = [flag for flag in change.flags if flag not in _OF_LAYERS]
    flagged = f" (flagged {', '.join(doubts)})" if doubts else ""
    return f"{change.nats:.2f}{unit} [{change.low:.2f}, {change.high:.2f}]{flagged}"


def _count(found: Sequence[Change], panel: Panel) -> str:
    whole = len(panel.layers)
    return f"All {whole} layers" if len(found) == whole > 1 else f"{len(found)} of {whole} layers"


def _flagged(panels: Sequence[Panel], *, about_layers: bool) -> list[str]:
    """Flags of the last values, each with its layers: those about the layers, or those about the numbers."""
    found = [(f"{whose} ({flag})", panel) for panel in panels for flag, whose in _by_flag(panel, about_layers)]
    told = _together(sorted(found, key=lambda item: item[0]))
    return [f"{whose}{f' {on}' if len(panels) > 1 else ''}: {_meaning(whose)}" for whose, on in told]


def _flagged_before(panels: Sequence[Panel]) -> list[str]:
    """Doubts about numbers that had passed by the last step."""
    found = [(text, panel) for panel in panels for text in _passed(panel)]
    told = _together(sorted(found, key=lambda item: item[0]))
    return [f"earlier, {text}{f' {on}' if len(panels) > 1 else ''}: {_meaning(text)}" for text, on in told]


def _passed(panel: Panel) -> list[str]:
    last: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for e in (*panel.xt, *panel.ty):
        for flag in e.flags - _OF_LAYERS:
            last[flag, SYMBOLS[e.quantity]][shown_name(e.layer)] = e.step
    passed = {k: {n: s for n, s in of.items() if s < panel.steps[-1]} for k, of in last.items()}
    return [
        f"{symbol} of {few((f'{name} until step {step}' for name, step in of.items()), _NAMES)} ({flag})"
        for (flag, symbol), of in passed.items()
        if of
    ]


def _meaning(whose: str) -> str:
    flag = FLAGS.get(whose.rpartition("(")[2].rstrip(")"))
    return flag.meaning if flag else "a flag of a plugin, which ibprobe cannot explain."


def _by_flag(panel: Panel, about_layers: bool) -> list[tuple[str, str]]:
    last = {(e.layer, e.quantity): e for e in panel.records if e.headline}
    by: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for e in last.values():
        for flag in e.flags:
            if (flag in _OF_LAYERS) == about_layers and (about_layers or e.quantity in ("I_XT", "I_TY")):
                by[flag][shown_name(e.layer)].append(SYMBOLS[e.quantity])
    return [(flag, _whose(layers, panel, about_layers)) for flag, layers in by.items()]


def _whose(layers: Mapping[str, Sequence[str]], panel: Panel, about_layers: bool) -> str:
    whose = "all layers" if len(layers) == len(panel.layers) > 1 else few(layers, _NAMES)
    symbols = sorted({symbol for of in layers.values() for symbol in of})
    return whose if about_layers else f"{' and '.join(symbols)} of {whose}"


def _unknown(panels: Sequence[Panel]) -> list[str]:
    said: list[str] = []
    for panel in panels:
        undecided = _changed(panel, "not decided")
        if undecided:
            shown = few((f"{c.layer} ({_by(c)})" for c in undecided), _NAMES)
            said.append(
                f"whether these compressed {_on(panel)}, for the interval of the fall spans {TELLING:g}: {shown}."
            )
        if len(panel.steps) == 1:
            said.append(f"what changed {_on(panel)}: there is one snapshot, at step {panel.steps[0]}.")
        said += _one_sided(panel)
    if not panels:
        said.append("where the layers stand: no headline value of I(X;T̃) was recorded.")
    if panels and all(p.split == "train" for p in panels):
        said.append("whether any of this holds for new rows: no held-out rows were measured (probe_set=).")
    return said


def _one_sided(panel: Panel) -> list[str]:
    last: dict[str, Estimate] = {shown_name(e.layer): e for e in panel.xt}
    names = [name for name, e in last.items() if e.bound == "upper end"]
    if not names:
        return []
    return [f"how much of the input {few(names, _NAMES)} keeps {_on(panel)}: there is only an upper end (≤)."]


def _missing(events: Iterable[Event]) -> list[str]:
    """What was not measured, and what stopped, each reason once."""
    by: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for e in events:
        if e.kind in ("not_measured", *_STOPPED):
            names = by[(e.kind, e.quantity, e.why)]
            names += [shown_name(e.layer)] if e.layer and shown_name(e.layer) not in names else []
    said = []
    for (kind, quantity, why), layers in by.items():
        whose = f" of {few(layers, _NAMES)}" if layers else ""
        what = SYMBOLS.get(quantity, quantity) or "anything"
        said.append(f"{what}{whose}, not measured: {why}." if kind == "not_measured" else f"{_STOPPED[kind]}: {why}.")
    return said


_STOPPED = {
    "disarmed": "what came after the probe was disarmed",
    "skipped": "what happened between snapshots",
    "note": "what was left out",
}

"""The tables below the charts: final values, flags explained, how it was measured, what was left out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from ibprobe.record.flags import FLAGS, Flag
from ibprobe.record.records import SYMBOLS, Estimate, Event, Records
from ibprobe.show.cases import Case
from ibprobe.show.panels import Panel, few, shown_name
from ibprobe.show.section import Cell, Line, Table

_QUANTITIES = ("I_XT", "I_TY")
_MEANING = {
    "model": "model", "layers": "layers measured", "mode": "how rows were gathered", "rows": "rows asked for",
    "target": "what the rows stand for", "view": "view of a layer's output", "noise": "noise", "sigma": "σ",
    "sigmas": "σ, all sizes", "draws": "noise draws", "estimator": "estimator", "passes": "forward passes",
    "train_mode": "dropout draws as in training", "every": "schedule", "budget": "budget", "seed": "seed",
    "started": "started", "ibprobe": "ibprobe", "torch": "torch", "python": "Python",
}  # fmt: skip


def finals_table(panels: Sequence[Panel]) -> list[Table]:
    """The last value of every layer, with bracket, interval, fall and flags."""
    beside = sorted({e.estimator for p in panels for e in p.records if not e.headline and e.quantity in _QUANTITIES})
    several = len({p.title for p in panels}) > 1
    head = ["layer", *(["of"] if several else []), "step"]
    for quantity in _QUANTITIES:
        head += [SYMBOLS[quantity], "bracket", "95 % interval", *beside]
    rows = tuple(
        Line((_text(name), *[_text(panel.title)] * several, *_finals(panel, name, beside)), _flags(panel, name) != "")
        for panel in panels
        for name in panel.layers
    )
    text = "Nats; ◦ marks rows with flags, explained below. Point at a number for all its digits."
    return [Table("finals", "Final values", (*head, "fell by", "flags"), rows, text)]


def _finals(panel: Panel, name: str, beside: Sequence[str]) -> list[Cell]:
    own = [e for e in panel.records if shown_name(e.layer) == name]
    last: dict[tuple[str, str], Estimate] = {(e.quantity, e.estimator): e for e in own}
    headline: dict[str, Estimate] = {e.quantity: e for e in own if e.headline}
    cells = [_text(str(headline["I_XT"].step))]
    for quantity in _QUANTITIES:
        e = headline.get(quantity)
        cells += [_value(e), _bracket(last.get((quantity, "channel"), e)), _interval(e)]
        cells += [_value(last.get((quantity, other)), headline["I_XT"].step) for other in beside]
    return [*cells, _fall(headline["I_XT"]), _text(_flags(panel, name))]


def _flags(panel: Panel, name: str) -> str:
    last = {e.quantity: e for e in (*panel.xt, *panel.ty) if shown_name(e.layer) == name}
    return ", ".join(sorted(set().union(*(e.flags for e in last.values()))))


def _text(text: str) -> Cell:
    return Cell(text)


def _number(text: str, *exactly: float | None) -> Cell:
    return Cell(text, number=True, title=", ".join(repr(v) for v in exactly))


def _value(e: Estimate | None, step: int | None = None) -> Cell:
    """A value, with its step where that is not the row's: critics are not trained at every snapshot."""
    if e is None:
        return _number("–")
    earlier = "" if step in (None, e.step) else f" at {e.step}"
    return _number(f"{'≤ ' if e.bound == 'upper end' else ''}{e.nats:.3f}{earlier}", e.nats)


def _bracket(e: Estimate | None) -> Cell:
    if e is None or e.bracket_high is None:
        return _number("–")
    low = "–" if e.bracket_low is None else f"{e.bracket_low:.3f}"
    return _number(f"[{low}, {e.bracket_high:.3f}]", e.bracket_low, e.bracket_high)


def _interval(e: Estimate | None) -> Cell:
    return _number("–") if e is None else _number(f"[{e.ci_low:.3f}, {e.ci_high:.3f}]", e.ci_low, e.ci_high)


def _fall(e: Estimate) -> Cell:
    if e.fall is None:
        return _number("–")
    if e.fall_low is None or e.fall_high is None:
        return _number(f"{e.fall:.3f}", e.fall)
    return _number(f"{e.fall:.3f} [{e.fall_low:.3f}, {e.fall_high:.3f}]", e.fall, e.fall_low, e.fall_high)


def flags_table(panels: Sequence[Panel]) -> list[Table]:
    """Every flag that occurs: where, what it means, what to do."""
    where: dict[str, set[str]] = defaultdict(set)
    for e in (e for panel in panels for e in panel.records):
        for flag in e.flags:
            where[flag].add(shown_name(e.layer))
    known = {name: FLAGS.get(name, _OF_A_PLUGIN) for name in [*FLAGS, *sorted(where.keys() - FLAGS.keys())]}
    rows = [
        Line(tuple(map(_text, (name, few(sorted(where[name]), 6), flag.meaning, flag.cause, flag.action, flag.line))))
        for name, flag in known.items()
        if name in where
    ]
    head = ("flag", "layers, at some step", "what it means", "why", "what to do", "where the line is")
    return [Table("flags", "Flags explained", head, tuple(rows))] if rows else []


_OF_A_PLUGIN = Flag("A flag of a plugin, which ibprobe cannot explain.", "–", "Ask the plugin.")


def measurement_table(found: Sequence[Case]) -> list[Table]:
    """Channel, rows, cost, versions and the user's config, one column a case."""
    columns = [_measurement(case) for case in found]
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [Line((_text(name), *(_text(column.get(name, "–")) for column in columns))) for name in names]
    return [Table("measurement", "How it was measured", ("", *(case.name for case in found)), tuple(rows))]


def _measurement(case: Case) -> dict[str, str]:
    meta, config = case.records.meta, dict(case.records.meta.get("config") or {})
    said = {_MEANING[k]: _plain(meta[k]) for k in _MEANING if meta.get(k) is not None}
    said |= _views(case.records)
    if case.seeds > 1:
        # What is each run's own would pass for that of all.
        said = {k: v for k, v in said.items() if k not in ("seed", "started")}
        config = {k: v for k, v in config.items() if "seed" not in k.lower()}
        said["runs averaged"] = ", ".join(case.runs)
    else:
        said |= _cost(case.records)
    return said | {f"config: {k}": _plain(v) for k, v in config.items()}


def _views(records: Records) -> dict[str, str]:
    """What the view that was asked for came to; layers where there are several."""
    found: dict[str, set[str]] = defaultdict(set)
    for e in records:
        found[e.view].add(shown_name(e.layer))
    if not found or records.meta.get("view") is None:
        return {}
    each = [f"{view} ({few(sorted(layers), 6)})" if len(found) > 1 else view for view, layers in found.items()]
    return {_MEANING["view"]: f"{_plain(records.meta['view'])}: {', '.join(each)}"}


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return few(map(str, value), 12) + f" ({len(value)})" * (len(value) > 12)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _cost(records: Records) -> dict[str, str]:
    """What the probe says it cost, and the seconds of its estimates by estimator."""
    lines = [e.why for e in records.events if e.kind == "cost"]
    seconds: dict[str, float] = defaultdict(float)
    for e in records:
        seconds[e.estimator] += e.seconds
    said = ", ".join(f"{name} {total:.1f} s" for name, total in seconds.items())
    return {"cost of the probe": lines[-1] if lines else "not recorded", "seconds by estimator": said}


def events_table(found: Sequence[Case]) -> list[Table]:
    """What was left out, alerts and notes; the same thing at several steps is one line."""
    by: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for case in found:
        for e in case.records.events:
            if e.kind != "cost":
                by[_said(case, e, several=len(found) > 1)].append(e.step)
    rows = [Line((*map(_text, key), _text(_steps(steps)))) for key, steps in by.items()]
    text = "Nothing is silently absent: what could not be measured, what did not fit the budget, what an alert said."
    return (
        [Table("events", "What was left out, and why", ("what", "of", "why", "at steps"), tuple(rows), text)]
        if rows
        else []
    )


def _said(case: Case, e: Event, *, several: bool) -> tuple[str, ...]:
    parts = (
        case.name if several else "",
        shown_name(e.layer) if e.layer else "",
        SYMBOLS.get(e.quantity, e.quantity),
        e.split,
    )
    return (e.kind.replace("_", " "), " ".join(filter(None, parts)), e.why)


def _steps(steps: Sequence[int]) -> str:
    distinct = sorted(set(steps))
    return str(distinct[0]) if len(distinct) == 1 else f"{distinct[0]} … {distinct[-1]} ({len(distinct)}×)"

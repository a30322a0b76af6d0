"""Cases to panels: what may share one pair of axes, as plain rows that a chart can draw."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from ibprobe.record.flags import FLAGS
from ibprobe.record.records import Estimate, Records
from ibprobe.record.rundir import plain
from ibprobe.show.cases import Case

Row = dict[str, Any]

_SHARED = {"step", "layer", "quantity", "split", "headline"}
FIELDS = tuple(f.name for f in fields(Estimate) if f.name not in _SHARED)
"""What a row holds of each of its two records, as ``xt_<field>`` and ``ty_<field>``."""
ROWS = {"train": "training rows", "held_out": "held-out rows", "probe_set": "the probe set", "all": "the rows given"}
"""What a split is called."""


@dataclass(frozen=True)
class Panel:
    """Headline values of one case, one split and one channel: they may share an axis."""

    case: str
    split: str
    seeds: int
    xt: tuple[Estimate, ...]
    ty: tuple[Estimate, ...]
    records: Records
    """All records of the case, split and channel."""
    channel: str = ""
    """The channel in words, where the case has several."""

    @property
    def title(self) -> str:
        """What tells it from the other panels."""
        rows = "" if self.split == "all" else ROWS.get(self.split, self.split)
        return " · ".join(filter(None, (self.case, rows, self.channel)))

    @cached_property
    def layers(self) -> list[str]:
        """Names in forward order; the module that is the whole model is called so."""
        return list(dict.fromkeys(shown_name(e.layer) for e in self.xt))

    @cached_property
    def steps(self) -> list[int]:
        """Measured steps."""
        return sorted({e.step for e in self.xt})

    @cached_property
    def rows(self) -> list[Row]:
        """One row a layer and step: both of its records as ``xt_nats``, ``ty_nats`` and so on, and a code's rate."""
        beside, rates = {(e.layer, e.step): e for e in self.ty}, self.rates
        order = {name: number for number, name in enumerate(self.layers)}
        snapshot = {step: number for number, step in enumerate(self.steps)}
        return [
            {
                "layer": shown_name(e.layer), "order": order[shown_name(e.layer)], "step": e.step,
                "snapshot": snapshot[e.step], **_point(e, beside.get((e.layer, e.step))),
                **({"rate": rates.get((e.layer, e.step))} if rates else {}),
            }
            for e in sorted(self.xt, key=lambda e: (order[shown_name(e.layer)], e.step))
        ]  # fmt: skip

    @property
    def rates(self) -> dict[tuple[str, int], float]:
        """Upper bounds on I(X;Z) of layers that draw codes and have a marginal, by layer and step."""
        own = self.records.select(estimator="rate")
        return {(e.layer, e.step): e.nats for e in own if math.isfinite(e.nats)}

    def ceiling(self, quantity: str) -> tuple[float, str] | None:
        """The largest upper limit of a coordinate, and its name."""
        limits = [(e.ceiling, e.ceiling_name) for e in (self.xt if quantity == "I_XT" else self.ty)]
        return max(limits, default=None)

    def axis(self, quantity: str) -> str:
        """Quantity, unit and channel, as an axis says them."""
        own = self.xt if quantity == "I_XT" else self.ty
        rows = sorted({e.rows for e in own or self.xt})
        n = f"{rows[0]:,}" if len(rows) == 1 else f"{rows[0]:,}–{rows[-1]:,}"
        t = "T+ε" if self.xt[0].sigma else "T"
        return f"{f'I(X; {t})' if quantity == 'I_XT' else f'I({t}; Y)'}, nats, {noise_of(self.xt[0])}, N = {n}"


def noise_of(e: Estimate) -> str:
    """The noise in words."""
    if e.noise == "own":
        return "its own noise"
    return f"{e.noise.replace('_', ' ')} σ = {e.sigma:g}" if e.sigma else "no noise"


def shown_name(layer: str) -> str:
    """A layer's name; the whole model has none of its own."""
    return layer or "(model)"


def few(names: Iterable[str], most: int) -> str:
    """The first of them, and how many more there are."""
    shown = list(names)
    more = len(shown) - most
    return ", ".join(shown[:most]) + (f" and {more} more" if more > 0 else "")


def panels(cases: Sequence[Case]) -> list[Panel]:
    """One panel a case, split and channel, in the order of the records.

    Values of different noise, σ or origin of rows are different quantities and never share a panel; those of different
    views share no axes with another panel (:func:`comparable`).
    """
    return [panel for case in cases for panel in _panels(case)]


def _panels(case: Case) -> list[Panel]:
    found: dict[tuple[Any, ...], list[Estimate]] = defaultdict(list)
    for e in case.records:
        found[(e.split, e.mode, e.target, e.noise, e.sigma)].append(e)
    several = len({key[1:] for key in found}) > 1
    made = []
    for key, of in found.items():
        xt, ty = (tuple(e for e in of if e.headline and e.quantity == q) for q in ("I_XT", "I_TY"))
        if xt:
            records = Records(tuple(of), case.records.events, case.records.meta, case.records.logged)
            channel = f"{noise_of(xt[0])}, {key[1]}, {key[2].replace('_', ' ')}" if several else ""
            made.append(Panel(case.name, key[0], case.seeds, xt, ty, records, channel))
    return made


def comparable(panel: Panel, others: Sequence[Panel]) -> list[Panel]:
    """Those of the others whose values mean the same: same channel, and the same view of every layer they share."""
    return [p for p in others if _channel(p) == _channel(panel) and _same_views(p, panel)]


def together(found: Sequence[Panel]) -> list[list[Panel]]:
    """Panels in groups that may share an axis."""
    groups: list[list[Panel]] = []
    for panel in found:
        group = next((g for g in groups if panel in comparable(g[0], [panel])), None)
        if group is None:
            groups.append([panel])
        else:
            group.append(panel)
    return groups


def _channel(panel: Panel) -> tuple[Any, ...]:
    e = panel.xt[0]
    return (e.noise, e.sigma, e.target, e.mode)


def _same_views(a: Panel, b: Panel) -> bool:
    views = {e.layer: e.view for e in a.xt}
    return all(views.get(e.layer, e.view) == e.view for e in b.xt)


def _point(xt: Estimate, ty: Estimate | None) -> Row:
    flags = xt.flags | (ty.flags if ty else frozenset())
    row: Row = {"flagged": bool(flags), "flags": ", ".join(sorted(flags)), "advice": " ".join(advice(flags))}
    for name, e in (("xt", xt), ("ty", ty)):
        row |= {f"{name}_{field}": None if e is None else _flat(getattr(e, field)) for field in FIELDS}
    return row


def _flat(value: Any) -> Any:
    """One plain value: JSON holds no infinity, a column no list."""
    if isinstance(value, float):
        return value if math.isfinite(value) else plain(value)
    return ", ".join(map(str, sorted(value))) if isinstance(value, tuple | frozenset) else value


def advice(flags: frozenset[str]) -> list[str]:
    """Meaning and next action of each flag, in one sentence each; a flag of a plugin is only named."""
    known = {name: f"{name}: {FLAGS[name].meaning} {FLAGS[name].action}" for name in flags if name in FLAGS}
    return [known.get(name, name) for name in sorted(flags)]


def last_rows(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last row of each layer."""
    return list({row["layer"]: row for row in rows}.values())

"""How far each layer fell from its peak, and whether that is decided."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from ibprobe.record.records import Estimate
from ibprobe.show.panels import Panel, shown_name

TELLING = 0.1
"""Nats: a fall that is certainly larger is called compression, one that certainly is not is called none. The same line
as for a collapsed layer: a seventh of one yes-or-no question."""

Verdict = Literal["compressed", "held", "not decided"]


@dataclass(frozen=True, slots=True)
class Change:
    """From a layer's highest value to its last one."""

    layer: str
    nats: float
    low: float
    high: float
    """95 % interval of the fall."""
    since: int
    until: int
    """Steps of the peak and of the last value."""
    final: float
    """Last value, nats."""
    rose: tuple[float, int] | None
    """The lowest value since the peak, nats, and its step, where the layer has certainly risen since."""
    flags: tuple[str, ...]
    """Of the two records."""

    @property
    def verdict(self) -> Verdict:
        """Beyond the interval, or not decided."""
        if self.low > TELLING:
            return "compressed"
        return "held" if self.high < TELLING else "not decided"


def changes(panel: Panel, quantity: Literal["I_XT", "I_TY"]) -> dict[str, Change]:
    """By layer, in forward order; layers without a last value between two ends are left out."""
    found: dict[str, list[Estimate]] = {}
    for e in panel.xt if quantity == "I_XT" else panel.ty:
        if math.isfinite(e.nats):
            found.setdefault(shown_name(e.layer), []).append(e)
    made = {name: _change(name, of) for name, of in found.items() if len(of) > 1}
    return {name: change for name, change in made.items() if change}


def _change(name: str, of: list[Estimate]) -> Change | None:
    """The paired interval where the record has one, else the difference of two intervals; none at the peak itself."""
    last, peak = of[-1], max(of, key=lambda e: e.nats)
    if last.bound == "upper end":
        return None
    if last.fall is not None and last.fall_low is not None and last.fall_high is not None:
        since = peak.step if last.peak_step is None else last.peak_step
        nats, low, high = last.fall, last.fall_low, last.fall_high
    elif last is peak:
        since, nats, low, high = last.step, 0.0, 0.0, 0.0
    else:
        since, nats = peak.step, peak.nats - last.nats
        low, high = min(peak.ci_low - last.ci_high, nats), max(peak.ci_high - last.ci_low, nats)
    flags = tuple(sorted(last.flags | peak.flags))
    return Change(name, nats, low, high, since, last.step, last.nats, _trough(of, since), flags)


def _trough(of: list[Estimate], since: int) -> tuple[float, int] | None:
    lowest = min((e for e in of if e.step >= since), key=lambda e: e.nats)
    return (lowest.nats, lowest.step) if of[-1].ci_low > lowest.ci_high + TELLING else None

"""A run that was never trained: all kinds of records that a run makes, in the order in which it makes them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ibprobe.record.alerts import Alert
from ibprobe.record.records import Estimate, Event, Quantity

LAYERS = ("net.0", "net.0#2", "conv-1", "conv_1", "слой", "")
"""Names that occur: nested, called twice, told apart by a sign only, not ASCII, and the whole model."""
STEPS = (0, 1, 250, 100_000)
_DRAWS = frozenset({"stochastic"})
META: dict[str, Any] = {
    "run": "0" * 32, "model": "Net", "layers": ["net.0", "conv-1", "conv_1", "слой", ""], "mode": "replay",
    "rows": 2048, "noise": "relative", "sigma": 0.25, "draws": 4, "target": "population", "view": "auto",
    "estimator": "auto", "every": "log", "budget": 0.05, "runtime": "inline", "seed": 0,
    "config": {"lr": 1e-3, "limit": math.inf, "name": "a/b"}, "ibprobe": "0", "torch": "2", "python": "3.11",
    "started": "2026-01-01T00:00:00Z",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """What a sink is given at once: brackets of a snapshot, or its critics, or what happened."""

    estimates: tuple[Estimate, ...] = ()
    events: tuple[Event, ...] = ()
    alerts: tuple[Alert, ...] = ()


def parts(steps: Sequence[int] = STEPS) -> Iterator[Part]:
    """A run's records: brackets and critics come apart, some steps have no critics, the last words are events."""
    for number, step in enumerate(steps):
        yield Part(tuple(_brackets(step, number)), _events(step), _alerts(step) if number == 1 else ())
        if number != 2:
            yield Part(tuple(_critics(step, number)))
    yield Part()
    why = "RuntimeError: 'made up', \"quoted\"\nand on two lines"
    yield Part(events=(Event(step=steps[-1], kind="disarmed", why=why),))
    yield Part(events=(Event(step=steps[-1], kind="cost", why="measured 4 of 9 due steps: 1.0 s"),))


def headlines(steps: Sequence[int] = STEPS) -> list[Estimate]:
    """The values to show, of which no two are the same."""
    return [e for part in parts(steps) for e in part.estimates if e.headline and e.quantity in ("I_XT", "I_TY")]


def _brackets(step: int, number: int) -> Iterator[Estimate]:
    for place, layer in enumerate(LAYERS):
        for split in ("train", "held_out"):
            value = 1 + number + place / 8 + (split == "train") / 16
            e = _estimate("I_XT", value, step=step, layer=layer, split=split)
            if place == 1:  # a layer that draws random numbers: no lower end, the value is an upper one
                e = replace(
                    e, bracket_low=None, bracket_low_se=None, bound="upper end", flags=frozenset({"stochastic"})
                )
            yield replace(e, bracket_high=math.inf, ci_high=math.inf) if place == 3 else e
            yield replace(_estimate("I_TY", value / 32, step=step, layer=layer, split=split), fall=None, peak_step=None)
            yield replace(_estimate("I_XT_given_Y", value / 2, step=step, layer=layer, split=split), headline=False)


def _critics(step: int, number: int) -> Iterator[Estimate]:
    for layer in LAYERS[::2]:
        e = _estimate("I_XT", 0.9 + number, step=step, layer=layer, split="train", estimator="mine", bound="infonce")
        ends: dict[str, Any] = dict.fromkeys(("bracket_low", "bracket_low_se", "bracket_high", "bracket_high_se"))
        flags = frozenset({"critic_behind", "guard:order", "of_a_plugin"})
        yield replace(e, **ends, headline=False, ess=123.5, flags=flags)


def _estimate(quantity: Quantity, nats: float, *, step: int, layer: str, split: str, **changes: Any) -> Estimate:
    fields: dict[str, Any] = {
        "quantity": quantity, "nats": nats, "ci_low": nats - 0.02, "ci_high": nats + 0.02, "step": step,
        "lower_confidence": nats - 0.015, "bracket_low": nats - 0.01, "bracket_low_se": 0.005, "layer": layer,
        "bracket_high": nats + 0.01, "bracket_high_se": 0.005, "ceiling": 7.6, "ceiling_name": "ln(distinct rows)",
        "rows": 2048, "distinct_rows": 2048, "span": (step, step), "split": split, "mode": "replay",
        "view": "mean over tokens", "dim": 16, "noise": "relative", "sigma": 0.25, "std": 1 / 3, "estimator": "channel",
        "bound": "kernel", "effective_rank": 4.5, "dead_share": 0.0, "peak_step": 0, "fall": 0.0, "seconds": 0.01,
    }  # fmt: skip
    return Estimate(**fields | changes)


def _events(step: int) -> tuple[Event, ...]:
    missing = Event(step=step, kind="not_measured", why="no labels", layer="слой", quantity="I_TY", split="train")
    return (missing, Event(step=step, kind="skipped", why="a snapshot did not fit the budget"))


def _alerts(step: int) -> tuple[Alert, ...]:
    seen = "I(X;T̃) = 0.01 nats [0.00, 0.02]"
    return (
        Alert(step, "net.0", "train", "collapsed", seen, "Look at the layer before."),
        Alert(step, "", "", "outlier_units", "one unit holds half", 'noise="per_unit"'),
    )

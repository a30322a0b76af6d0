"""Rows of a snapshot to records: brackets for every layer, an estimator beside them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ibprobe.capture.rows import LayerRows, RowSet
from ibprobe.errors import BadInput
from ibprobe.estimate.brackets import layer_brackets
from ibprobe.estimate.channel import Channel
from ibprobe.estimate.ends import Bracket
from ibprobe.estimate.falls import Falls
from ibprobe.estimate.labels import Classes, as_classes
from ibprobe.estimate.own_noise import OwnRows, rate_bound, rows_of
from ibprobe.estimate.pairs import Estimator, Pair
from ibprobe.estimate.readings import FOLDS, folds_of, record_of, sound
from ibprobe.record.guards import check_plane
from ibprobe.record.records import Estimate, Event

_BOTH = ("I_XT", "I_TY")


class LayerEstimator:
    """Turns the rows of a snapshot into estimates; remembers each layer's headline estimator and its highest values.

    Args:
        channel: the noise that defines T̃.
        beside: an estimator to run beside the brackets, or None for brackets only.
        name: what the user calls it; records carry it.
    """

    def __init__(self, channel: Channel, beside: Estimator | None = None, name: str = "mine") -> None:
        self._channel, self._estimator, self._name = channel, beside, name
        self._headline: dict[tuple[str, str, str], str] = {}
        self._beside: dict[tuple[str, str, str], Estimate] = {}
        self._falls = Falls()

    def brackets(self, rows: RowSet) -> tuple[list[Estimate], list[Event]]:
        """Bracket both coordinates of every layer."""
        found: list[Estimate] = []
        events = [Event(step=rows.span[1], kind="not_measured", why=why, split=rows.split) for why in rows.silent]
        for layer in rows.layers:
            brackets: list[Bracket] = []
            try:
                brackets, missing = layer_brackets(layer, rows.y, self._channel)
            except BadInput as e:
                missing = [Event(step=0, kind="not_measured", layer=layer.name, why=str(e))]
            found += [self._entered(b, rows) for b in brackets]
            bound = rate_bound(layer, brackets[0].estimate) if brackets else None
            found += [] if bound is None else [self._placed(bound, rows)]
            self._beside |= {(b.estimate.layer, b.estimate.quantity, rows.split): b.estimate for b in brackets}
            events += [replace(e, step=rows.span[1], split=rows.split) for e in missing]
        return _guarded(found), events

    def critics(self, rows: RowSet) -> tuple[list[Estimate], list[Event]]:
        """Run the estimator on both coordinates of every layer, all together, and compare each with its bracket.

        Args:
            rows: those that :meth:`brackets` was called with last, for this split.
        """
        if self._estimator is None:
            return [], []
        found: list[Estimate] = []
        beside = {
            (layer.name, q): self._beside.get((layer.name, q, rows.split)) for layer in rows.layers for q in _BOTH
        }
        stacks, missing = _stacks(rows, self._channel, beside)
        for pairs, keys in stacks:
            started = time.perf_counter()
            names = {f"{rows.split}/{layer}/{quantity}": (layer, quantity) for layer, quantity in pairs}
            named = {name: pairs[place] for name, place in names.items()}
            readings = self._estimator(named, folds_of(keys), seed=self._channel.seed)
            seconds = (time.perf_counter() - started) / len(pairs)
            for name, (layer, quantity) in names.items():
                frame = beside[(layer, quantity)] or _without_bracket(self._beside[(layer, "I_XT", rows.split)])
                reading = sound(readings.get(name))
                if isinstance(reading, str):
                    missing.append((layer, quantity, reading))
                else:
                    found.append(self._placed(record_of(reading, frame, self._name, seconds), rows))
        return _guarded(found), [self._missing(rows, *place) for place in missing]

    def state_dict(self) -> dict[str, Any]:
        """What later estimates build on: each layer's highest values, and what the estimator beside has learned."""
        known = getattr(self._estimator, "state_dict", None)
        return {"falls": self._falls.state_dict(), "beside": known() if callable(known) else None}

    def load_state_dict(self, state: Mapping[str, Any], earlier: Iterable[Estimate]) -> None:
        """Go on from there.

        Args:
            state: of :meth:`state_dict`.
            earlier: the estimates of the run so far; they say which estimator is a layer's headline.
        """
        self._falls.load_state_dict(state["falls"])
        for e in earlier:
            if e.headline:
                self._headline.setdefault((e.layer, e.quantity, e.split), e.estimator)
        learn = getattr(self._estimator, "load_state_dict", None)
        if state["beside"] is not None and callable(learn):
            learn(state["beside"])

    def _entered(self, bracket: Bracket, rows: RowSet) -> Estimate:
        """A bracket as the record of a run; a finished model, which is measured once, has no course to fall in."""
        e = self._placed(bracket.estimate, rows)
        return e if rows.mode == "measure" else self._falls.entered(replace(bracket, estimate=e), rows.keys)

    def _missing(self, rows: RowSet, layer: str, quantity: str, why: str) -> Event:
        text = f"no value from {self._name}: {why}"
        return Event(step=rows.span[1], kind="not_measured", why=text, layer=layer, quantity=quantity, split=rows.split)

    def _placed(self, e: Estimate, rows: RowSet) -> Estimate:
        return replace(
            e,
            step=rows.span[1],
            span=rows.span,
            split=rows.split,
            mode=rows.mode,
            headline=self._is_headline(e, rows),
            flags=e.flags | (frozenset({"clustered_rows"}) if rows.clustered else frozenset()),
        )

    def _is_headline(self, e: Estimate, rows: RowSet) -> bool:
        """The bracket where a kernel is known, else what runs beside it; fixed at the first snapshot."""
        no_kernel = "stochastic" in e.flags and e.quantity != "I_TY"
        comes = no_kernel and self._estimator is not None and rows.x is not None
        first = self._name if e.estimator == self._name or comes else "channel"
        return self._headline.setdefault((e.layer, e.quantity, rows.split), first) == e.estimator


_Place = tuple[str, str]
_Missing = tuple[str, str, str]


def _stacks(
    rows: RowSet, channel: Channel, beside: Mapping[_Place, Estimate | None]
) -> tuple[list[tuple[dict[_Place, Pair], Tensor]], list[_Missing]]:
    """Pairs that share their rows, X with T̃ on all and Y with T̃ on labelled ones; and what is missing, and why."""
    inputs: dict[_Place, Pair] = {}
    labels: dict[_Place, Pair] = {}
    missing: list[_Missing] = []
    target = _target(rows.y)
    for layer in rows.layers:
        bracket = beside[(layer.name, "I_XT")]
        if bracket is None or "constant" in bracket.flags:
            continue  # nothing to confirm: the layer could not be measured, which is said already, or keeps nothing
        why = _unreadable(layer, bracket)
        if why:
            missing += [(layer.name, quantity, why) for quantity in _BOTH[: 1 + (target is not None)]]
            continue
        clean, t, std = _sides(layer, channel)
        # Where T is a function of x it is the sufficient view of x: I(X;T̃) = I(T;T̃).
        view = rows.x if layer.stochastic or "stale_rows" in bracket.flags else clean
        if view is None:
            missing.append((layer.name, "I_XT", "the layer is random and its inputs are no numbers"))
        else:
            inputs[(layer.name, "I_XT")] = Pair(view, t, std)
        if target is not None:
            side, kept = target
            labels[(layer.name, "I_TY")] = Pair(side.to(t.device), t[kept.to(t.device)], std)
    if target is None or bool(target[1].all()):
        stacks = [(inputs | labels, rows.keys)]
    else:
        stacks = [(inputs, rows.keys), (labels, rows.keys[target[1].cpu()])]
    return [(pairs, keys) for pairs, keys in stacks if pairs], missing


def _unreadable(layer: LayerRows, bracket: Estimate) -> str | None:
    if len(layer.t) < FOLDS * 8:
        return f"{len(layer.t)} rows, fewer than {FOLDS * 8}"
    if not bracket.std:
        return "no noise is added (sigma = 0), and I(X;T) of a function of x is infinite or a count"
    return None if bool(layer.t.isfinite().all()) else "some activations are not finite"


def _sides(layer: LayerRows, channel: Channel) -> tuple[Tensor, Tensor, float]:
    """What tells all of the layer's input, the layer itself in the units that noise is added in, and the noise."""
    noisy = rows_of(layer, channel)
    if isinstance(noisy, OwnRows):
        # Its noise differs from row to row, so a draw stands for it, with none to be added.
        return torch.cat([noisy.mean, noisy.scale], 1).float(), noisy.drawn().float(), 0.0
    if channel.noise == "per_unit":
        return noisy.clean, noisy.clean, noisy.std
    # Not centred: bins of a fixed range or width are of the layer's own values.
    t = layer.t if layer.t.dtype == torch.float64 else layer.t.float()
    return t, t, noisy.std


def _target(y: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Classes 0 … K−1 or a continuous target as it is, and the rows that have one."""
    if y is None:
        return None
    classes = as_classes(y)
    if isinstance(classes, Classes):
        return (classes.y, classes.kept) if classes.entropy > 0 else None
    if y.is_floating_point() and y.ndim <= 2:
        return y.reshape(len(y), -1).float(), torch.ones(len(y), dtype=torch.bool)
    return None


def _without_bracket(input_side: Estimate) -> Estimate:
    """The frame of I(T̃;Y) where no bracket exists: a continuous target."""
    return replace(
        input_side,
        quantity="I_TY",
        bracket_low=None,
        bracket_low_se=None,
        bracket_high=None,
        bracket_high_se=None,
    )


def _guarded(estimates: list[Estimate]) -> list[Estimate]:
    """Flag both coordinates of every point that cannot be."""
    broken = {(v.layer, f"guard:{v.rule}") for v in check_plane(estimates)}
    return [replace(e, flags=e.flags | {rule for layer, rule in broken if layer == e.layer}) for e in estimates]

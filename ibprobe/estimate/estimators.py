"""Rows of a snapshot to records: brackets for every layer, critics beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ibprobe.capture.rows import RowSet
from ibprobe.errors import BadInput
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel, noisy_rows
from ibprobe.estimate.critic.critics import fit_critics
from ibprobe.estimate.labels import Classes, as_classes
from ibprobe.estimate.pairs import Pair
from ibprobe.estimate.readings import FOLDS, folds_of, record_of
from ibprobe.record.guards import check_plane
from ibprobe.record.records import Estimate, Event

_BOTH = ("I_XT", "I_TY")
ESTIMATORS = ("auto", "channel", "mine")
"""``auto``: brackets always, critics at every few snapshots; ``channel``: brackets only; ``mine``: both always."""


class LayerEstimator:
    """Turns the rows of a snapshot into estimates; remembers which estimator is each layer's headline.

    Args:
        channel: the noise that defines T̃.
        critics: whether MINE critics may run at all.
    """

    def __init__(self, channel: Channel, critics: bool) -> None:
        self._channel, self._critics = channel, critics
        self._headline: dict[tuple[str, str, str], str] = {}
        self._beside: dict[tuple[str, str, str], Estimate] = {}

    def brackets(self, rows: RowSet) -> tuple[list[Estimate], list[Event]]:
        """Bracket both coordinates of every layer."""
        found: list[Estimate] = []
        events = [Event(step=rows.span[1], kind="not_measured", why=why, split=rows.split) for why in rows.silent]
        for layer in rows.layers:
            try:
                estimates, missing = channel_estimates(layer, rows.y, self._channel)
            except BadInput as e:
                missing = [Event(step=0, kind="not_measured", layer=layer.name, why=str(e))]
                estimates = []
            found += [self._placed(e, rows) for e in estimates]
            self._beside |= {(e.layer, e.quantity, rows.split): e for e in estimates}
            events += [replace(e, step=rows.span[1], split=rows.split) for e in missing]
        return _guarded(found), events

    def critics(self, rows: RowSet) -> tuple[list[Estimate], list[Event]]:
        """Train a critic per layer and coordinate, all together, and compare each with its bracket.

        Args:
            rows: those that :meth:`brackets` was called with last, for this split.
        """
        found: list[Estimate] = []
        beside = {
            (layer.name, q): self._beside.get((layer.name, q, rows.split)) for layer in rows.layers for q in _BOTH
        }
        stacks, events = _stacks(rows, self._channel, beside)
        for pairs, keys in stacks:
            names = list(pairs)
            readings = fit_critics([pairs[n] for n in names], folds_of(keys), seed=self._channel.seed)
            for (layer, quantity), reading in zip(names, readings, strict=True):
                base = beside[(layer, quantity)] or _without_bracket(self._beside[(layer, "I_XT", rows.split)])
                if reading.diverged:
                    events.append(_no_critic(rows, layer, quantity, "it diverged"))
                else:
                    found.append(self._placed(record_of(reading, base), rows))
        return _guarded(found), events

    def _placed(self, e: Estimate, rows: RowSet) -> Estimate:
        return replace(
            e,
            step=rows.span[1],
            span=rows.span,
            split=rows.split,
            mode=rows.mode,
            headline=self._is_headline(e, rows),
        )

    def _is_headline(self, e: Estimate, rows: RowSet) -> bool:
        """The bracket where a kernel is known, else MINE; fixed at the first snapshot."""
        no_kernel = "stochastic" in e.flags and e.quantity != "I_TY"
        first = "mine" if e.estimator == "mine" or (no_kernel and self._critics and rows.x is not None) else "channel"
        return self._headline.setdefault((e.layer, e.quantity, rows.split), first) == e.estimator


def _stacks(
    rows: RowSet, channel: Channel, beside: Mapping[tuple[str, str], Estimate | None]
) -> tuple[list[tuple[dict[tuple[str, str], Pair], Tensor]], list[Event]]:
    """Pairs that share their rows: X with T̃ on all rows, Y with T̃ on those that have a label."""
    inputs: dict[tuple[str, str], Pair] = {}
    labels: dict[tuple[str, str], Pair] = {}
    events: list[Event] = []
    target = _target_matrix(rows.y)
    for layer in rows.layers:
        bracket = beside[(layer.name, "I_XT")]
        if bracket is None or not bracket.std or len(layer.t) < FOLDS * 8:
            continue  # nothing to confirm: the layer was not measured, is constant, or has too few rows
        if not bool(layer.t.isfinite().all()):
            events.append(_no_critic(rows, layer.name, "I_XT", "some activations are not finite"))
            continue
        noisy = noisy_rows(layer.t, channel, layer.name)
        t = noisy.clean.float()
        # Where T is a function of x it is the sufficient view of x: I(X;T̃) = I(T;T̃).
        view = rows.x if bracket.flags & {"stochastic", "stale_rows"} else t
        if view is None:
            events.append(_no_critic(rows, layer.name, "I_XT", "the layer is random and its inputs are no numbers"))
        else:
            inputs[(layer.name, "I_XT")] = Pair(view, t, noisy.std)
        if target is not None:
            matrix, kept = target
            labels[(layer.name, "I_TY")] = Pair(matrix.to(t.device), t[kept.to(t.device)], noisy.std)
    if target is None or bool(target[1].all()):
        stacks = [(inputs | labels, rows.keys)]
    else:
        stacks = [(inputs, rows.keys), (labels, rows.keys[target[1].cpu()])]
    return [(pairs, keys) for pairs, keys in stacks if pairs], events


def _no_critic(rows: RowSet, layer: str, quantity: str, why: str) -> Event:
    text = f"no critic: {why}"
    return Event(step=rows.span[1], kind="not_measured", why=text, layer=layer, quantity=quantity, split=rows.split)


def _target_matrix(y: Tensor | None) -> tuple[Tensor, Tensor] | None:
    """Targets as numbers and the rows that have them: one-hot classes, or a continuous target as it is."""
    if y is None:
        return None
    classes = as_classes(y)
    if isinstance(classes, Classes):
        return (one_hot(classes.y).float(), classes.kept) if classes.entropy > 0 else None
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

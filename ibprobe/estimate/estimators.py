"""Rows to records: brackets for every layer, critics beside them, and the same for two bare arrays."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ibprobe.capture.rows import LayerRows, RowSet, first_occurrences, row_keys
from ibprobe.errors import BadInput, UnknownName
from ibprobe.estimate.brackets import FEW_ROWS, channel_estimates
from ibprobe.estimate.channel import Channel, Noise, Target, noisy_rows
from ibprobe.estimate.critics import CriticReading, Pair, fit_critics
from ibprobe.estimate.labels import Classes, as_classes
from ibprobe.record.guards import check_plane
from ibprobe.record.records import Estimate, Event

FOLDS = 2
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
        events: list[Event] = []
        for pairs, keys in _stacks(rows, self._channel):
            names = list(pairs)
            readings = fit_critics([pairs[n] for n in names], _folds(keys), seed=self._channel.seed)
            for (layer, quantity), reading in zip(names, readings, strict=True):
                known = self._beside.get((layer, quantity, rows.split))
                base = known or _without_bracket(self._beside[(layer, "I_XT", rows.split)])
                if reading.diverged:
                    why = "the critic diverged; its bracket stands"
                    lost = Event(step=rows.span[1], kind="not_measured", why=why, layer=layer, quantity=quantity)
                    events.append(replace(lost, split=rows.split))
                else:
                    found.append(self._placed(_from_critic(reading, base), rows))
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


def _stacks(rows: RowSet, channel: Channel) -> list[tuple[dict[tuple[str, str], Pair], Tensor]]:
    """Pairs that share their rows: X with T̃ on all rows, Y with T̃ on those that have a label."""
    inputs: dict[tuple[str, str], Pair] = {}
    labels: dict[tuple[str, str], Pair] = {}
    target = _target_matrix(rows.y)
    for layer in rows.layers:
        if len(layer.t) < FOLDS * 8 or not bool(layer.t.isfinite().all()):
            continue
        noisy = noisy_rows(layer.t, channel, layer.name)
        if not noisy.std:
            continue
        t = noisy.clean.float()
        # Where T is a function of x it is the sufficient view of x: I(X;T̃) = I(T;T̃).
        view = rows.x if layer.stochastic else t
        if view is not None:
            inputs[(layer.name, "I_XT")] = Pair(view, t, noisy.std)
        if target is not None:
            matrix, kept = target
            labels[(layer.name, "I_TY")] = Pair(matrix.to(t.device), t[kept.to(t.device)], noisy.std)
    if target is None or bool(target[1].all()):
        stacks = [(inputs | labels, rows.keys)]
    else:
        stacks = [(inputs, rows.keys), (labels, rows.keys[target[1].cpu()])]
    return [(pairs, keys) for pairs, keys in stacks if pairs]


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


def _folds(keys: Tensor) -> Tensor:
    """Fold of each row: fixed by its input, so that a critic never meets a held-out row at a later step."""
    folds = keys % FOLDS
    smallest = int(torch.bincount(folds, minlength=FOLDS).min())
    return folds if smallest >= len(keys) // (2 * FOLDS) else torch.arange(len(keys)) % FOLDS


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


def _from_critic(reading: CriticReading, bracket: Estimate) -> Estimate:
    flags = bracket.flags - {"wide_bracket", "at_ceiling", "collapsed"}
    return replace(
        bracket, nats=reading.nats, ci_low=reading.nats - 1.96 * reading.se, ci_high=reading.nats + 1.96 * reading.se,
        lower_confidence=reading.nats - 1.645 * reading.se, bracket_low=None, bracket_low_se=None, bracket_high=None,
        bracket_high_se=None, estimator="mine", bound=reading.bound, ess=reading.ess, seconds=reading.seconds,
        flags=flags | _critic_doubts(reading, bracket),
    )  # fmt: skip


def _critic_doubts(reading: CriticReading, bracket: Estimate) -> set[str]:
    flags = {"low_ess": reading.ess < 100, "over_fitted": reading.train_nats - reading.nats > 0.5}
    if bracket.bracket_low is not None and bracket.bracket_low_se is not None:
        gap = bracket.bracket_low - reading.nats
        flags["critic_behind"] = gap > 1.96 * math.hypot(reading.se, bracket.bracket_low_se)
    if bracket.bracket_high is not None and bracket.bracket_high_se is not None:
        gap = reading.nats - bracket.bracket_high
        flags["outside_bracket"] = gap > 1.96 * math.hypot(reading.se, bracket.bracket_high_se)
    return {k for k, on in flags.items() if on}


def _guarded(estimates: list[Estimate]) -> list[Estimate]:
    """Flag both coordinates of every point that cannot be."""
    broken = {(v.layer, f"guard:{v.rule}") for v in check_plane(estimates)}
    return [replace(e, flags=e.flags | {rule for layer, rule in broken if layer == e.layer}) for e in estimates]


def estimate_channel(
    t: Any,
    y: Any = None,
    *,
    sigma: float = 0.25,
    noise: Noise = "relative",
    seed: int = 0,
    target: Target = "population",
    inputs: Any = None,
) -> Estimate | tuple[Estimate, Estimate]:
    """Bracket I(T;T̃) of activations and, with labels, I(T̃;Y), from one distance matrix and without training.

    For a layer that is a function of x alone, I(T;T̃) = I(X;T̃). Rows must be distinct inputs, or the upper end is void.

    Args:
        t: activations ``(n, …)``, array or tensor; axes after the first are flattened.
        y: class labels ``(n,)``; −100 is ignored.
        sigma: noise size; see :class:`~ibprobe.estimate.channel.Channel`. 0 counts distinct rows and is flagged.
        noise: ``relative``, ``per_unit`` or ``absolute``.
        seed: of the noise.
        target: ``population``, or ``probe_set`` when these rows are all inputs there are.
        inputs: ``(n, …)`` the inputs; rows whose input repeats an earlier one are left out and counted.

    Returns:
        I(X;T̃) in nats, or with ``y`` the pair I(X;T̃), I(T̃;Y).

    Raises:
        BadInput: lengths differ, there are no rows or too many non-finite ones, or y holds no class labels.
    """
    rows, labels = as_rows(t, "t"), None if y is None else torch.as_tensor(y)
    dropped = 0
    if inputs is not None:
        kept = first_occurrences(row_keys((as_rows(inputs, "inputs"),), {}))
        dropped = len(rows) - len(kept)
        rows, labels = rows[kept], None if labels is None else labels[kept]
    found, missing = channel_estimates(LayerRows(rows, dropped=dropped), labels, Channel(noise, sigma, seed, 4, target))
    if labels is None:
        return found[0]
    if missing:
        raise BadInput(f"I(T;Y) cannot be measured: {missing[0].why}")
    return found[0], found[1]


def estimate_mi(x: Any, y: Any, *, estimator: str = "mine", seed: int = 0) -> Estimate:
    """Estimate I(X;Y) of two arrays, for which no noise is known, with a cross-fitted critic.

    The value is read on rows that the critic has not seen; it is a lower bound in expectation (see ``bound``).

    Args:
        x: ``(n,)`` or ``(n, …)``; one-dimensional integers are class labels.
        y: the same, aligned with x.
        estimator: ``mine``.
        seed: of folds' critics and their batches; the global generators are not touched.

    Returns:
        The estimate in nats.

    Raises:
        UnknownName: no such estimator.
        BadInput: lengths differ, fewer than 32 rows, or more non-finite rows than finite ones.
    """
    if estimator != "mine":
        raise UnknownName("estimator", estimator, ["mine"])
    started = time.perf_counter()
    sides = [as_rows(v, name) for v, name in ((x, "x"), (y, "y"))]
    if len(sides[0]) != len(sides[1]):
        raise BadInput(f"x has {len(sides[0])} rows, y has {len(sides[1])}: they must be aligned")
    fine = sides[0].isfinite().all(1) & sides[1].isfinite().all(1)
    n, bad = int(fine.sum()), int((~fine).sum())
    if n < 32 or bad > n:
        raise BadInput(f"{n} finite rows of {len(fine)}; a critic needs at least 32, and most of them finite")
    a, b = (s[fine] for s in sides)
    keys = row_keys((a, b), {})
    distinct = len(first_occurrences(keys))
    if distinct < n / 2:
        # Two discrete sides: equal pairs are many rows, not one row seen again, and belong in every fold.
        keys = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    reading = fit_critics([Pair(a, b)], _folds(keys), seed=seed)[0]
    if reading.diverged:
        raise BadInput("the critic diverged on this data; check for extreme values")
    ceiling, name = min([(math.log(n), "ln(rows)"), *_label_ceilings(x, "H(X)"), *_label_ceilings(y, "H(Y)")])
    base = Estimate(
        quantity="I_XY", nats=0.0, ci_low=0.0, ci_high=0.0, lower_confidence=0.0, ceiling=ceiling, ceiling_name=name,
        rows=n, distinct_rows=distinct, dropped_rows=bad, dim=b.shape[1], noise="none",
        sigma=0.0, std=0.0, estimator="mine", bound=reading.bound,
        flags=frozenset(["nonfinite_rows"] * (bad > 0) + ["few_rows"] * (n < FEW_ROWS)),
    )  # fmt: skip
    return replace(_from_critic(reading, base), seconds=time.perf_counter() - started)


def as_rows(value: Any, name: str) -> Tensor:
    """Numbers ``(n, d)`` from an array or tensor; one-dimensional integers become one-hot rows."""
    try:
        t = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as e:
        raise BadInput(f"{name} is an array or tensor of numbers with rows first; got {type(value).__name__}") from e
    if t.ndim == 0 or len(t) == 0:
        raise BadInput(f"{name} has shape {tuple(t.shape)}; expected at least one row, (n, …)")
    if t.ndim == 1 and not t.is_floating_point():
        return one_hot(torch.unique(t, return_inverse=True)[1]).float()
    return t.reshape(len(t), -1) if t.is_floating_point() else t.reshape(len(t), -1).float()


def _label_ceilings(value: Any, name: str) -> list[tuple[float, str]]:
    t = torch.as_tensor(value)
    if t.ndim != 1 or t.is_floating_point():
        return []
    p = torch.unique(t, return_counts=True)[1].double() / len(t)
    return [(float((p * -p.log()).sum()), name)]

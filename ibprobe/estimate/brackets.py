"""From rows of one layer to its records: both coordinates, both sides of each, and what limits them."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ibprobe.capture.rows import LayerRows
from ibprobe.errors import BadInput
from ibprobe.estimate.channel import Channel, NoisyRows
from ibprobe.estimate.counts import counted, entropy_of
from ibprobe.estimate.ends import FEW_ROWS, TWO_SIDED, WIDE, Bracket, doubts, mean_and_error, within_error
from ibprobe.estimate.kernel import Terms, input_terms, label_terms, within_class_terms
from ibprobe.estimate.labels import Classes, as_classes
from ibprobe.estimate.nested import from_passes
from ibprobe.estimate.own_noise import OWN, OwnRows, Rows, rows_of, sums_of
from ibprobe.estimate.spread import with_spread
from ibprobe.estimate.threads import SMALL, one_thread
from ibprobe.record.records import Estimate, Event

if TYPE_CHECKING:
    from jaxtyping import Int

_NO_FUNCTION_OF_X = {"stochastic", "stale_rows"}


def channel_estimates(layer: LayerRows, y: Tensor | None, channel: Channel) -> tuple[list[Estimate], list[Event]]:
    """Bracket I(X;T̃) and, with class labels, I(T̃;Y) and I(X;T̃|Y).

    Args:
        layer: rows ``(n, d)``; n ≥ 1.
        y: targets aligned with the rows, or None.
        channel: the noise that defines T̃.

    Returns:
        Estimates, and an event for each quantity that could not be measured.

    Raises:
        BadInput: lengths differ, no row, or more non-finite rows than finite ones.
    """
    found, events = layer_brackets(layer, y, channel)
    return [bracket.estimate for bracket in found], events


def layer_brackets(layer: LayerRows, y: Tensor | None, channel: Channel) -> tuple[list[Bracket], list[Event]]:
    """Do what :func:`channel_estimates` does, and keep what each row contributes."""
    started = time.perf_counter()
    n, d = layer.t.shape
    with one_thread(n * n * d < SMALL):
        found, events = _brackets(layer, y, channel)
    seconds = (time.perf_counter() - started) / len(found)
    return [replace(b, estimate=replace(b.estimate, seconds=seconds)) for b in found], events


def _brackets(layer: LayerRows, y: Tensor | None, channel: Channel) -> tuple[list[Bracket], list[Event]]:
    y = None if y is None else y.to(layer.t.device)
    whole, targets = layer, y
    layer, y, fine = _finite(layer, y)
    classes = None if y is None else as_classes(y)
    rows = rows_of(layer, channel)
    base = _frame(layer, rows, channel, len(whole.t) - len(fine))
    if len(layer.t) < 2 or not rows.std:
        found = _without_kernel(base, rows, classes)
    else:
        found = _with_kernel(base, layer, rows, classes)
    found = [replace(b, rows=fine[b.rows]) for b in found]
    number = classes.number if isinstance(classes, Classes) else None
    found[0] = replace(found[0], estimate=with_spread(found[0].estimate, rows, number))
    if whole.passes is not None and isinstance(rows, NoisyRows) and rows.std:
        found = from_passes(found, whole.passes, targets, len(whole.t), rows)
    events = []
    if not isinstance(classes, Classes):
        why = classes or "no targets were given or seen"
        events = [Event(step=0, kind="not_measured", layer=layer.name, quantity="I_TY", why=why)]
    return found, events


def _finite(layer: LayerRows, y: Tensor | None) -> tuple[LayerRows, Tensor | None, Tensor]:
    """The finite rows, their targets, and their places."""
    n = len(layer.t)
    if y is not None and len(y) != n:
        raise BadInput(f"activations have {n} rows, targets {len(y)}: they must be aligned, one target a row")
    if n == 0:
        raise BadInput("no rows to measure; expected activations of shape (n, d) with n ≥ 2")
    fine = layer.t.isfinite().all(1)
    if layer.scale is not None:
        fine &= layer.scale.isfinite().all(1)
    bad = n - int(fine.sum())
    if bad > n / 2:
        raise BadInput(f"{bad} of {n} rows hold NaN or infinite activations; the layer cannot be measured")
    if bad:
        steps, scale, rate = (t if t is None else t[fine] for t in (layer.step_of_row, layer.scale, layer.rate))
        layer = replace(layer, t=layer.t[fine], step_of_row=steps, scale=scale, rate=rate)
        y = None if y is None else y[fine]
    return layer, y, fine.nonzero()[:, 0]


def _frame(layer: LayerRows, rows: Rows, channel: Channel, bad: int) -> Estimate:
    """The fields and flags that all quantities of the layer share."""
    n, d = layer.t.shape
    noise, sigma = (OWN, 1.0) if isinstance(rows, OwnRows) else (channel.noise, channel.sigma)
    flags = {
        "repeated_rows": layer.dropped > 0,
        "nonfinite_rows": bad > 0,
        "few_rows": n < FEW_ROWS,
        "stochastic": layer.stochastic,
        "outlier_units": noise == "relative" and d >= 8 and rows.share > 0.5,
        "dtype_resolution": 0 < rows.std < 4 * _coarseness(layer.t, noise),
    }
    return Estimate(
        layer=layer.name, quantity="I_XT", nats=0.0, ci_low=0.0, ci_high=0.0, lower_confidence=0.0,
        ceiling=math.log(n), ceiling_name="ln(distinct rows)", rows=n, distinct_rows=n,
        dropped_rows=layer.dropped + bad, target=channel.target, view=layer.view, dim=d, noise=noise,
        sigma=sigma, std=rows.std, estimator="channel", bound="kernel",
        flags=frozenset(k for k, on in flags.items() if on),
    )  # fmt: skip


def _coarseness(t: Tensor, noise: str) -> float:
    """Size of one unit in the last place, in the units of the noise: rounding drowns noise that is not well above."""
    rms = t.double().square().mean(0).sqrt()
    if noise == "per_unit":
        spread = t.double().std(0, correction=0)
        rms = torch.where(spread > 0, rms / spread, 0.0)
    return torch.finfo(t.dtype).eps * float(rms.square().mean().sqrt())


def _for_labels(base: Estimate, classes: Classes) -> Estimate:
    kept = len(classes.y)
    extra = {
        "singleton_classes": classes.singletons > 0,
        "many_classes": classes.number > kept / 10,
        "one_class": classes.entropy == 0,
    }
    h_y = classes.entropy if base.target == "probe_set" else classes.population_entropy
    return replace(
        base, quantity="I_TY", ceiling=h_y, ceiling_name="H(Y)", rows=kept, distinct_rows=kept,
        dropped_rows=base.dropped_rows + base.rows - kept, flags=base.flags | {k for k, on in extra.items() if on},
    )  # fmt: skip


def _within(base: Estimate, classes: Classes) -> Estimate:
    """I(X;T̃|Y) is at most the mean of ln(rows of the class)."""
    ceiling = math.log(len(classes.y)) - classes.entropy
    return replace(_for_labels(base, classes), quantity="I_XT_given_Y", ceiling=ceiling, ceiling_name="H(X|Y)")


def _with_kernel(base: Estimate, layer: LayerRows, rows: Rows, classes: Classes | str | None) -> list[Bracket]:
    y = classes.y if isinstance(classes, Classes) and bool(classes.kept.all()) else None
    sums = sums_of(rows, y)
    if layer.step_of_row is not None and _stale(rows, layer.step_of_row):
        base = replace(base, flags=base.flags | {"stale_rows"})
    found = [_bracketed(base, torch.arange(len(layer.t), device=layer.t.device), input_terms(sums))]
    if not isinstance(classes, Classes):
        return found
    if y is None:
        sums = sums_of(rows.only(classes.kept), classes.y)
    kept, label = classes.kept.nonzero()[:, 0], _for_labels(base, classes)
    found.append(_bracketed(label, kept, label_terms(sums, classes.y), missing=label.ceiling - classes.entropy))
    return [*found, _bracketed(_within(base, classes), kept, within_class_terms(sums, classes.y))]


def _stale(rows: Rows, step_of_row: Tensor) -> bool:
    """Whether the noisy rows tell which step they come from, beyond the error of saying so."""
    # Four groups of steps: single steps have too few rows to be told apart.
    order = torch.unique(step_of_row, return_inverse=True)[1]
    steps = as_classes(4 * order // (int(order.max()) + 1))
    if isinstance(steps, str) or not bool(steps.kept.all()) or steps.entropy == 0:
        return False
    low, error = mean_and_error(label_terms(sums_of(rows, steps.y), steps.y).low, "population")
    return low > 2 * error


def _bracketed(base: Estimate, kept: Int[Tensor, " n"], terms: Terms, *, missing: float = 0.0) -> Bracket:
    """Read the two ends, their errors and the point value off the rows' contributions.

    Args:
        base: shared fields; quantity, target and flags decide what the ends mean.
        kept: places of the rows.
        terms: their contributions ``(draws, n)``.
        missing: what the entropy of few labels falls short by; it belongs to the upper end.
    """
    no_function = bool(base.flags & _NO_FUNCTION_OF_X)
    # What a layer draws is a sample even where the inputs are not.
    sampled = "population" if no_function else base.target
    low, low_se = mean_and_error(terms.low, sampled)
    high, high_se = mean_and_error(terms.high, sampled)
    high = max(low, high) + missing
    known = replace(
        base, bracket_low=low, bracket_low_se=low_se, bracket_high=high, bracket_high_se=high_se,
        flags=base.flags | doubts(base, low, high),
    )  # fmt: skip
    if no_function and base.quantity != "I_TY":
        point, top = min(high, base.ceiling), high + TWO_SIDED * high_se
        known = replace(known, bracket_low=None, bracket_low_se=None, bound="upper end")
        return Bracket(replace(known, nats=point, ci_low=0.0, ci_high=top, lower_confidence=0.0), kept)
    if base.target == "probe_set" and not no_function:
        # Self-included sums are exact for the empirical distribution: the lower end for X, the upper end for labels.
        exact, point, error = (terms.high, high, high_se) if base.quantity == "I_TY" else (terms.low, low, low_se)
        return Bracket(within_error(known, point, (point, error), (point, error)), kept, Terms(exact, exact), sampled)
    value = _point(base, terms, low, high)
    return Bracket(within_error(known, value, (low, low_se), (high, high_se)), kept, terms, sampled)


def _point(base: Estimate, terms: Terms, low: float, high: float) -> float:
    """One value for a bracket, continuous in both ends so that a layer never jumps.

    I(X;T̃): the midpoint while the gap is at most 0.5 nats, then the lower end plus a quarter nat; a row adds at most 2
    nats to that gap, or a few isolated rows would carry the value with them. I(T̃;Y): towards the midpoint by low/high,
    because memorised labels (lower end 0, upper end near H(Y)) must read 0.
    """
    if base.quantity == "I_TY":
        step = 0.0 if low <= 0 else (high - low) * low / high / 2
    else:
        step = min(float((terms.high - terms.low).clamp(max=2.0).mean()), WIDE) / 2
    return min(low + step, max(base.ceiling, low))


def _without_kernel(base: Estimate, rows: Rows, classes: Classes | str | None) -> list[Bracket]:
    """No noise to measure through: a constant layer, a single row, or sigma = 0."""
    symbols = torch.unique(rows.clean, dim=0, return_inverse=True)[1]
    if len(symbols) > 1:
        flag = "constant" if int(symbols.max()) == 0 else "deterministic"
        base = replace(base, flags=base.flags | {flag})
    base = replace(base, bound="plug-in")
    h_t, every = entropy_of(symbols), torch.arange(len(symbols), device=symbols.device)
    draws = len(rows.seeds)
    found = [counted(base, every, h_t, draws)]
    if not isinstance(classes, Classes):
        return found
    t, y = symbols[classes.kept], classes.y
    shared = entropy_of(t) + classes.entropy - entropy_of(t * (int(y.max()) + 1) + y)
    kept, labels = classes.kept.nonzero()[:, 0], _for_labels(base, classes)
    found.append(counted(labels, kept, max(0.0, shared), draws))
    return [*found, counted(_within(base, classes), kept, max(0.0, entropy_of(t) - shared), draws)]

"""The estimators for bare arrays: a bracket where the noise is ours, a critic where no noise is known."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ibprobe.capture.rows import LayerRows, first_occurrences, row_keys
from ibprobe.errors import BadInput, UnknownName
from ibprobe.estimate.brackets import FEW_ROWS, channel_estimates
from ibprobe.estimate.channel import Channel, Noise, Target
from ibprobe.estimate.critic.critics import fit_critics
from ibprobe.estimate.pairs import Pair
from ibprobe.estimate.readings import folds_of, record_of
from ibprobe.record.records import Estimate


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

    The value is read on rows that the critic has not seen; it is a lower bound in expectation (see ``bound``). A pair
    of rows that occurs again is left out and counted, unless both sides are discrete: labels, or nearly all repeat.

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
    kept = first_occurrences(keys)
    if len(kept) <= n / 16 or (_label_ceilings(x, "x") and _label_ceilings(y, "y")):
        # Two discrete sides: equal pairs are many rows, not one row seen again, and belong in every fold.
        kept, keys = torch.arange(n), torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    a, b, repeated = a[kept], b[kept], n - len(kept)
    reading = fit_critics([Pair(a, b)], folds_of(keys[kept]), seed=seed)[0]
    if reading.diverged:
        raise BadInput("the critic diverged on this data; check for extreme values")
    ceiling, name = min([(math.log(n), "ln(rows)"), *_label_ceilings(x, "H(X)"), *_label_ceilings(y, "H(Y)")])
    flags = {"nonfinite_rows": bad > 0, "repeated_rows": repeated > 0, "few_rows": len(a) < FEW_ROWS}
    base = Estimate(
        quantity="I_XY", nats=0.0, ci_low=0.0, ci_high=0.0, lower_confidence=0.0, ceiling=ceiling, ceiling_name=name,
        rows=len(a), distinct_rows=len(a), dropped_rows=bad + repeated, dim=b.shape[1], noise="none",
        sigma=0.0, std=0.0, estimator="mine", bound=reading.bound,
        flags=frozenset(k for k, on in flags.items() if on),
    )  # fmt: skip
    return replace(record_of(reading, base), seconds=time.perf_counter() - started)


def as_rows(value: Any, name: str) -> Tensor:
    """Numbers ``(n, d)`` from an array or tensor; one-dimensional integers become one-hot rows."""
    try:
        t = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as e:
        raise BadInput(f"{name} is an array or tensor of numbers with rows first; got {type(value).__name__}") from e
    if t.is_complex():
        raise BadInput(f"{name} is complex; pass real numbers, such as its real and imaginary parts side by side")
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

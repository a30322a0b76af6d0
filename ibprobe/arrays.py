"""The estimators for bare arrays: a bracket where the noise is ours, any other estimator where no noise is known."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ibprobe.capture.rows import LayerRows, first_occurrences, row_keys
from ibprobe.errors import BadInput
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel, Noise, Target
from ibprobe.estimate.ends import FEW_ROWS
from ibprobe.estimate.pairs import Estimator, Pair, Reading
from ibprobe.estimate.readings import folds_of, record_of, sound
from ibprobe.estimate.sides import Side, tensor_of
from ibprobe.plugins import Plugins
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Int

FEWEST_ROWS = 32
"""Below this nothing can be fitted, validated and read."""


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
        sigma: noise size; the same as for layers. 0 counts distinct rows and is flagged.
        noise: ``relative``, ``per_unit`` or ``absolute``.
        seed: of the noise.
        target: ``population``, or ``probe_set`` when these rows are all inputs there are.
        inputs: ``(n, …)`` the inputs; rows whose input repeats an earlier one are left out and counted.

    Returns:
        I(X;T̃) in nats, or with ``y`` the pair I(X;T̃), I(T̃;Y).

    Raises:
        BadInput: lengths differ, there are no rows or too many non-finite ones, or y holds no class labels.
    """
    rows, labels = _rows(t, "t"), None if y is None else tensor_of(y, "y")
    dropped = 0
    if inputs is not None:
        kept = first_occurrences(row_keys((_rows(inputs, "inputs"),), {}))
        dropped = len(rows) - len(kept)
        rows, labels = rows[kept], None if labels is None else labels[kept]
    found, missing = channel_estimates(LayerRows(rows, dropped=dropped), labels, Channel(noise, sigma, seed, 4, target))
    if labels is None:
        return found[0]
    if missing:
        raise BadInput(f"I(T;Y) cannot be measured: {missing[0].why}")
    return found[0], found[1]


def estimate_mi(x: Any, y: Any, *, estimator: str = "mine", seed: int = 0) -> Estimate:
    """Estimate I(X;Y) of two arrays, for which no noise is known.

    With ``mine`` the value is read on rows that the critic has not seen, and is a lower bound in expectation; what any
    other estimator's value is, its ``bound`` and ``docs/estimators.md`` say. Rows with NaN or infinite numbers are left
    out and counted. So is a pair of rows that occurs again, unless both sides are discrete: labels, or rows that also
    come with other partners. Two sides of labels are counted (``counts``), whichever estimator is named; a constant
    side gives 0.

    Args:
        x: ``(n,)`` or ``(n, …)``; one-dimensional integers and booleans are class labels.
        y: the same, aligned with x.
        estimator: ``mine``, or another name that ``ibprobe plugins`` lists.
        seed: of all that is random; the global generators are not touched.

    Returns:
        The estimate in nats.

    Raises:
        UnknownName: no such estimator is installed.
        BadInput: lengths differ, fewer than 32 finite rows, more rows that are not finite than finite ones, integers
            that are no labels, or data that the estimator cannot work on, with its reason.
    """
    if estimator == "channel":
        raise BadInput('estimator="channel" needs noise of known size: estimate_channel(t, y) adds it and brackets')
    plugins = Plugins()
    chosen = plugins.estimator(estimator)
    started = time.perf_counter()
    pair, folds, frame = _paired(x, y, seed)
    if pair.a.ndim == pair.b.ndim == 1:
        estimator, chosen = "counts", plugins.estimator("counts")
    reading = _nothing(frame) or _read(chosen, estimator, pair, folds, seed)
    return record_of(reading, frame, estimator, time.perf_counter() - started)


def _paired(x: Any, y: Any, seed: int) -> tuple[Pair, Int[Tensor, " n"], Estimate]:
    """The usable rows, their folds, and the frame that the reading goes into."""
    a, b = Side.of(x, "x"), Side.of(y, "y")
    if len(a.rows) != len(b.rows):
        raise BadInput(f"x has {len(a.rows)} rows, y has {len(b.rows)}: they must be aligned")
    b = b.to(a)
    fine = a.finite & b.finite
    n, bad = int(fine.sum()), int((~fine).sum())
    if n < FEWEST_ROWS or bad > n:
        raise BadInput(f"{n} finite rows of {len(fine)}; at least {FEWEST_ROWS} are needed, and most of them finite")
    a, b = a.only(fine).in_range(), b.only(fine).in_range()
    keys = row_keys((a.rows, b.rows), {})
    kept = first_occurrences(keys)
    if len(kept) <= n / 16 or (a.recurs(len(kept)) and b.recurs(len(kept))):
        # Two discrete sides: equal pairs are many rows, not one row seen again, and belong in every fold.
        kept, keys = torch.arange(n), torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    a, b, repeated = a.only(kept), b.only(kept), n - len(kept)
    return Pair(a.rows, b.rows), folds_of(keys[kept]).to(a.rows.device), _frame(a, b, bad, repeated)


def _frame(a: Side, b: Side, bad: int, repeated: int) -> Estimate:
    """Everything about the estimate but its value."""
    n, sides = len(a.rows), (a, b)
    ceiling, name = min([(math.log(n), "ln(rows)"), *((s.entropy, f"H({s.name.upper()})") for s in sides if s.labels)])
    flags = {
        "nonfinite_rows": bad > 0,
        "repeated_rows": repeated > 0,
        "few_rows": n < FEW_ROWS,
        "constant": any(not s.labels and s.constant for s in sides),
        "one_class": any(s.labels and s.constant for s in sides),
        "many_classes": any(s.classes > n / 10 for s in sides),
    }
    return Estimate(
        quantity="I_XY", nats=0.0, ci_low=0.0, ci_high=0.0, lower_confidence=0.0, ceiling=ceiling, ceiling_name=name,
        rows=n, distinct_rows=n, dropped_rows=bad + repeated, dim=b.width, noise="none",
        sigma=0.0, std=0.0, estimator="", bound="", flags=frozenset(k for k, on in flags.items() if on),
    )  # fmt: skip


def _nothing(frame: Estimate) -> Reading | None:
    """A side that never changes shares nothing with the other: no estimator is asked."""
    if not frame.flags & {"constant", "one_class"}:
        return None
    return Reading(nats=0.0, ci_low=0.0, ci_high=0.0, lower_confidence=0.0, bound="a constant side")


def _read(estimator: Estimator, name: str, pair: Pair, folds: Int[Tensor, " n"], seed: int) -> Reading:
    shapes = f"x {tuple(pair.a.shape)}, y {tuple(pair.b.shape)}"
    try:
        reading = sound(estimator({"x,y": pair}, folds, seed=seed).get("x,y"))
    except (ArithmeticError, RuntimeError, ValueError) as e:
        if isinstance(e, BadInput):
            raise
        raise BadInput(f"{name} failed on {shapes}: {type(e).__name__}: {e}") from e
    if isinstance(reading, str):
        raise BadInput(f"{name} cannot work on {shapes}: {reading}")
    return reading


def _rows(value: Any, name: str) -> Tensor:
    """Numbers ``(n, d)`` in the precision that they came in, which the channel checks; labels become one-hot rows."""
    t = tensor_of(value, name)
    if t.ndim == 1 and not t.is_floating_point():
        return one_hot(torch.unique(t, return_inverse=True)[1]).float()
    return t.reshape(len(t), -1) if t.is_floating_point() else t.reshape(len(t), -1).float()

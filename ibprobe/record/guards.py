"""What no information plane can show: one function for our records and for anyone's table."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ibprobe.errors import BadInput
from ibprobe.record.records import Estimate

# Nats that float32 sums may be off, and the last digit of a table that was written in full.
_ROUNDING, _LAST_DIGIT = 0.01, 1e-9


@dataclass(frozen=True, slots=True)
class Violation:
    """A point that cannot be, and the rule that it breaks."""

    step: int
    """Of the point."""
    layer: str
    """Likewise."""
    rule: str
    """``negative``, ``ty_above_xt``, ``ty_above_h_y`` or ``xt_above_ln_n``."""
    message: str
    """The rule and the numbers, in a sentence."""


@dataclass(frozen=True, slots=True)
class _Interval:
    low: float
    high: float


def check_plane(
    records: Iterable[Estimate | Mapping[str, Any]], *, n: int | None = None, h_y: float | None = None
) -> list[Violation]:
    """Check points of an information plane against what always holds.

    0 ≤ I(T;Y) ≤ min(I(X;T), H(Y)) and, on n distinct inputs, I(X;T) ≤ ln n. Ends of intervals are compared, never
    points, so that noise alone does not raise an alarm; a plain number is an interval without width. The order of
    layers is not checked: it is guaranteed only where noise is part of the forward chain.

    Args:
        records: ``Estimate``s, or mappings with ``step``, ``layer``, ``I_XT`` and ``I_TY`` in nats.
        n: distinct inputs, when they are all there is. ``Estimate``s of the probe-set target bring their own; for a
            population, I(X;T) may exceed ln n.
        h_y: entropy of the labels in nats. ``Estimate``s bring their own.

    Returns:
        One ``Violation`` a broken rule, empty when all holds.

    Raises:
        BadInput: a mapping lacks one of the four keys or holds no number there, or n is below 1.
    """
    if n is not None and n < 1:
        raise BadInput(f"n is the number of distinct inputs, at least 1; got {n}")
    items = list(records)
    estimates = [r for r in items if isinstance(r, Estimate)]
    plain = [r for r in items if not isinstance(r, Estimate)]
    found: list[Violation] = []
    for row in plain:
        found += _check_point(*_plain_point(row), ln_n=_log(n), h_y=h_y)
    for step, layer, pair in _paired(estimates):
        xt, ty = (_interval(pair[q]) if q in pair else None for q in ("I_XT", "I_TY"))
        own_ln_n, own_h_y = _ceilings(pair)
        limits = {"ln_n": own_ln_n if n is None else _log(n), "h_y": own_h_y if h_y is None else h_y}
        if xt and ty and pair["I_XT"].rows != pair["I_TY"].rows:
            # Coordinates of different rows have no order between them.
            found += _check_point(step, layer, xt, None, **limits) + _check_point(step, layer, None, ty, **limits)
        else:
            found += _check_point(step, layer, xt, ty, **limits)
    return found


def _ceilings(pair: Mapping[str, Estimate]) -> tuple[float | None, float | None]:
    """The limits that the estimates themselves vouch for: ln(distinct rows) of a finite set, H(Y) of class labels."""
    xt, ty = pair.get("I_XT"), pair.get("I_TY")
    return (
        xt.ceiling if xt and xt.target == "probe_set" else None,
        ty.ceiling if ty and ty.ceiling_name == "H(Y)" else None,
    )


def _log(n: int | None) -> float | None:
    return None if n is None else math.log(n)


def _plain_point(row: Mapping[str, Any]) -> tuple[int, str, _Interval, _Interval]:
    missing = [k for k in ("step", "layer", "I_XT", "I_TY") if k not in row]
    if missing:
        raise BadInput(f"a point needs step, layer, I_XT and I_TY; {', '.join(missing)} missing in {dict(row)}")
    try:
        step, xt, ty = int(row["step"]), float(row["I_XT"]), float(row["I_TY"])
    except (TypeError, ValueError) as e:
        raise BadInput(f"step, I_XT and I_TY are numbers; got {dict(row)}") from e
    around_xt, around_ty = (_Interval(v - _LAST_DIGIT, v + _LAST_DIGIT) for v in (xt, ty))
    return step, str(row["layer"]), around_xt, around_ty


def _paired(estimates: Iterable[Estimate]) -> Iterable[tuple[int, str, dict[str, Estimate]]]:
    """Group the two coordinates that belong together: same rows, channel and estimator."""
    points: dict[tuple[Any, ...], dict[str, Estimate]] = defaultdict(dict)
    for e in estimates:
        points[(e.step, e.layer, e.split, e.mode, e.estimator, e.noise, e.sigma, e.view)][e.quantity] = e
    for key, pair in points.items():
        yield key[0], key[1], pair


def _interval(e: Estimate) -> _Interval:
    """The widest that the estimate allows; an upper limit exists only where a kernel gives one."""
    low = min(e.lower_confidence, e.ci_low) - _ROUNDING
    return _Interval(low, e.ci_high + _ROUNDING if e.bracket_high is not None or e.ceiling == 0 else float("inf"))


def _check_point(
    step: int,
    layer: str,
    xt: _Interval | None,
    ty: _Interval | None,
    *,
    ln_n: float | None,
    h_y: float | None,
) -> list[Violation]:
    broken: list[tuple[str, str]] = []
    for name, value in (("I(X;T)", xt), ("I(T;Y)", ty)):
        if value and value.high < 0:
            broken.append(("negative", f"{name} ≤ {value.high:.3g} nats, but no mutual information is negative"))
    if xt and ty and ty.low > xt.high:
        text = f"I(T;Y) ≥ {ty.low:.3g} exceeds I(X;T) ≤ {xt.high:.3g} nats, against the data processing inequality"
        broken.append(("ty_above_xt", text))
    if ty and h_y is not None and ty.low > h_y:
        broken.append(("ty_above_h_y", f"I(T;Y) ≥ {ty.low:.3g} exceeds H(Y) = {h_y:.3g} nats"))
    if xt and ln_n is not None and xt.low > ln_n:
        broken.append(("xt_above_ln_n", f"I(X;T) ≥ {xt.low:.3g} exceeds ln(distinct rows) = {ln_n:.3g} nats"))
    return [Violation(step, layer, rule, f"layer {layer}, step {step}: {text}") for rule, text in broken]

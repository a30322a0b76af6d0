"""I(X;T̃) of a layer that draws random numbers: nested sums over several forward passes of every row.

I(X;T̃) = E log p(t̃|x) − E log p(t̃). The first term is a mixture over the passes of one row (``within.py``). The second
is a mixture over all passes of all rows: at most the truth with the row's own passes among them, at least the truth
without. The two lower sides make the lower end of the bracket, the two upper sides its upper end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from ibprobe.capture.passes import FEWEST_PASSES
from ibprobe.capture.rows import evenly_spaced
from ibprobe.estimate.channel import NoisyRows
from ibprobe.estimate.ends import FEW_ROWS, WIDE, Bracket, doubts, mean_and_error, within_error
from ibprobe.estimate.kernel import Terms, block_bytes
from ibprobe.estimate.labels import Classes, as_classes
from ibprobe.estimate.within import Query, lower_terms, passes_seen, queries, ratio_terms
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float, Int

FEWEST_ROWS = 16
"""Half of the rows must say how passes scatter."""
# What the kernel says about I(T;T̃) of one pass.
_OF_ONE_PASS = {"stochastic", "at_ceiling", "wide_bracket", "collapsed", "few_rows"}
# Fewer effective ratios than this do not say what their mean is.
_EFFECTIVE = 100
_BLOCK_BYTES = 8 * 2**20
# As in the kernel sums: e⁻⁸⁷ is the smallest normal float32.
_REACH = -87.0


@dataclass(frozen=True, slots=True)
class Nested:
    """Both ends, row by row, and how far above the lower one the truth is likely to be, in nats."""

    terms: Terms
    lift: float


def from_passes(
    found: Sequence[Bracket], passes: Float[Tensor, "k passes d"], y: Tensor | None, n: int, rows: NoisyRows
) -> list[Bracket]:
    """Put nested estimates in the place of a layer's upper ends.

    Args:
        found: what one pass gave. I(T̃;Y) stays: T̃ is meant with all that the layer draws, and one pass samples it.
        passes: activations of evenly spaced rows of the layer.
        y: targets of all its rows, or None.
        n: all its rows.
        rows: those of the first pass, which define the noise.

    Returns:
        The brackets in their order; as they were when rows or passes are too few.
    """
    fine = passes.isfinite().all(2).all(1)
    places = evenly_spaced(n, len(passes))[fine.cpu()]
    passes = passes if bool(fine.all()) else passes[fine]
    if len(passes) < FEWEST_ROWS or passes.shape[1] < FEWEST_PASSES:
        return list(found)
    classes = None if y is None else as_classes(y[places.to(y.device)])
    known = classes if isinstance(classes, Classes) else None
    enumerated = found[0].estimate.target == "probe_set" and len(passes) == n
    answers = nested_terms(rows.placed(passes), rows.seeds, known, enumerated=enumerated)
    return [_replaced(b, answers, known, places.to(b.rows.device)) for b in found]


def _replaced(b: Bracket, answers: dict[str, Nested], classes: Classes | None, places: Int[Tensor, " k"]) -> Bracket:
    """The nested estimate of this quantity; the flag says that there is no lower end, which is no longer so."""
    e = b.estimate
    if e.quantity not in answers:
        return replace(b, estimate=replace(e, flags=e.flags - {"stochastic"})) if e.quantity == "I_TY" else b
    if e.quantity == "I_XT_given_Y" and classes is not None:
        places = places[classes.kept.to(places.device)]
    nested = answers[e.quantity]
    return Bracket(_from_nested(e, nested, classes), places, nested.terms)


def _from_nested(e: Estimate, answer: Nested, classes: Classes | None) -> Estimate:
    """The record of the rows that have passes, and of the classes among them."""
    terms = answer.terms
    kept = terms.low.shape[1]
    entropy = classes.entropy if classes is not None and e.quantity == "I_XT_given_Y" else 0.0
    base = replace(
        e, ceiling=math.log(kept) - entropy, rows=kept, distinct_rows=kept, bound="nested",
        dropped_rows=e.dropped_rows + e.rows - kept, flags=e.flags - _OF_ONE_PASS,
    )  # fmt: skip
    # Rows are independent and bring their own passes, so their spread is the error of both.
    low, low_se = mean_and_error(terms.low, "population")
    high, high_se = mean_and_error(terms.high, "population")
    high = max(low, min(high, e.ceiling) if e.target == "probe_set" else high)
    few = {"few_rows"} if kept < FEW_ROWS else set()
    base = replace(
        base, bracket_low=low, bracket_low_se=low_se, bracket_high=high, bracket_high_se=high_se,
        flags=base.flags | few | doubts(base, low, high),
    )  # fmt: skip
    point = min(max(low + answer.lift, 0.0), high, max(base.ceiling, low))
    return within_error(base, point, (low, low_se), (high, high_se))


@torch.no_grad()
def nested_terms(
    u: Float[Tensor, "k passes d"], seeds: tuple[int, ...], y: Classes | None, *, enumerated: bool
) -> dict[str, Nested]:
    """I(X;T̃) and, with classes, I(X;T̃|Y) from several passes of every row.

    Args:
        u: rows in noise units; at least ``FEWEST_ROWS`` rows and 4 passes.
        seeds: one a draw of the noise.
        y: classes of the rows, or None.
        enumerated: whether the rows are all inputs that there are, and not a sample.

    Returns:
        By quantity; I(X;T̃|Y) of the rows that have a class. Time O(draws · k² · passes · d), about 3 s for 2,048 rows,
        16 passes and d = 64 on one core. Besides ``u``, scratch is less than twice its size; on a GPU, that and 256 MB.
    """
    k, passes, _ = u.shape
    asked = queries(u, seeds, passes // 2)
    seen = [passes_seen(u, q) for q in asked]
    others, same = _sums_of_other_rows(u, asked, y)
    inner = _given_own_row(u, asked, seen, others - math.log((k - 1) * passes))
    own = torch.stack([s.logsumexp(1) for s in seen])
    found = {"I_XT": _both_terms(inner, others, own, torch.tensor(k), enumerated)}
    if y is not None and same is not None:
        kept, size = y.kept.to(u.device), torch.bincount(y.y)[y.y].to(u.device)
        found["I_XT_given_Y"] = _both_terms(inner.only(kept), same[:, kept], own[:, kept], size, enumerated)
    return found


@dataclass(frozen=True, slots=True)
class _Inner:
    """E log p(t̃|x) of each row from below, with half of the passes and with all, and from above."""

    fewer: Float[Tensor, "draws k"]
    low: Float[Tensor, "draws k"]
    high: Float[Tensor, "draws k"]
    passes: int

    def only(self, rows: Tensor) -> _Inner:
        """Of some rows."""
        return _Inner(self.fewer[:, rows], self.low[:, rows], self.high[:, rows], self.passes)


def _given_own_row(
    u: Float[Tensor, "k passes d"], asked: list[Query], seen: list[Tensor], others: Float[Tensor, "draws k"]
) -> _Inner:
    passes = u.shape[1]
    low, fit = lower_terms(u, asked, seen, others)
    half = passes // 2
    fewer, _ = lower_terms(u[:, :half], asked, [s[:, :half] for s in seen], others)
    included = torch.stack([s.logsumexp(1) for s in seen]) - math.log(passes)
    ratio, effective = ratio_terms(u, asked, seen, fit)
    high = ratio if effective >= _EFFECTIVE and float(ratio.mean()) < float(included.mean()) else included
    return _Inner(fewer, low, high, passes)


def _both_terms(
    inner: _Inner, others: Float[Tensor, "draws k"], own: Float[Tensor, "draws k"], size: Tensor, enumerated: bool
) -> Nested:
    """Put log p(t̃|x) and log p(t̃) together, the latter of a mixture over ``size`` rows: all, or those of the class.

    Args:
        inner: log p(t̃|x).
        others: log sum over the passes of the other rows.
        own: the same over the row's own passes; the one that t̃ comes from adds e⁰.
        size: rows, or rows of the class of each row.
        enumerated: whether these are all inputs, so that the row itself belongs to the mixture that is sought.
    """
    passes = inner.passes
    number = (size * passes).double().log()
    if enumerated:
        # The lower end says which of the rows it was (Barber & Agakov 2003), so it is at most ln(rows).
        low, fewer = (q + number - torch.logaddexp(others, q + math.log(passes)) for q in (inner.low, inner.fewer))
        different = own.expm1().log() + math.log(passes / (passes - 1))
        high = inner.high + number - torch.logaddexp(others, different)
    else:
        low, fewer = (q + number - torch.logaddexp(others, own) for q in (inner.low, inner.fewer))
        high = inner.high + ((size - 1) * passes).double().log() - others
    half = passes // 2
    # The error of log q falls like 1/passes.
    lift = max(0.0, float((low - fewer).mean())) * half / (passes - half)
    # A few isolated rows would carry the value with them; cf. the point value of a bracket.
    gap = float((number - torch.logaddexp(others, own) - (high - inner.high)).neg().clamp(max=4 * WIDE).mean())
    return Nested(Terms(low, high), lift + (0.0 if enumerated else min(gap, WIDE) / 2))


def _sums_of_other_rows(
    u: Float[Tensor, "k passes d"], asked: list[Query], y: Classes | None
) -> tuple[Float[Tensor, "draws k"], Float[Tensor, "draws k"] | None]:
    """Log sums of the noise kernel over all passes of all other rows, and of those of the same class."""
    k, passes, d = u.shape
    centres = u.reshape(k * passes, d)
    half_norm = centres.square().sum(1) / 2
    member = None if y is None else _membership(y, k).to(u)
    block = min(k, max(1, block_bytes(u, _BLOCK_BYTES) // (u.element_size() * k * passes)))
    # One buffer for all blocks: large blocks between small results that are kept leave holes in the heap.
    buffer = u.new_empty(block, k * passes)
    sums = torch.empty(2, len(asked), k, dtype=torch.float64, device=u.device)
    for number, q in enumerate(asked):
        at_own = (q.z * u[:, q.own]).sum(1) - u[:, q.own].square().sum(1) / 2
        for i in range(0, k, block):
            rows = slice(i, min(i + block, k))
            z = q.z[rows]
            g = torch.addmm(half_norm, z, centres.T, beta=-1, out=buffer[: len(z)]).view(-1, k, passes)
            g.diagonal(i).fill_(-math.inf)
            top = g.amax((1, 2))
            by_row = g.sub_(top[:, None, None]).clamp_min_(_REACH).exp_().sum(2)
            shift = (top - at_own[rows]).double()
            sums[0, number, rows] = shift + by_row.sum(1).double().log()
            if member is not None:
                sums[1, number, rows] = shift + (by_row @ member * member[rows]).sum(1).double().log()
    return sums[0], None if member is None else sums[1]


def _membership(y: Classes, k: int) -> Tensor:
    """One-hot classes; zeros for a row that has none."""
    member = torch.zeros(k, y.number, device=y.y.device)
    member[y.kept] = one_hot(y.y).to(member)
    return member

"""How many directions a layer's rows fill, and how many of its units say nothing: beside the bracket, not of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ibprobe.capture.rows import evenly_spaced
from ibprobe.estimate.own_noise import Rows
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

_ROWS = 1024
# Below 1.1, one direction holds more than 95 % of the variance, p² + (1 − p)² > 1/1.1. Healthy runs of ten classes pass
# through 1.4 early on.
_LOW_RANK = 1.1
# An output of a few classes has a low rank by rights.
_WIDE_ENOUGH = 8


def with_spread(e: Estimate, rows: Rows, classes: int | None = None) -> Estimate:
    """Set effective rank and share of dead units on the record of I(X;T̃), with the flags that they raise.

    Two classes, once learned, lie on one direction by rights (neural collapse: Papyan, Han & Donoho 2020,
    arXiv 2008.08186), so that a low rank is no flag then.

    A unit is dead if it gives every row the same value up to rounding, as in ``constant``. Directions are those that
    the noise meets: of standardised units under ``per_unit``. A single row has neither.
    """
    if len(rows.clean) < 2:
        return e
    rank, dead = effective_rank(rows.clean), float((rows.unit == 0).double().mean())
    flags = {
        "low_rank": 0 < rank < _LOW_RANK and e.dim >= _WIDE_ENOUGH and classes != 2,
        "dead_units": dead > 0.5,
    }
    return replace(e, effective_rank=rank, dead_share=dead, flags=e.flags | {k for k, on in flags.items() if on})


def effective_rank(clean: Float[Tensor, "n d"]) -> float:
    """Participation ratio (tr C)²/tr C² of the rows' covariance C: from 1 to d, or 0 where all rows are equal.

    Half of the rows are read, 1,024 at most, evenly spaced; it is never above their number less one. What it costs is
    one Gram matrix on the smaller axis, at most a sixteenth of the kernel sums' products at four draws.

    Args:
        clean: rows, centred.
    """
    n = len(clean)
    some = clean[evenly_spaced(n, min(_ROWS, max(2, n // 2))).to(clean.device)]
    some = some - some.mean(0)
    largest = some.abs().amax()
    if not largest:
        return 0.0
    # In units of the largest number, or fourth powers would leave the range of float32.
    some = some / largest
    wide = some.shape[1] > len(some)
    gram = some @ some.T if wide else some.T @ some
    return float(gram.diagonal().double().sum() ** 2 / gram.double().square().sum())

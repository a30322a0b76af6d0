"""Head starts of a critic, each fitted to some rows: Gaussian, or column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ibprobe.estimate.critic.canonical import GaussianHead, canonical, held_out_correlations
from ibprobe.estimate.critic.columns import MOST_PARTNERS, Partners, column_head, partners_found
from ibprobe.estimate.critic.inputs import Inputs
from ibprobe.estimate.critic.training import Head

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

LEAST_ROWS = 256
"""With fewer, grids and trends fit what is not there: 32 rows of nothing read 0.5 nats on themselves."""
CORRELATED = 0.1
"""Canonical directions that correlate less are left out as partners."""


@dataclass(frozen=True, slots=True)
class HeadStart:
    """A head, the coordinates that it is of, and how to fit it again to other rows."""

    inputs: Inputs
    head: Head
    fit: Callable[[Int[Tensor, " m"]], Head]


def head_starts(inputs: Inputs, rows: Int[Tensor, " m"]) -> Iterator[HeadStart]:
    """All that fit the coordinates, fitted to some rows.

    Known noise is Gaussian, and so is the channel. Without it, what the sides share may be their length, or no matter
    of correlation at all: then columns are looked at two by two, the sides' own and the canonical ones.
    """
    columns = inputs.without_length
    rho = held_out_correlations(columns, rows)
    yield _started(inputs, partial(_gaussian, columns, rho), rows)
    if bool(inputs.noise.any()):
        return
    with_length = held_out_correlations(inputs, rows)
    yield _started(inputs, partial(_gaussian, inputs, with_length), rows)
    if len(rows) < LEAST_ROWS:
        return
    for partners in (_canonical_partners(inputs, with_length, rows), partners_found(inputs, rows)):
        if partners is not None:
            yield _started(inputs, partial(column_head, inputs, partners), rows)


def _gaussian(inputs: Inputs, rho: Float[Tensor, " r"], rows: Int[Tensor, " m"]) -> Head:
    return GaussianHead(canonical(inputs, rows), rho)


def _canonical_partners(inputs: Inputs, rho: Float[Tensor, " r"], rows: Int[Tensor, " m"]) -> Partners | None:
    kept = (rho > CORRELATED).nonzero()[:MOST_PARTNERS, 0]
    directions = canonical(inputs, rows)
    return Partners(directions.a[:, kept], directions.b[:, kept]) if len(kept) else None


def _started(inputs: Inputs, fit: Callable[[Tensor], Head], rows: Tensor) -> HeadStart:
    return HeadStart(inputs, fit(rows), fit)

"""A head start that is not Gaussian: column by column, what one side's tells of its partner on the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

from ibprobe.estimate.critic.grids import Column, log_ratio_table
from ibprobe.estimate.critic.inputs import Inputs

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

MOST_PARTNERS = 6
COARSE = 8
"""Cells a column when partners are sought."""
FOUND = 6.0
"""Standard deviations above chance that partners must show: among 20 × 20 pairs of 1,000 rows chance reached 5."""


@dataclass(frozen=True, slots=True)
class Partners:
    """Directions of both sides, taken in pairs."""

    a: Float[Tensor, "ka r"]
    b: Float[Tensor, "kb r"]


@dataclass(frozen=True, slots=True)
class ColumnHead:
    """Sum over partners of ln p(u, v)/(p(u)·p(v)), looked up on grids: an inner product of two row features."""

    partners: Partners
    sorted_a: Float[Tensor, "r m"]
    sorted_b: Float[Tensor, "r m"]
    tables: Float[Tensor, "r c c"]

    def of_a(self, a: Float[Tensor, "n ka"]) -> Float[Tensor, "n rc"]:
        """Features of the a side; columns beyond those that partners were sought among are left out."""
        return torch.einsum("rni,rij->nrj", self._cells(a, self.partners.a, self.sorted_a), self.tables).flatten(1)

    def of_b(self, b: Float[Tensor, "n kb"]) -> Float[Tensor, "n rc"]:
        """Features of the b side."""
        return self._cells(b, self.partners.b, self.sorted_b).transpose(0, 1).flatten(1)

    def _cells(self, x: Tensor, directions: Tensor, known: Tensor) -> Float[Tensor, "r n c"]:
        """Where rows lie on the grids: shares of the two nearest cells."""
        cells = self.tables.shape[1]
        at = positions(x[:, : len(directions)] @ directions, known) * cells - 0.5
        at = at.clamp(0, cells - 1.001)
        below = at.long()
        share = (at - below)[:, :, None]
        return one_hot(below, cells) * (1 - share) + one_hot(below + 1, cells) * share


def positions(u: Float[Tensor, "n r"], known: Float[Tensor, "r m"]) -> Float[Tensor, "r n"]:
    """Rank of each value among known ones, 0 to 1; the middle one of a tie."""
    columns = u.T.contiguous()
    below = torch.searchsorted(known, columns) + torch.searchsorted(known, columns, right=True)
    return below.to(u.dtype) / (2 * known.shape[1])


def column_head(inputs: Inputs, partners: Partners, rows: Int[Tensor, " m"]) -> ColumnHead:
    """Fit the grids to some rows."""
    # Finer where there are few: the features of all partners together stay below 300.
    cells = {1: 96, 2: 80}.get(partners.a.shape[1], 64 if partners.a.shape[1] <= 4 else 48)
    values = [x[rows][:, : len(d)] @ d for x, d in ((inputs.a, partners.a), (inputs.b, partners.b))]
    known_a, known_b = (v.T.contiguous().sort(1).values for v in values)
    places = [positions(v, k).cpu() for v, k in zip(values, (known_a, known_b), strict=True)]
    tables = [
        log_ratio_table(*(Column.of(v[:, r].cpu(), p[r], cells) for v, p in zip(values, places, strict=True)))
        for r in range(partners.a.shape[1])
    ]
    return ColumnHead(partners, known_a, known_b, torch.stack(tables).to(inputs.a))


def partners_found(inputs: Inputs, rows: Int[Tensor, " m"]) -> Partners | None:
    """Columns that tell most of each other, each with one partner, by χ² of coarse tables; None where none does."""
    sides = [x[rows].cpu() for x in (inputs.a, inputs.b)]
    chosen = list(_greedy(_excess(*sides)))
    if not chosen:
        return None
    picks = [torch.eye(side.shape[1])[:, [pair[i] for pair in chosen]] for i, side in enumerate(sides)]
    return Partners(*(p.to(inputs.a) for p in picks))


def _excess(a: Float[Tensor, "m ka"], b: Float[Tensor, "m kb"]) -> Float[Tensor, "ka kb"]:
    """χ² of each pair of columns less what chance gives, in standard deviations."""
    members = []
    for x in (a, b):
        known = x.T.contiguous().sort(1).values
        cell = (positions(x, known) * COARSE).long().clamp(max=COARSE - 1)
        members.append(one_hot(cell, COARSE).to(x.dtype).transpose(0, 1).flatten(1))
    left, right = members
    counts = (left.T @ right).view(a.shape[1], COARSE, b.shape[1], COARSE)
    expected = (left.sum(0)[:, None] * right.sum(0)).view_as(counts) / len(a)
    # A cell in which less than a row is expected would make one row there count for many.
    chi = ((counts - expected).square() / expected.clamp_min(1)).sum((1, 3))
    # Cells that hold no rows, as with few distinct values, give no degree of freedom.
    used = [(m.sum(0).view(-1, COARSE) > 0).sum(1) - 1 for m in members]
    freedom = (used[0][:, None] * used[1]).to(chi)
    return (chi - freedom) / (2 * freedom).sqrt().clamp_min(1)


def _greedy(excess: Float[Tensor, "ka kb"]) -> Iterator[tuple[int, int]]:
    left = excess.clone()
    for _ in range(min(MOST_PARTNERS, *excess.shape)):
        i, j = divmod(int(left.argmax()), excess.shape[1])
        if left[i, j] < FOUND:
            return
        yield i, j
        left[i], left[:, j] = -torch.inf, -torch.inf

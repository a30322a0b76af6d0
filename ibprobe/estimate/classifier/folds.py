"""Finer folds inside the given ones, and which of them each fit leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

COARSE = 5
"""A network, and how far scores are trusted, is fitted once for each of about so many folds."""
FINE = 20
"""A discriminant costs little, so it is read on about so many folds and misses a twentieth of the rows."""
INNER = 8
"""Scores that trust is fitted on come from discriminants that miss the read fold and an eighth of the rest."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Fine folds, cut from coarse ones, cut from the given ones; and the discriminants to fit.

    Fit 0 sees all rows; fit 1 + f misses fine fold f; the others miss a coarse fold and some of the fine ones outside.
    """

    fine: Int[Tensor, " n"]
    coarse: Int[Tensor, " n"]
    number: tuple[int, int]
    """Coarse and fine folds."""
    left_out: Float[Tensor, "m fine"]
    """1 where a fit misses a fine fold."""
    inner: Int[Tensor, "coarse fine"]
    """Fit that scores a fine fold while a coarse fold is read; of no use where one holds the other."""


def plan(folds: Int[Tensor, " n"], y: Int[Tensor, " n"], generator: torch.Generator) -> Plan:
    """Cut each given fold at random into parts that all have their share of every class."""
    given = torch.unique(folds, return_inverse=True)[1].cpu()
    given = given % COARSE if int(given.max()) > 2 * COARSE else given
    number = int(given.max()) + 1
    parts = -(-COARSE // number)
    cuts = -(-FINE // (number * parts))
    place = _places(given * (int(y.max()) + 1) + y.cpu(), given, generator)
    coarse = given * parts + place % parts
    fine = coarse * cuts + place // parts % cuts
    left_out, inner = _fits(number * parts, cuts)
    device = y.device
    return Plan(fine.to(device), coarse.to(device), (number * parts, len(inner[0])), left_out.to(device), inner)


def _places(strata: Int[Tensor, " n"], given: Int[Tensor, " n"], generator: torch.Generator) -> Int[Tensor, " n"]:
    """Place of each row in its given fold when classes follow each other, in random order within a class."""
    order = torch.randperm(len(strata), generator=generator)
    order = order[strata[order].argsort(stable=True)]
    sizes = torch.bincount(given)
    start = sizes.cumsum(0) - sizes
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order)) - start[given[order]]
    return place


def _fits(coarse: int, cuts: int) -> tuple[Float[Tensor, "m fine"], Int[Tensor, "coarse fine"]]:
    fine = coarse * cuts
    rows = [torch.zeros(1, fine), torch.eye(fine)]
    inner = torch.zeros(coarse, fine, dtype=torch.long)
    for c in range(coarse):
        read = torch.arange(fine) // cuts == c
        block = read.float().repeat(min(INNER, fine - cuts), 1)
        for place, f in enumerate((~read).nonzero()[:, 0].tolist()):
            block[place % len(block), f] = 1
            inner[c, f] = sum(map(len, rows)) + place % len(block)
        rows.append(block)
    return torch.cat(rows).double(), inner

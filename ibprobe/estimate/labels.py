"""Targets as classes 0 … K−1, or the reason why they are not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

IGNORED = -100
"""The label that PyTorch's losses ignore."""


@dataclass(frozen=True, slots=True)
class Classes:
    """Class labels of the rows that have a usable one."""

    y: Int[Tensor, " kept"]
    """Renumbered 0 … K−1."""
    kept: Bool[Tensor, " n"]
    singletons: int
    """Rows whose class has no other row; several of them make one class together, a single one is left out."""

    @property
    def number(self) -> int:
        """K, the classes among the kept rows."""
        return int(self.y.max()) + 1

    @property
    def entropy(self) -> float:
        """H(Y) of the kept rows in nats (plug-in)."""
        p = torch.bincount(self.y).double() / len(self.y)
        return float(-(p * p.log()).sum())

    @property
    def population_entropy(self) -> float:
        """H(Y) without the plug-in's bias of (K − 1)/2n (Miller 1955), at most ln K."""
        return min(self.entropy + (self.number - 1) / (2 * len(self.y)), math.log(self.number))


def as_classes(y: Tensor) -> Classes | str:
    """Read a target as class labels.

    Integers of shape ``(n,)`` or ``(n, 1)``, booleans, floats that are all 0 or 1, and one-hot rows are classes; −100
    is ignored. Classes with a single row become one class: leaving them out would select the rows by their label.

    Returns:
        The classes, or one sentence saying why I(T;Y) cannot be measured with them.
    """
    flat = y.detach()
    if flat.ndim == 2 and flat.shape[1] == 1:
        flat = flat[:, 0]
    if flat.ndim == 2 and _one_hot(flat):
        flat = flat.argmax(1)
    if flat.ndim != 1:
        return f"targets of shape {tuple(y.shape)} are no class labels: pass one integer a row with observe(y=…)"
    if flat.is_complex() or (flat.is_floating_point() and not bool(((flat == 0) | (flat == 1)).all())):
        return (
            f"targets are {y.dtype}, not integer classes, so there is no bracket, only critics where they run; "
            "if they are classes, pass y.long()"
        )
    flat = flat.long()
    kept = flat != IGNORED
    if not bool(kept.any()):
        return "every label is −100 (ignored)"
    values, counts = torch.unique(flat[kept], return_counts=True)
    single = torch.isin(flat, values[counts == 1]) & kept
    if int(single.sum()) == len(values):
        return "no class has two rows"
    if int(single.sum()) == 1:
        kept = kept & ~single
    # Any value will do for the class of single rows, if no other class has it.
    flat = torch.where(single, values.max() + 1, flat)
    return Classes(torch.unique(flat[kept], return_inverse=True)[1], kept, int((counts == 1).sum()))


def _one_hot(y: Tensor) -> bool:
    return y.shape[1] > 1 and bool(((y == 0) | (y == 1)).all()) and bool((y.sum(1) == 1).all())

"""Targets as classes 0 … K−1, or the reason why they are not."""

from __future__ import annotations

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
    """Rows left out because their class has no other row."""

    @property
    def entropy(self) -> float:
        """H(Y) of the kept rows in nats (plug-in)."""
        p = torch.bincount(self.y).double() / len(self.y)
        return float(-(p * p.log()).sum())


def as_classes(y: Tensor) -> Classes | str:
    """Read a target as class labels.

    Integers of shape ``(n,)`` or ``(n, 1)``, booleans, and one-hot rows are classes; −100 is ignored; classes with a
    single row are left out.

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
    if flat.is_floating_point() or flat.is_complex():
        return f"targets are {y.dtype}, not integer classes"
    flat = flat.long()
    labelled = flat != IGNORED
    values, counts = torch.unique(flat[labelled], return_counts=True)
    kept = labelled & torch.isin(flat, values[counts > 1])
    if not bool(kept.any()):
        return "no class has two rows" if bool(labelled.any()) else "every label is −100 (ignored)"
    return Classes(torch.unique(flat[kept], return_inverse=True)[1], kept, int((counts == 1).sum()))


def _one_hot(y: Tensor) -> bool:
    return y.shape[1] > 1 and bool(((y == 0) | (y == 1)).all()) and bool((y.sum(1) == 1).all())

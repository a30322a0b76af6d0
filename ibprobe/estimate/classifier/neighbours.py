"""Class scores by kernel sums over near rows: for classes of any shape in few leading columns.

Sums are kept fold by fold, so that leaving folds out is a subtraction, as for the discriminants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

COLUMNS = (2, 4, 8, 16, 32)
"""Leading columns that distances are taken in."""
WIDTHS = tuple(0.5 * 1.5**i for i in range(9))
"""Of the kernel, in units of a typical distance to the nearest row, per root of a column."""
CHOOSERS = 1024
"""Rows that columns and width are chosen on."""
MOST_ROWS, MOST_SUMS = 20_000, 2**23
"""With more rows, or more sums of all rows, this is left out: it takes time n² and memory n · folds · classes."""
BACKGROUND = 1e-3
"""Share of all rows' density in each class's, so that no class is out of reach."""
_FARTHEST, _NEAREST = -60.0, 20.0


@dataclass(frozen=True, slots=True)
class Kernel:
    """How near rows are, in some leading columns."""

    columns: int
    width: float

    def __call__(
        self, x: Float[Tensor, "m d"], rows: Float[Tensor, "n d"], own: Int[Tensor, " m"]
    ) -> Float[Tensor, "m n"]:
        """Kernel between some rows and all, relative to each one's nearest row but itself."""
        x, rows = x[:, : self.columns], rows[:, : self.columns]
        closeness = (x @ rows.T - rows.square().sum(1) / 2) / self.width**2
        others = closeness.scatter(1, own[:, None], -torch.inf).amax(1, keepdim=True)
        return (closeness - others).clamp_(_FARTHEST, _NEAREST).exp_()


@dataclass(frozen=True, slots=True)
class FoldSums:
    """Kernel sums of every row over the rows of each fold and class, and how many these are."""

    near: Float[Tensor, "n f k"]
    count: Float[Tensor, "f k"]

    @classmethod
    def of(
        cls, x: Float[Tensor, "n d"], kernel: Kernel, y: Int[Tensor, " n"], fold: Int[Tensor, " n"], folds: int
    ) -> FoldSums:
        """Of all rows, block by block."""
        classes = int(y.max()) + 1
        member = one_hot(fold * classes + y, folds * classes).to(x.dtype)
        at = torch.arange(len(x), device=x.device)
        parts = [kernel(x[rows], x, rows) @ member for rows in torch.split(at, 512)]
        return cls(torch.cat(parts).view(-1, folds, classes), member.sum(0).view(folds, classes))

    def scores(self, kept: Bool[Tensor, "n f"]) -> Float[Tensor, "n k"]:
        """Log-density of each row under each class, from the folds that it may look at."""
        mask = kept.to(self.near.dtype)
        near, count = torch.einsum("nfk,nf->nk", self.near, mask), mask @ self.count
        everywhere = near.sum(1, keepdim=True) / count.sum(1, keepdim=True)
        return (near / count.clamp_min(1) + BACKGROUND * everywhere).clamp_min(1e-30).log()


def kernels(
    x: Float[Tensor, "n d"], y: Int[Tensor, " n"], hidden: Bool[Tensor, "g n"], generator: torch.Generator
) -> list[Kernel]:
    """For each set of hidden rows the kernel under which the others are most likely, one row left out at a time."""
    pick = torch.randperm(len(x), generator=generator)[:CHOOSERS].to(x.device)
    x, y, shown = x[pick], y[pick], ~hidden[:, pick]
    member, at = one_hot(y).to(x.dtype), torch.arange(len(x), device=x.device)
    candidates, likelihoods = [], []
    for columns in [c for c in COLUMNS if c < x.shape[1]] + [min(x.shape[1], COLUMNS[-1])]:
        nearest = torch.cdist(x[:, :columns], x[:, :columns]).fill_diagonal_(torch.inf).amin(1)
        apart = nearest[nearest > 0]
        typical = float(apart.median()) if len(apart) else 1.0
        for width in WIDTHS:
            kernel = Kernel(columns, max(width * typical / columns**0.5, 1e-6))
            near = kernel(x, x, at).fill_diagonal_(0.0)
            candidates.append(kernel)
            likelihoods.append(torch.stack([_likelihood(near, member, rows) for rows in shown]))
    return [candidates[int(i)] for i in torch.stack(likelihoods).argmax(0)]


def _likelihood(
    near: Float[Tensor, "m m"], member: Float[Tensor, "m k"], shown: Bool[Tensor, " m"]
) -> Float[Tensor, ""]:
    """Mean log-probability of the class of the shown rows, from the other shown ones."""
    known = member * shown[:, None]
    share = (near @ known + BACKGROUND * near.sum(1, keepdim=True) * known.mean(0)).clamp_min(1e-30)
    return ((share * member).sum(1) / share.sum(1)).log()[shown].mean()

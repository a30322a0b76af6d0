"""One side of a pair of arrays, from whatever a user passes to what every estimator takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ibprobe.capture.rows import first_occurrences, row_keys
from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool

_REACH = 1e15
"""Beyond this, up or down, squares leave the range of float32."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a pair as every estimator takes it: numbers ``(n, d)``, or labels 0 … K−1 as integers ``(n,)``."""

    rows: Tensor
    name: str

    @classmethod
    def of(cls, value: Any, name: str) -> Side:
        """Read an array, a tensor or a list.

        Raises:
            BadInput: it holds no rows of real numbers, or integers that are no labels.
        """
        t = tensor_of(value, name)
        if t.ndim > 1 or t.is_floating_point():
            rows = t.reshape(len(t), -1)
            return cls(rows if rows.dtype in (torch.float32, torch.float64) else rows.float(), name)
        return cls(t.long(), name).numbered()

    @property
    def labels(self) -> bool:
        """Whether this is a side of labels."""
        return self.rows.ndim == 1

    @property
    def width(self) -> int:
        """Columns, as a critic sees them: one a class."""
        return self.classes if self.labels else self.rows.shape[1]

    @property
    def classes(self) -> int:
        """K, or 0 for numbers."""
        return int(self.rows.max()) + 1 if self.labels else 0

    @property
    def constant(self) -> bool:
        """Whether all rows are equal."""
        return bool((self.rows == self.rows[:1]).all())

    @property
    def finite(self) -> Bool[Tensor, " n"]:
        """Rows without NaN or infinite numbers."""
        return torch.ones_like(self.rows, dtype=torch.bool) if self.labels else self.rows.isfinite().all(1)

    @property
    def entropy(self) -> float:
        """Of labels, plug-in, in nats."""
        p = torch.bincount(self.rows).double() / len(self.rows)
        return float(-torch.special.xlogy(p, p).sum())

    def only(self, kept: Tensor) -> Side:
        """Some of the rows, by mask or position."""
        some = Side(self.rows[kept.to(self.rows.device)], self.name)
        return some.numbered() if self.labels else some

    def numbered(self) -> Side:
        """Labels without gaps."""
        values, labels = torch.unique(self.rows, return_inverse=True)
        if len(values) > max(len(labels) / 2, 2):
            raise BadInput(
                f"{self.name} holds {len(values)} different integers in {len(labels)} rows: as class labels they tell "
                f"nothing; if they are numbers, pass {self.name} as floats"
            )
        return Side(labels, self.name)

    def in_range(self) -> Side:
        """Columns in a unit whose squares float32 can hold; information does not depend on units."""
        if self.labels:
            return self
        largest = self.rows.abs().amax(0)
        extreme = (largest > 0) & ~((largest > 1 / _REACH) & (largest < _REACH))
        return Side(self.rows / torch.where(extreme, largest, 1.0).to(largest.dtype), self.name)

    def recurs(self, pairs: int) -> bool:
        """Whether rows come back with another partner, as discrete ones do and a row that is seen again does not."""
        return self.labels or len(first_occurrences(row_keys((self.rows,), {}))) < 0.95 * pairs

    def to(self, other: Side) -> Side:
        """On the device of another side."""
        return Side(self.rows.to(other.rows.device), self.name)


def tensor_of(value: Any, name: str) -> Tensor:
    """A dense real tensor with at least one row, detached."""
    try:
        t = value.detach() if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))
        t = t if t.layout == torch.strided else t.to_dense()
    except (TypeError, ValueError, RuntimeError) as e:
        raise BadInput(f"{name} is an array or tensor of numbers with rows first; got {type(value).__name__}") from e
    if t.is_complex():
        raise BadInput(f"{name} is complex; pass real numbers, such as its real and imaginary parts side by side")
    if t.ndim == 0 or t.numel() == 0:
        raise BadInput(f"{name} has shape {tuple(t.shape)}; expected at least one row and one column, (n, …)")
    return t

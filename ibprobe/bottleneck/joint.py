"""Joint distributions of two discrete variables: read, checked, and reduced to what the bottleneck depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float, Int

# Rows p(y|x) that agree to this many decimals are one value of the minimal sufficient statistic.
_SAME = 13


def entropy(p: Any, axis: int | None = None) -> Any:
    """−Σ p ln p in nats, with 0 ln 0 = 0."""
    return -np.sum(np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0), axis=axis)


@dataclass(frozen=True, eq=False)
class Joint:
    """p(x, y), normalised, and the distinct rows p(y|x) of it: two inputs that tell the same of Y are one to the IB."""

    p_xy: Float[np.ndarray, "x y"]
    """``(n_x, n_y)``, sums to 1."""
    mass: Float[np.ndarray, " d"]
    """Probability of each distinct row."""
    rows: Float[np.ndarray, "d k"]
    """p(y|x) of each distinct row, over those y that occur."""
    place: Int[np.ndarray, " x"]
    """Which distinct row an x is; −1 where it never occurs."""

    @classmethod
    def of(cls, p_xy: Any) -> Joint:
        """Check and normalise counts or probabilities; the caller's array stays as it is.

        Args:
            p_xy: ``(n_x, n_y)``: counts, probabilities or any weights ≥ 0; array, tensor or nested lists.

        Raises:
            BadInput: it is no table of finite numbers ≥ 0 with a positive sum.
        """
        table = _table(p_xy)
        p = table / table.sum()
        p_x = p.sum(axis=1)
        seen = np.flatnonzero(p_x > 0)
        given_x = p[seen] / p_x[seen, None]
        given_x = given_x[:, p.sum(axis=0) > 0]
        _, first, inverse = np.unique(np.round(given_x, _SAME), axis=0, return_index=True, return_inverse=True)
        place = np.full(len(p), -1)
        place[seen] = inverse.reshape(-1)
        mass = np.bincount(inverse.reshape(-1), weights=p_x[seen])
        return cls(p, mass, given_x[first], place)

    @cached_property
    def h_x(self) -> float:
        """H(X) in nats."""
        return float(entropy(self.p_xy.sum(axis=1)))

    @cached_property
    def p_y(self) -> Float[np.ndarray, " k"]:
        """p(y) over those y that occur."""
        p: np.ndarray = self.mass @ self.rows
        return p

    @cached_property
    def h_y(self) -> float:
        """H(Y) in nats."""
        return float(entropy(self.p_y))

    @cached_property
    def i_xy(self) -> float:
        """I(X;Y) in nats: what no T can exceed."""
        return max(0.0, self.h_y - float(self.mass @ entropy(self.rows, axis=1)))

    @property
    def deterministic(self) -> bool:
        """Whether Y is a function of X, so that the Lagrangian cannot trace the curve."""
        return bool(((self.rows == 0) | (self.rows == 1)).all())

    def spread(self, encoder: Float[np.ndarray, "t d"]) -> Float[np.ndarray, "t x"]:
        """p(t|x) of all x from that of the distinct rows; an x that never occurs gets p(t)."""
        padded = np.concatenate([encoder, (encoder @ self.mass)[:, None]], axis=1)
        return padded[:, self.place]


def _table(p_xy: Any) -> Float[np.ndarray, "x y"]:
    """A float copy of what was given."""
    given = p_xy.detach().cpu().numpy() if hasattr(p_xy, "detach") else p_xy
    try:
        table = np.array(given, dtype=np.float64)
    except (TypeError, ValueError) as e:
        raise BadInput(f"p_xy: expected a table (n_x, n_y) of real numbers, got {type(p_xy).__name__}: {e}") from e
    if table.ndim != 2 or not table.size:
        raise BadInput(f"p_xy: expected a table (n_x, n_y) with at least one row and column, got shape {table.shape}")
    if not np.isfinite(table).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(table))[0])
        raise BadInput(f"p_xy: expected finite numbers, got {table[at]} at {at}")
    if (table < 0).any():
        at = tuple(int(i) for i in np.argwhere(table < 0)[0])
        raise BadInput(f"p_xy: expected counts or probabilities ≥ 0, got {table[at]:g} at {at}")
    if not 0 < table.sum() < np.inf:
        raise BadInput("p_xy: all entries are 0; expected a positive sum" if not table.any() else "p_xy: sum overflows")
    return table


def joint_from_samples(x: Any, y: Any) -> Int[np.ndarray, "x y"]:
    """How often each pair of symbols occurs.

    Args:
        x: ``(n,)`` symbols, or ``(n, d)`` rows, each of which is one symbol.
        y: likewise, aligned with x.

    Returns:
        Counts ``(n_x, n_y)``, symbols in sorted order.

    Raises:
        BadInput: lengths differ, or there are no rows, or some are NaN.
    """
    a, b = _symbols(x, "x"), _symbols(y, "y")
    if len(a) != len(b):
        raise BadInput(f"x has {len(a)} rows, y has {len(b)}: they must be aligned")
    counts = np.zeros((int(a.max()) + 1, int(b.max()) + 1), dtype=np.int64)
    np.add.at(counts, (a, b), 1)
    return counts


def joint_from_probabilities(p: Any) -> Float[np.ndarray, "x y"]:
    """The joint of inputs and classes from a model's class probabilities: p(x) = 1/n, p(y|x) the model's.

    Its curve says which classes a model keeps apart first, and at what cost.

    Args:
        p: ``(n, k)``: the softmax of a classifier, a row an input.

    Raises:
        BadInput: a row does not sum to 1 within 10⁻³.
    """
    table = _table(p)
    off = np.abs(table.sum(axis=1) - 1)
    if off.max() > 1e-3:
        worst = int(off.argmax())
        raise BadInput(f"row {worst} sums to {table[worst].sum():g}: expected probabilities; pass logits.softmax(-1)")
    joint: np.ndarray = table / table.sum(axis=1, keepdims=True) / len(table)
    return joint


def _symbols(values: Any, name: str) -> Int[np.ndarray, " n"]:
    given = np.asarray(values.detach().cpu().numpy() if hasattr(values, "detach") else values)
    if not given.ndim or not len(given):
        raise BadInput(f"{name}: expected symbols (n,) or rows (n, d), got shape {given.shape}")
    if given.dtype.kind == "f" and np.isnan(given).any():
        raise BadInput(f"{name}: NaN is no symbol; leave such rows out")
    flat = given.reshape(len(given), -1)
    numbers: np.ndarray = np.unique(flat, axis=0, return_inverse=True)[1].reshape(-1)
    return numbers


def read_joint(path: str | Path) -> Float[np.ndarray, "x y"]:
    """The table at ``path``, ``.npy`` or ``.csv`` (numbers separated by commas, below a line of names or none).

    Raises:
        BadInput: the file is missing, of another kind, or no table of numbers.
    """
    file = Path(path)
    if file.suffix not in (".npy", ".csv"):
        raise BadInput(f"{file}: expected a joint distribution as .npy or .csv")
    try:
        return _table(np.load(file, allow_pickle=False) if file.suffix == ".npy" else _csv(file))
    except OSError as e:
        raise BadInput(f"cannot read {file}: {e.strerror or e}") from e
    except ValueError as e:
        raise BadInput(f"{file} holds no table of numbers: {e}") from e


def _csv(file: Path) -> Sequence[Sequence[float]]:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    cells = [[cell.strip() for cell in line.split(",")] for line in lines]
    if cells and not _number(cells[0][0]):
        cells = cells[1:]
    if len({len(row) for row in cells}) > 1:
        raise ValueError("its lines have different numbers of cells")
    return [[float(cell) for cell in row] for row in cells]


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True

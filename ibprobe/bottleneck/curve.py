"""What the bottleneck's solvers return: points of the information plane, their encoders, and the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ibprobe.bottleneck.joint import Joint, entropy
from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

_FIELDS = ("beta", "i_xt", "i_ty", "h_t", "objective", "gap", "converged", "critical_betas", "tangents")


@dataclass(frozen=True, slots=True)
class Point:
    """One solution: β, its encoder of the distinct rows, and what that encoder keeps, in nats."""

    beta: float
    encoder: Float[np.ndarray, "t d"]
    i_xt: float
    i_ty: float
    h_t: float
    gap: float
    """Bound on the objective's distance from its minimum; NaN where none is known."""
    converged: bool

    @classmethod
    def of(cls, joint: Joint, beta: float, encoder: Any, gap: float, converged: bool) -> Point:
        """Evaluate an encoder ``(n_t, d)``."""
        encoder = np.asarray(encoder)
        if len(encoder) == 1:
            return cls(beta, encoder, 0.0, 0.0, 0.0, gap, converged)
        together = encoder * joint.mass
        weight = together.sum(axis=1)
        with_y = together @ joint.rows
        h_t = max(0.0, float(entropy(weight)))
        i_xt = max(0.0, h_t - float(joint.mass @ entropy(encoder, axis=0)))
        i_ty = min(max(0.0, joint.h_y - float(entropy(with_y)) + h_t), i_xt)
        return cls(beta, encoder, i_xt, i_ty, h_t, gap, converged)


@dataclass(frozen=True, eq=False)
class IBCurve:
    """Solutions by increasing β, in nats. ``encoders[k]`` is p(t|x), ``(n_t, n_x)``, of the k-th."""

    kind: str
    """``ib``, ``dib`` or ``generalised``."""
    alpha: float
    """Weight of H(T|X) in H(T) − α H(T|X) − β I(T;Y): 1 for IB, 0 for DIB."""
    form: str
    """``lagrangian``, or ``squared``: I(X;T)² − β I(T;Y)."""
    beta: Float[np.ndarray, " b"]
    """What multiplies relevance."""
    i_xt: Float[np.ndarray, " b"]
    """I(X;T)."""
    i_ty: Float[np.ndarray, " b"]
    """I(T;Y)."""
    h_t: Float[np.ndarray, " b"]
    """H(T)."""
    objective: Float[np.ndarray, " b"]
    """What was minimised."""
    gap: Float[np.ndarray, " b"]
    """Bound on how far that is from the minimum over all encoders; NaN where no bound is known."""
    converged: Bool[np.ndarray, " b"]
    """The gap is within the tolerance; without a bound: the iteration stood still."""
    encoders: tuple[Float[np.ndarray, "_ x"], ...]
    """p(t|x) of each point."""
    h_x: float
    """H(X)."""
    h_y: float
    """H(Y)."""
    i_xy: float
    """I(X;Y): what no T can exceed."""
    onset: float
    """The β at which the trivial T stops being optimal: one over the constant of the strong DPI."""
    local_onset: float
    """The β at which it stops being a local optimum: 1/σ₂², never below ``onset``."""
    critical_betas: Float[np.ndarray, " c"]
    """Located bifurcations: where the optimum gains clusters; the onset first."""
    tangents: Float[np.ndarray, "m 3"]
    """Of every problem solved on the way, β, I(X;T) − β I(T;Y) and the gap; each bounds the frontier from above."""
    notes: tuple[str, ...] = ()
    """What to know before reading the curve."""

    def __len__(self) -> int:
        return len(self.beta)

    @property
    def clusters(self) -> list[int]:
        """|T| of each point."""
        return [len(encoder) for encoder in self.encoders]

    @property
    def frontier(self) -> Float[np.ndarray, "m 2"]:
        """Points (I(X;T), I(T;Y)) from (0, 0) to saturation; between them time sharing attains the straight line."""
        points = np.column_stack([self.i_xt, self.i_ty])
        return _concave(np.concatenate([np.zeros((1, 2)), points]))

    def reaching(self, i_xt: float) -> list[tuple[float, float]]:
        """The frontier's points; beyond saturation it is flat, up to ``i_xt``, nats."""
        points = [(float(x), float(y)) for x, y in self.frontier]
        return [*points, (i_xt, points[-1][1])] if i_xt > points[-1][0] else points

    def attained(self, i_xt: Any) -> Any:
        """The largest I(T;Y) at ``i_xt`` that the solutions attain, alone or by time sharing, nats."""
        at = self.frontier
        return np.interp(i_xt, at[:, 0], at[:, 1])

    def bound(self, i_xt: Any) -> Any:
        """An I(T;Y) that no T with I(X;T) = ``i_xt`` exceeds, nats: the tangents of the solutions that are proved."""
        given = np.asarray(i_xt, dtype=float)
        limit = np.minimum(np.minimum(given, given / max(self.onset, 1.0)), self.i_xy)
        for beta, value, gap in self.tangents:
            limit = np.minimum(limit, (given - value + gap) / beta)
        return limit

    def distance(self, i_xt: Any, i_ty: Any) -> Any:
        """How far the point (``i_xt``, ``i_ty``) lies below the frontier, in nats of I(T;Y); negative: above it."""
        return self.attained(i_xt) - np.asarray(i_ty, dtype=float)

    def save(self, path: str | Path) -> Path:
        """Write all but the encoders to ``path``, as ``.npz``.

        Raises:
            BadInput: the name does not end in .npz, or the file cannot be written.
        """
        file = Path(path)
        if file.suffix != ".npz":
            raise BadInput(f"{file}: expected a name that ends in .npz")
        plain = {name: getattr(self, name) for name in (*_FIELDS, *_PLAIN)}
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, notes=np.array(self.notes, dtype=str), **plain)
        except OSError as e:
            raise BadInput(f"cannot write {file}: {e}") from e
        return file


_PLAIN = ("kind", "alpha", "form", "h_x", "h_y", "i_xy", "onset", "local_onset")


def load_curve(path: str | Path) -> IBCurve:
    """What ``IBCurve.save`` wrote to ``path``; its encoders are empty.

    Raises:
        BadInput: the file is missing or holds no curve.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            held = {name: kept[name] for name in (*_FIELDS, *_PLAIN, "notes")}
    except OSError as e:
        raise BadInput(f"cannot read {path}: {e.strerror or e}") from e
    except (KeyError, ValueError) as e:
        raise BadInput(f"{path} holds no IB curve: expected a file that IBCurve.save or ibprobe ib-curve wrote") from e
    plain = {name: held[name].item() for name in _PLAIN}
    arrays = {name: held[name] for name in _FIELDS}
    notes = tuple(str(note) for note in held["notes"])
    return IBCurve(**plain, **arrays, encoders=(np.zeros((0, 0)),) * len(held["beta"]), notes=notes)


def _concave(points: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "h 2"]:
    """The upper concave hull of points, by increasing first coordinate."""
    hull: list[Sequence[float]] = []
    for x, y in sorted(map(tuple, points)):
        while hull and y >= hull[-1][1] and x <= hull[-1][0]:
            hull.pop()
        while len(hull) > 1 and _turns_up(hull[-2], hull[-1], (x, y)):
            hull.pop()
        if not hull or y > hull[-1][1]:
            hull.append((x, y))
    return np.array(hull)


def _turns_up(a: Sequence[float], b: Sequence[float], c: Sequence[float]) -> bool:
    return bool((b[0] - a[0]) * (c[1] - a[1]) >= (b[1] - a[1]) * (c[0] - a[0]))

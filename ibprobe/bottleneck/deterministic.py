"""The deterministic bottleneck, min H(T) − β I(T;Y) (Strouse & Schwab 2017, arXiv:1604.00268): hard clusterings.

The objective is Σ_t φ(p(t, ·)) with φ concave, so a best clustering is separated: with two values of y it cuts the
sorted p(y|x) into intervals, and dynamic programming finds the best cut of all (Kurkoski & Yagi 2014,
arXiv:1107.1859). With more values the search is local: merging from single inputs down, single moves, and the
neighbouring betas' clusterings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ibprobe.bottleneck.curve import Point
from ibprobe.bottleneck.joint import Joint

_SWEEPS = 200


class HardSolver:
    """From β to the best hard clustering that is found; with two values of y, to the best there is."""

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self._weighted = joint.mass[:, None] * joint.rows
        self._known: list[Any] = []

    def __call__(self, beta: float) -> Point:
        """The point at β; its gap is 0 where it is proved, NaN elsewhere."""
        exact = self._weighted.shape[1] <= 2
        labels = self._cut(beta) if exact else self._searched(beta)
        encoder = (labels == np.arange(labels.max() + 1)[:, None]).astype(float)
        return Point.of(self.joint, beta, encoder, 0.0 if exact else np.nan, True)

    def _cut(self, beta: float) -> Any:
        """The best intervals of the sorted rows, by dynamic programming over where the last one begins."""
        order = np.argsort(self.joint.rows[:, 0], kind="stable")
        total = np.concatenate([np.zeros((1, self._weighted.shape[1])), np.cumsum(self._weighted[order], axis=0)])
        n = len(order)
        best, begin = np.zeros(n + 1), np.zeros(n + 1, dtype=int)
        for end in range(1, n + 1):
            cost = best[:end] + _costs(total[end] - total[:end], beta)
            begin[end] = cost.argmin()
            best[end] = cost[begin[end]]
        labels, end, number = np.zeros(n, dtype=int), n, 0
        while end:
            labels[order[begin[end] : end]] = number
            end, number = begin[end], number + 1
        return labels

    def _searched(self, beta: float) -> Any:
        n = len(self._weighted)
        starts = [np.arange(n), np.zeros(n, dtype=int), *self._known[-2:]]
        found = [self._moved(self._merged(labels, beta), beta) for labels in starts]
        best = min(found, key=lambda labels: self._value(labels, beta))
        self._known.append(best)
        return best

    def _value(self, labels: Any, beta: float) -> float:
        return float(_costs(self._sums(labels), beta).sum())

    def _sums(self, labels: Any) -> Any:
        sums = np.zeros((labels.max() + 1, self._weighted.shape[1]))
        np.add.at(sums, labels, self._weighted)
        return sums

    def _merged(self, labels: Any, beta: float) -> Any:
        """Pairs of clusters become one, the best pair first, while that lowers the objective."""
        sums, owner = self._sums(labels), np.arange(labels.max() + 1)
        cost = _costs(sums, beta)
        gain = np.stack([_costs(sums + row, beta) - cost - own for row, own in zip(sums, cost, strict=True)])
        np.fill_diagonal(gain, np.inf)
        while True:
            i, j = np.unravel_index(int(gain.argmin()), gain.shape)
            if not gain[i, j] < 0:
                return _numbered(owner[labels])
            sums[i], owner[owner == j] = sums[i] + sums[j], i
            cost[i] = _costs(sums[i : i + 1], beta)[0]
            gain[j, :] = gain[:, j] = np.inf
            alive = np.isfinite(gain[i])
            gain[i, alive] = (_costs(sums + sums[i], beta) - cost - cost[i])[alive]
            gain[alive, i] = gain[i, alive]

    def _moved(self, labels: Any, beta: float) -> Any:
        """Single inputs move, each to where the objective is lowest, until none does."""
        sums = np.concatenate([self._sums(labels), np.zeros((1, self._weighted.shape[1]))])
        labels = labels.copy()
        for _ in range(_SWEEPS):
            moved = False
            for x, row in enumerate(self._weighted):
                sums[labels[x]] -= row
                change = _costs(sums + row, beta) - _costs(sums, beta)
                target = int(change.argmin())
                moved |= change[target] < change[labels[x]] - 1e-12
                target = target if change[target] < change[labels[x]] - 1e-12 else labels[x]
                sums[target], labels[x] = sums[target] + row, target
                if sums[-1].any():
                    sums = np.concatenate([sums, np.zeros((1, sums.shape[1]))])
            if not moved:
                break
        return _numbered(labels)


def _costs(sums: Any, beta: float) -> Any:
    """φ of unnormalised clusters ``(m, k)``: −q ln q + β q H(Y|t), q their mass."""
    sums = np.maximum(sums, 0.0)
    mass = sums.sum(axis=1)
    logs = np.where(sums > 0, sums * np.log(np.where(sums > 0, sums, 1.0)), 0.0).sum(axis=1)
    own = np.where(mass > 0, mass * np.log(np.where(mass > 0, mass, 1.0)), 0.0)
    return (beta - 1) * own - beta * logs


def _numbered(labels: Any) -> Any:
    return np.unique(labels, return_inverse=True)[1]

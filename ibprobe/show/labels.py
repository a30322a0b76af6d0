"""Where the names of layers go so that none covers another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

_T = TypeVar("_T")

_CHARACTER, _LINE, _MARK = 6.6, 14.0, 12.0
"""Pixels of a character, of a line of text and of a point, at 12 px."""
# Beside the point, then above and below it, then further away.
_OFFSETS = tuple(
    (dx, dy, align)
    for reach in (1.0, 1.9, 2.8)
    for dx, dy, align in (
        (11.0, 0.0, "left"), (-11.0, 0.0, "right"), (0.0, -14 * reach, "center"), (0.0, 15 * reach, "center"),
        (10.0, -12 * reach, "left"), (10.0, 13 * reach, "left"),
        (-10.0, -12 * reach, "right"), (-10.0, 13 * reach, "right"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Label:
    """A name beside its point."""

    text: str
    dx: float
    dy: float
    align: str


@dataclass(frozen=True, slots=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )  # fmt: skip

    def meets_any(self, others: Iterable[_Box]) -> bool:
        return any(self.meets(other) for other in others)

    def within(self, width: int, height: int) -> bool:
        return self.left >= 0 and self.right <= width and self.top >= 0 and self.bottom <= height


def place_labels(
    points: Sequence[tuple[str, float, float]], crowd: Sequence[tuple[float, float]], width: int, height: int
) -> list[Label]:
    """A place for each name where it covers neither a point nor another name; names without one are left out.

    Args:
        points: name and position in pixels, in the order of the layers; the first and the last go first.
        crowd: positions of smaller marks, which names avoid where they can.
        width: of the plot, pixels.
        height: likewise.
    """
    marks = [_around(x, y, _MARK) for _, x, y in points]
    small = [_around(x, y, _MARK / 2) for x, y in crowd]
    found: list[Label] = []
    taken: list[_Box] = []
    for name, x, y in _by_rank(points):
        own = _around(x, y, _MARK)
        free = [
            (label, box)
            for label, box in _candidates(name, x, y)
            if box.within(width, height) and not box.meets_any([*taken, *(m for m in marks if m != own)])
        ]
        best = next((f for f in free if not f[1].meets_any(small)), free[0] if free else None)
        if best:
            found.append(best[0])
            taken.append(best[1])
    return found


def spread(positions: Sequence[float], gap: float, low: int, high: int) -> list[float]:
    """Heights at least ``gap`` apart and within the limits, each as near as may be to where it was asked for."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    placed = [0.0] * len(positions)
    previous = low - gap
    for i in order:
        previous = placed[i] = max(positions[i], previous + gap)
    limit = float(high)
    for i in reversed(order):
        limit = placed[i] = min(placed[i], limit)
        limit -= gap
    return placed


def standing_free(positions: Sequence[float], gap: float) -> list[int]:
    """Which of the positions to keep so that all are ``gap`` apart: the first, the last, then in order."""
    kept: list[int] = []
    for i in _by_rank(range(len(positions))):
        if all(abs(positions[i] - positions[j]) >= gap for j in kept):
            kept.append(i)
    return sorted(kept)


def _by_rank(items: Sequence[_T]) -> list[_T]:
    """The first and the last layer before those between them."""
    return [*items[:1], *items[1:][-1:], *items[1:-1]]


def _around(x: float, y: float, size: float) -> _Box:
    return _Box(x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def _candidates(name: str, x: float, y: float) -> Iterator[tuple[Label, _Box]]:
    wide = _CHARACTER * len(name)
    for dx, dy, align in _OFFSETS:
        start = x + dx - {"left": 0.0, "center": wide / 2, "right": wide}[align]
        yield Label(name, dx, dy, align), _Box(start - 3, y + dy - _LINE / 2, start + wide + 3, y + dy + _LINE / 2)

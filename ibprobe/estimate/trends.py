"""What only the course of several snapshots shows: layers that learn their training rows by heart."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ibprobe.record.records import Estimate


@dataclass(frozen=True, slots=True)
class _Point:
    """What a layer tells of the labels, on rows that it is trained with and on others."""

    train: Estimate
    held_out: Estimate

    @property
    def step(self) -> int:
        return self.train.step


class Trends:
    """Flags ``memorises`` on I(T̃;Y) of training rows that rises while that of held-out rows does not.

    Now is compared with the snapshot nearest to half the steps: whatever the schedule, that is long enough ago for a
    slow rise to exceed the errors, and it leaves the beginning behind, where both splits rise. All of this must hold:

    * on training rows, this value and the one before lie above that one, beyond both 95 % intervals;
    * on held-out rows, this value does not lie above the interval of that one, nor has it gained half as much: few
      held-out rows have wide intervals, in which a real gain is lost;
    * now, the training rows' interval lies above that of the held-out rows.

    Sixty snapshots of independent noise alone raise the flag in 1 % of runs at most; without the value before it would
    be in one of eight. I(X;T̃|Y) is no sign of it: with noise that scales with the layer it stays or falls when random
    labels are learnt by heart, and with absolute noise it also rises in layers that generalise, as their weights grow.

    Memory: two records a layer and snapshot, which the run keeps anyway.
    """

    def __init__(self) -> None:
        self._courses: dict[str, list[_Point]] = defaultdict(list)

    def marked(self, estimates: Sequence[Estimate]) -> list[Estimate]:
        """Take a snapshot in.

        Args:
            estimates: brackets of all its splits; nothing happens unless there are ``train`` and ``held_out``.

        Returns:
            The same, with the flag where it belongs.
        """
        labels = {(e.layer, e.split): e for e in estimates if e.quantity == "I_TY"}
        pairs = [(e, labels.get((layer, "held_out"))) for (layer, split), e in labels.items() if split == "train"]
        found = {train.layer for train, other in pairs if other is not None and self._memorises(_Point(train, other))}
        return [
            replace(e, flags=e.flags | {"memorises"})
            if (e.quantity, e.split) == ("I_TY", "train") and e.layer in found
            else e
            for e in estimates
        ]

    def _memorises(self, now: _Point) -> bool:
        course = self._courses[now.train.layer]
        if course and course[-1].step == now.step:
            course.pop()  # the same weights once more are no second witness
        course.append(now)
        then, before = _nearest(course, now.step / 2), course[-2:][0]
        rises = (
            then.step < before.step < now.step and _above(now.train, then.train) and _above(before.train, then.train)
        )
        gained, gained_elsewhere = (now.train.nats - then.train.nats, now.held_out.nats - then.held_out.nats)
        flat = now.held_out.nats <= then.held_out.ci_high and gained_elsewhere < gained / 2
        return rises and flat and _above(now.train, now.held_out)


def _nearest(course: Sequence[_Point], step: float) -> _Point:
    after = bisect_left(course, step, key=lambda point: point.step)
    return min(course[max(0, after - 1) : after + 1], key=lambda point: abs(point.step - step))


def _above(a: Estimate, b: Estimate) -> bool:
    return a.ci_low > b.ci_high

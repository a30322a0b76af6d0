"""The MINE estimator: held-out critics behind the protocol that all estimators share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import one_hot

from ibprobe.estimate.critic.canonical import GaussianHead
from ibprobe.estimate.critic.columns import ColumnHead
from ibprobe.estimate.critic.critics import CriticReading, Trace, fit_critics
from ibprobe.estimate.critic.held_out import DV, NCE
from ibprobe.estimate.critic.inputs import Bases
from ibprobe.estimate.critic.intervals import reading_of
from ibprobe.estimate.pairs import Pair, Reading

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped
    from torch import Tensor

COLD_STEPS, WARM_STEPS = 400, 24


class Mine:
    """Critics of any number of pairs, trained together and read on rows that they have not seen.

    A pair that comes again, by name, with the same folds and seed, starts from what its critics knew: fewer steps do.

    Args:
        bounds: what may be read: ``infonce``, and ``donsker-varadhan`` where it wins.
    """

    def __init__(self, bounds: Sequence[str] = (NCE, DV)) -> None:
        self._bounds = bounds
        self._memory: dict[str, tuple[Int[Tensor, " n"], int, tuple[Trace, ...]]] = {}

    def __call__(self, pairs: Mapping[str, Pair], folds: Int[Tensor, " n"], *, seed: int) -> dict[str, Reading | str]:
        """See :class:`~ibprobe.estimate.pairs.Estimator`."""
        numbers = [Pair(_numbers(p.a), _numbers(p.b), p.std) for p in pairs.values()]
        known = [self._recalled(name, folds, seed) for name in pairs]
        steps = WARM_STEPS if all(known) else COLD_STEPS
        readings = fit_critics(numbers, folds, seed=seed, steps=steps, bounds=self._bounds, memory=known)
        for name, r in zip(pairs, readings, strict=True):
            self._memory.pop(name, None)
            if r.memory and not r.diverged:
                self._memory[name] = (folds.clone(), seed, r.memory)
        return {
            name: "the critic diverged on this data" if r.diverged else _limited(r, pair)
            for (name, pair), r in zip(pairs.items(), readings, strict=True)
        }

    def _recalled(self, name: str, folds: Int[Tensor, " n"], seed: int) -> tuple[Trace, ...]:
        """What is known of the pair; rows in other folds would have been seen already."""
        then, with_seed, memory = self._memory.get(name, (folds[:0], seed, ()))
        return memory if with_seed == seed and torch.equal(then, folds) else ()

    def state_dict(self) -> dict[str, Any]:
        """What the critics have learned, as plain types and tensors."""
        return {
            name: {"folds": folds, "seed": seed, "traces": [_plain(t) for t in traces]}
            for name, (folds, seed, traces) in self._memory.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Start the next critics from there."""
        self._memory = {
            name: (known["folds"], known["seed"], tuple(map(_trace, known["traces"]))) for name, known in state.items()
        }


_HEADS = {head.__name__: head for head in (GaussianHead, ColumnHead)}


def _plain(t: Trace) -> dict[str, Any]:
    return {"theta": t.theta, "bases": (t.bases.a, t.bases.b), "ranked": t.ranked, "head": t.head.__name__}


def _trace(known: Mapping[str, Any]) -> Trace:
    return Trace(known["theta"], Bases(*known["bases"]), known["ranked"], _HEADS[known["head"]])


def _numbers(side: Shaped[Tensor, "n ..."]) -> Float[Tensor, "n k"]:
    return one_hot(side).float() if side.ndim == 1 else side


def _limited(r: CriticReading, pair: Pair) -> Reading:
    """At most H(Y): labels cannot tell more than they hold."""
    reading = reading_of(r)
    if pair.classes is None:
        return reading
    p = torch.bincount(pair.classes).double() / len(pair.classes)
    most = float(torch.special.entr(p).sum())
    known = ("nats", "ci_low", "ci_high", "lower_confidence")
    return replace(reading, **{name: min(getattr(reading, name), most) for name in known})

"""The MINE estimator: held-out critics behind the protocol that all estimators share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch.nn.functional import one_hot

from ibprobe.estimate.critic.critics import CriticReading, fit_critics
from ibprobe.estimate.pairs import Pair, Reading

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped
    from torch import Tensor


class Mine:
    """Critics of any number of pairs, trained together and read on rows that they have not seen."""

    def __call__(self, pairs: Mapping[str, Pair], folds: Int[Tensor, " n"], *, seed: int) -> dict[str, Reading | str]:
        """See :class:`~ibprobe.estimate.pairs.Estimator`."""
        numbers = [Pair(_numbers(p.a), _numbers(p.b), p.std) for p in pairs.values()]
        readings = fit_critics(numbers, folds, seed=seed)
        return {name: "it diverged" if r.diverged else _reading(r) for name, r in zip(pairs, readings, strict=True)}


def _numbers(side: Shaped[Tensor, n * d]) -> Float[Tensor, "n k"]:
    return one_hot(side).float() if side.ndim == 1 else side


def _reading(r: CriticReading) -> Reading:
    flags = {"low_ess": r.ess < 100, "over_fitted": r.train_nats - r.nats > 0.5}
    return Reading(
        nats=r.nats, ci_low=r.nats - 1.96 * r.se, ci_high=r.nats + 1.96 * r.se, lower_confidence=r.nats - 1.645 * r.se,
        bound=r.bound, ess=r.ess, flags=frozenset(k for k, on in flags.items() if on),
    )  # fmt: skip

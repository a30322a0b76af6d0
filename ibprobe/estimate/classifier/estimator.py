"""The estimator ``classifier``: pairs with class labels to readings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

from ibprobe.estimate.classifier.crossfit import cross_fit
from ibprobe.estimate.classifier.reading import BOUND, reading_of
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.threads import one_thread

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor

MIN_ROWS = 16


class Classifier:
    """I(T;Y) = H(Y) − H(Y|T), with the cross-entropy of a calibrated classifier of held-out rows for H(Y|T).

    The classifier is a shrunk linear discriminant, with a quadratic one and kernel sums over near rows beside it, and a
    small residual network on the linear one, so that curved classes and classes of several clusters are not lost. What
    tells nothing on rows that it was not fitted on gets no weight: labels without dependence read 0.

    The point value leans from the held-out towards the training value, half of the way for discriminants and three
    quarters for networks, and by what more near rows would tell; ``lower_confidence`` is of held-out rows alone; how
    the interval is made, and how often it held the truth, is in ``docs/intervals.md``.
    """

    def __call__(
        self, pairs: Mapping[str, Pair], folds: Int[Tensor, " n"], *, seed: int
    ) -> Mapping[str, Reading | str]:
        """Estimate every pair on its own: what stands beside it changes nothing.

        Args:
            pairs: by name; one side holds class labels.
            folds: fold of each row. They are cut finer at random: a row is read by fits that have not seen it, though
                some have seen other rows of its fold.
            seed: of the finer folds, the noise and the networks.

        Returns:
            For every name a reading, or one sentence saying why there is none.
        """
        return {name: _estimate(pair, folds, seed) for name, pair in pairs.items()}


@torch.no_grad()
def _estimate(pair: Pair, folds: Int[Tensor, " n"], seed: int) -> Reading | str:
    labels = pair.classes
    if labels is None:
        return "a classifier needs class labels on one side: one integer a row"
    if len(labels) < MIN_ROWS:
        return f"{len(labels)} rows; a classifier that is read on rows it has not seen needs at least {MIN_ROWS}"
    values, y = torch.unique(labels, return_inverse=True)
    if len(values) == len(y):
        return "no class has two rows"
    if len(values) == 1:
        return Reading(
            nats=0.0, ci_low=0.0, ci_high=0.0, lower_confidence=0.0, bound=BOUND, flags=frozenset({"one_class"})
        )
    numbers, std = (pair.b, pair.std) if labels is pair.a else (pair.a, 0.0)
    if numbers.ndim == 1:
        numbers = one_hot(torch.unique(numbers, return_inverse=True)[1])
    with torch.autocast(y.device.type, enabled=False), one_thread():
        return reading_of(cross_fit(numbers, y, std, folds, torch.Generator().manual_seed(seed)))

"""Whether sequences came sorted by length: rows that a sampler hands out in buckets are no random sample."""

from __future__ import annotations

from collections.abc import Sequence

from ibprobe.capture.rows import Batch
from ibprobe.capture.views import token_mask

ALIKE = 0.5
"""Share of the lengths' variance that lies between batches, beyond which they were not drawn at random."""

_FEWEST_BATCHES, _FEWEST_ROWS = 8, 128


def bucketed(batches: Sequence[Batch]) -> bool:
    """Whether the unmasked tokens of a batch are so alike in number that batches were made by length.

    The one-way intraclass correlation of lengths in batches: 0 in expectation for rows that are drawn at random, 1
    where all rows of a batch are equally long. Without a mask nothing is said, for what was padded all looks alike.

    Args:
        batches: as training has handed them out; fewer than 8 or 128 rows tell nothing.
    """
    masks = [token_mask(b.kwargs) for b in batches]
    lengths = [mask.sum(1).double() for mask in masks if mask is not None]
    k, n = len(lengths), sum(map(len, lengths))
    if k < max(len(batches), _FEWEST_BATCHES) or n < _FEWEST_ROWS or n == k:
        return False
    mean = sum(float(of.sum()) for of in lengths) / n
    between = sum(len(of) * (float(of.mean()) - mean) ** 2 for of in lengths) / (k - 1)
    within = sum(float((of - of.mean()).square().sum()) for of in lengths) / (n - k)
    size = (n - sum(len(of) ** 2 for of in lengths) / n) / (k - 1)
    return between - within > ALIKE * (between + (size - 1) * within)

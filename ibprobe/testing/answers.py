"""Pairs whose mutual information is known, one of every kind that an estimator meets."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ibprobe.estimate.pairs import Pair

ROWS = 1000
Known = Mapping[str, tuple[Pair, float]]
"""A pair by the name that a run would give it, with its information in nats."""


def _normal(seed: int) -> Tensor:
    return torch.randn((ROWS, 1), generator=torch.Generator().manual_seed(seed))


def _labels(seed: int) -> Tensor:
    return torch.randint(3, (ROWS,), generator=torch.Generator().manual_seed(seed))


def independent() -> Known:
    """Sides that tell nothing of each other."""
    return {
        "independent columns": (Pair(_normal(1), _normal(2)), 0.0),
        "independent labels": (Pair(_labels(4), _normal(1)), 0.0),
        "independent labels of a channel": (Pair(_labels(4), _normal(1), 0.5), 0.0),
        "two independent sides of labels": (Pair(_labels(4), _labels(5)), 0.0),
    }


def dependent() -> Known:
    """Sides with a closed form: −½ ln(1 − ρ²), ½ ln(1 + 1/std²), and H(Y) of classes that lie far apart."""
    x, y = _normal(1), _labels(4)
    far = 8.0 * y[:, None] + x
    return {
        "columns with correlation 0.8": (Pair(x, 0.8 * x + 0.6 * _normal(2)), -0.5 * math.log(1 - 0.8**2)),
        "a column and its noisy self": (Pair(x, x, 0.5), 0.5 * math.log1p(4)),
        "labels and classes far apart": (Pair(y, far), math.log(3)),
        "labels and classes far apart, of a channel": (Pair(y, far, 0.5), math.log(3)),
        "labels and the same labels renamed": (Pair(y, (y + 1) % 3), math.log(3)),
    }

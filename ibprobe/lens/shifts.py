"""Shifted data: what a deployed model might meet that held-out rows do not show."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ibprobe.errors import BadInput, UnknownName
from ibprobe.lens.design import imported

Shift = Callable[[Tensor], Tensor]

_SEED = 7
_NOISE, _BRIGHTER, _MOVED, _HIDDEN = 0.3, 0.3, 0.15, 0.35
"""Standard deviation and brightness of values in [0, 1]; shares of an image's side."""


def noise(x: Tensor) -> Tensor:
    """Gaussian noise, the same at every call."""
    return x + _NOISE * torch.randn(x.shape, generator=torch.Generator().manual_seed(_SEED)).to(x)


def brightness(x: Tensor) -> Tensor:
    """All values are higher."""
    return x + _BRIGHTER


def translation(x: Tensor) -> Tensor:
    """Images moved to the right and down; what comes in is empty."""
    images = _images(x)
    by = max(1, round(_MOVED * images.shape[-1]))
    moved = torch.zeros_like(images)
    moved[..., by:, by:] = images[..., :-by, :-by]
    return moved.reshape(x.shape)


def occlusion(x: Tensor) -> Tensor:
    """A square of each image is empty, somewhere else in each."""
    images = _images(x).clone()
    side = max(1, round(_HIDDEN * images.shape[-1]))
    generator = torch.Generator().manual_seed(_SEED)
    places = torch.randint(images.shape[-1] - side + 1, (len(images), 2), generator=generator)
    for image, (top, left) in zip(images, places.tolist(), strict=True):
        image[..., top : top + side, left : left + side] = 0
    return images.reshape(x.shape)


BUILT_IN: Mapping[str, Shift] = {f.__name__: f for f in (noise, translation, brightness, occlusion)}


def _images(x: Tensor) -> Tensor:
    """Square images, of rows that may be flat."""
    if x.ndim >= 3:
        return x
    side = math.isqrt(x.shape[1])
    if side * side != x.shape[1]:
        raise BadInput(f"translation and occlusion are for square images; rows have {x.shape[1]} values")
    return x.reshape(-1, 1, side, side)


def named_shifts(names: Sequence[str]) -> dict[str, Shift]:
    """Shifts by name: built-in ones, or ``package.module:function`` of one's own.

    Raises:
        UnknownName: neither.
    """
    return {name: imported(name) if ":" in name else _built_in(name) for name in names}


def _built_in(name: str) -> Shift:
    if name not in BUILT_IN:
        raise UnknownName("shift", name, BUILT_IN, hint="or package.module:function")
    return BUILT_IN[name]

"""Pictures with known factors, drawn by code: superellipsoids under a lamp that goes round."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

if TYPE_CHECKING:
    from jaxtyping import Float, Int

FACTORS = ("shape", "rotation", "x", "y", "size", "albedo", "light")
VALUES = (3, 8, 5, 5, 3, 3, 16)
"""Values of each factor. Eight rotations are half a turn, and the body is symmetric; sixteen lights are a whole one."""
TRAINED, SHIFTED = (0, 1, 2, 3, 4), (8, 9, 10, 11, 12)
"""Lights from 0 to 90 degrees, and the opposite ones."""

_EXPONENTS, _ALBEDOS, _SIZES = (2.0, 4.0, 1.2), (0.5, 0.75, 1.0), (0.3, 0.4, 0.5)
# Half-axes of the body in its own frame, and what is lit without the lamp.
_AXES, _AMBIENT, _ELEVATION = (1.0, 0.55, 0.7), 0.15, math.pi / 5
_BATCH = 64


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures between 0 and 1, and the factors that drew them where those are known."""

    images: Float[Tensor, "n colours side side"]
    factors: Int[Tensor, "n factors"] | None


@dataclass(frozen=True, slots=True)
class Split:
    """What a model learns, what it has not seen, and the same unseen bodies after a shift: here, opposite lights."""

    train: Pictures
    held_out: Pictures
    shifted: Pictures


def lit_shapes(held_out: float = 0.1, *, most: int | None = None, side: int = 32, seed: int = 0) -> Split:
    """All bodies under five adjacent lights, split at random by body.

    Args:
        held_out: share of the bodies that no training picture shows.
        most: bodies at most, a random choice; all 5,400 by default, which are 24,300 training pictures.
        side: pixels.
        seed: of the choice.
    """
    bodies = torch.tensor(list(product(*(range(values) for values in VALUES[:-1]))))
    order = torch.randperm(len(bodies), generator=torch.Generator().manual_seed(seed))[:most]
    unseen = max(1, round(held_out * len(order)))
    return Split(
        _drawn(bodies[order[unseen:]], TRAINED, side),
        _drawn(bodies[order[:unseen]], TRAINED, side),
        _drawn(bodies[order[:unseen]], SHIFTED, side),
    )


def _drawn(bodies: Int[Tensor, "n 6"], lights: tuple[int, ...], side: int) -> Pictures:
    light = torch.tensor(lights).repeat(len(bodies))[:, None]
    factors = torch.cat([bodies.repeat_interleave(len(lights), 0), light], 1)
    images = torch.cat([render(some, lights, side) for some in torch.split(bodies, _BATCH)])
    return Pictures(images.reshape(-1, 1, side, side), factors)


def render(bodies: Int[Tensor, "n 6"], lights: Sequence[int], side: int = 32) -> Float[Tensor, "n lights side side"]:
    """Draw bodies |x/a|ᵖ + |y/b|ᵖ + |z/c|ᵖ = 1 as seen from above, with Lambert's shading and exact normals.

    Args:
        bodies: values as numbers 0, 1, …, in the order of ``FACTORS`` without the light.
        lights: values of the light, each for all bodies.
        side: pixels; each is the mean of four points.
    """
    shape, rotation, x, y, size, albedo = (column[:, None, None] for column in bodies.T)
    power, body = _of(_EXPONENTS, shape), _of(_SIZES, size)
    turn = rotation * (math.pi / VALUES[1])
    line = (torch.arange(2 * side) + 0.5) / side - 1
    right, up = line[None, None, :] - (x - 2) * 0.2, -line[None, :, None] - (y - 2) * 0.2
    # In the body's own frame, in units of its axes.
    a, b, c = (body * axis for axis in _AXES)
    u, v = (torch.cos(turn) * right + torch.sin(turn) * up) / a, (torch.cos(turn) * up - torch.sin(turn) * right) / b
    left = 1 - u.abs() ** power - v.abs() ** power
    inside = left > 0
    w = left.clamp_min(1e-6) ** (1 / power)
    normal = torch.stack([_slope(u, power) / a, _slope(v, power) / b, _slope(w, power) / c])
    normal = normal / normal.norm(dim=0)
    colour, flat = inside * _of(_ALBEDOS, albedo), math.cos(_ELEVATION)
    pictures = []
    for light in lights:
        towards = light * (2 * math.pi / VALUES[-1]) - turn
        lit = flat * (normal[0] * torch.cos(towards) + normal[1] * torch.sin(towards))
        shade = (lit + math.sin(_ELEVATION) * normal[2]).clamp_min(0)
        pictures.append(colour * (_AMBIENT + (1 - _AMBIENT) * shade))
    return avg_pool2d(torch.stack(pictures, 1), 2)


def _slope(t: Tensor, power: Tensor) -> Tensor:
    """Derivative of |t|ᵖ/p."""
    return t.sign() * t.abs() ** (power - 1)


def _of(values: tuple[float, ...], which: Tensor) -> Tensor:
    return torch.tensor(values)[which]

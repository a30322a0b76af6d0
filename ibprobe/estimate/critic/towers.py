"""Separable critics as rows of one parameter matrix, so that many step together and none touches another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ibprobe.estimate.critic.inputs import WIDTH

if TYPE_CHECKING:
    from jaxtyping import Bool, Float
    from torch import Tensor

HIDDEN = 64
EMBEDDING = 24
WAVES = 4
"""Cosines of the rank beside a lone column, so that sharp edges can be seen."""


def features(u: Float[Tensor, "n k"]) -> Float[Tensor, "n k2"]:
    """Clipped columns and clipped squares, interleaved: the squares see dependence of the spread, not of the mean."""
    plain = torch.stack([u.clamp(-3, 3), ((u.square() - 1) / 1.5).clamp(-1, 3)], -1).flatten(1)
    if u.shape[1] > 1:
        return plain
    order = math.pi * torch.arange(1, WAVES + 1, device=u.device)
    return torch.cat([plain, math.sqrt(2) * torch.cos(torch.special.ndtr(u) * order)], 1)


class Towers:
    """The shape of a stack: f(a, b) = ⟨φ(a), ψ(b)⟩/√e + c(a), each tower two residual layers and a linear skip.

    A term in b alone is left out: it cancels in InfoNCE.
    """

    def __init__(self, width_a: int, width_b: int) -> None:
        self.widths = (width_a, width_b)
        self.shapes = [*_tower_shapes(width_a, EMBEDDING + 1), *_tower_shapes(width_b, EMBEDDING)]

    def initial(
        self, fans: Sequence[tuple[int, int]], generator: torch.Generator, device: torch.device
    ) -> Float[Tensor, "s p"]:
        """Parameters of one critic per entry of `fans`, its true input widths.

        All start from the same draw, made at full width and cut: what a critic starts from then depends neither on
        its neighbours nor on its place. The a tower ends in zeros, so every network starts as f = 0; the kinks of the
        first layer are spread over the data.
        """
        full = [*_tower_shapes(2 * WIDTH, EMBEDDING + 1), *_tower_shapes(2 * WIDTH, EMBEDDING)]
        draws = [torch.randn(shape, generator=generator, device=device) for shape in full]
        rows = []
        for fan_a, fan_b in fans:
            fan_in = [fan_a, 1, HIDDEN, 0, 0, 0, 0, fan_b, 1, HIDDEN, 0, HIDDEN, fan_b, 0]
            cut = zip(draws, self.shapes, fan_in, strict=True)
            rows.append(torch.cat([(d[:i] * (f**-0.5 if f else 0.0)).flatten() for d, (i, _), f in cut]))
        return torch.stack(rows)

    def scores(
        self, theta: Float[Tensor, "s p"], a: Float[Tensor, "s m fa"], b: Float[Tensor, "s n fb"]
    ) -> Float[Tensor, "s n m"]:
        """Score matrices, one per critic: rows are b, columns are a."""
        flat = torch.split(theta, [i * o for i, o in self.shapes], 1)
        weights = [w.view(-1, *shape) for w, shape in zip(flat, self.shapes, strict=True)]
        phi, psi = _tower(weights[:7], a), _tower(weights[7:], b) / math.sqrt(EMBEDDING)
        return torch.bmm(F.pad(psi, (0, 1), value=1.0), phi.transpose(1, 2))


def _tower_shapes(width: int, out: int) -> list[tuple[int, int]]:
    return [
        (width, HIDDEN),
        (1, HIDDEN),
        (HIDDEN, HIDDEN),
        (1, HIDDEN),
        (HIDDEN, out),
        (width, out),
        (1, out),
    ]


def _tower(weights: Sequence[Float[Tensor, "s _ _"]], x: Float[Tensor, "s n i"]) -> Float[Tensor, "s n e"]:
    first, bias_1, second, bias_2, last, skip, bias_3 = weights
    h = torch.relu(torch.baddbmm(bias_1, x, first))
    h = h + torch.relu(torch.baddbmm(bias_2, h, second))
    return torch.baddbmm(torch.baddbmm(bias_3, x, skip), h, last)


class ClippedAdam:
    """AdamW on a parameter matrix with the gradient norm clipped per row, so that rows stay independent.

    Not torch.optim: its global step hooks would see our steps as the user's. `average` is the exponential moving
    average of the parameters, which generalises better than the last step.
    """

    decay, clip, memory = 1.0, 1.0, 0.98

    def __init__(self, theta: Float[Tensor, "s p"], lr: Float[Tensor, " s"]) -> None:
        self.theta, self.average, self.lr = theta, theta.clone(), lr[:, None]
        self.mean, self.square = torch.zeros_like(theta), torch.zeros_like(theta)
        self.count = 0

    @torch.no_grad()
    def step(self, gradient: Float[Tensor, "s p"], schedule: float) -> None:
        """One update; `schedule` scales the learning rates."""
        norm = gradient.norm(dim=1, keepdim=True)
        gradient = gradient * (self.clip / norm.clamp_min(self.clip))
        self.count += 1
        self.mean.lerp_(gradient, 0.1)
        self.square.lerp_(gradient.square(), 0.01)
        mean, square = self.mean / (1 - 0.9**self.count), self.square / (1 - 0.99**self.count)
        lr = self.lr * schedule
        self.theta = self.theta * (1 - lr * self.decay) - lr * mean / (square.sqrt() + 1e-8)
        self.average.lerp_(self.theta, 1 - min(self.memory, self.count / (9 + self.count)))

    def keep(self, rows: Bool[Tensor, " s"]) -> None:
        """Drop the critics that have settled."""
        for name in ("theta", "average", "lr", "mean", "square"):
            setattr(self, name, getattr(self, name)[rows])

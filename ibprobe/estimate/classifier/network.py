"""Small residual networks on top of given logits, one per fold, that step together.

The gradient is written out: it is four lines, needs no autograd and so works under any mode of the caller.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

HIDDEN = 128
BATCH = 256
LEARNING_RATE = 8e-3
DECAY = 1e-2
CHECK, PATIENCE = 20, 4
"""Steps between looks at the validation rows; looks without a gain after which training ends."""
MIN_GAIN = 1e-4
"""In nats; less is not worth waiting for."""
CLIP = 3.0
"""Beyond this many root mean squares of its column a value tells the network nothing more."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a stack of g networks is trained on."""

    u: Float[Tensor, "r n d"]
    """Rows under r draws of their noise."""
    y: Int[Tensor, " n"]
    logits: Float[Tensor, "g r n k"]
    """What each network adds to."""
    fit: Int[Tensor, "g a"]
    """Rows that each network is trained on."""
    val: Int[Tensor, "g b"]
    """Rows that decide when it stops."""


class Networks:
    """f(u) = h W₃ with h = a + relu(a W₂ + b₂), a = relu(u W₁ + b₁); starts as f = 0."""

    def __init__(self, task: Task, generator: torch.Generator) -> None:
        copies, width, classes = len(task.fit), task.u.shape[2], task.logits.shape[3]
        device = task.u.device

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator).to(device).expand(copies, *shape[1:]).clone()

        # Columns of mere noise stay as small as they are; what holds most of the variance is brought to size 1.
        self.scale = 1 / task.u.square().mean((0, 1)).sqrt().clamp_min(1.0)
        self.parameters = [
            draw(1, width, HIDDEN) * width**-0.5,
            draw(1, 1, HIDDEN) * 0.5,
            draw(1, HIDDEN, HIDDEN) * HIDDEN**-0.5,
            torch.zeros(copies, 1, HIDDEN, device=device),
            torch.zeros(copies, HIDDEN, classes, device=device),
        ]

    def __call__(self, u: Float[Tensor, "g m d"]) -> Float[Tensor, "g m k"]:
        """Logits to add."""
        return self._forward(u)[-1]

    def gradient(
        self, u: Float[Tensor, "g m d"], logits: Float[Tensor, "g m k"], y: Int[Tensor, "g m"]
    ) -> list[Tensor]:
        """Gradient of the mean cross-entropy of each network."""
        _, _, second, _, last = self.parameters
        x, a, c, h, f = self._forward(u)
        error = torch.softmax(logits + f, 2)
        error.scatter_add_(2, y[..., None], error.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))
        error /= y.shape[1]
        back = error @ last.mT
        back_2 = back * (c > 0)
        back_1 = (back + back_2 @ second.mT) * (a > 0)
        return [x.mT @ back_1, back_1.sum(1, True), a.mT @ back_2, back_2.sum(1, True), h.mT @ error]

    def _forward(self, u: Float[Tensor, "g m d"]) -> tuple[Tensor, ...]:
        first, bias_1, second, bias_2, last = self.parameters
        x = (u * self.scale).clamp(-CLIP, CLIP)
        a = torch.relu(torch.baddbmm(bias_1, x, first))
        c = torch.relu(torch.baddbmm(bias_2, a, second))
        h = a + c
        return x, a, c, h, h @ last


class _Adam:
    """AdamW with decoupled decay. Not torch.optim: its global step hooks would see our steps as the user's."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters, self.count = parameters, 0
        self.mean = [torch.zeros_like(p) for p in parameters]
        self.square = [torch.zeros_like(p) for p in parameters]

    def step(self, gradient: list[Tensor], rate: float) -> None:
        self.count += 1
        size, root = rate / (1 - 0.9**self.count), math.sqrt(1 - 0.99**self.count)
        for p, g, m, s in zip(self.parameters, gradient, self.mean, self.square, strict=True):
            m.lerp_(g, 0.1)
            s.mul_(0.99).addcmul_(g, g, value=0.01)
            p.mul_(1 - rate * DECAY).addcdiv_(m, s.sqrt() / root + 1e-8, value=-size)


def train(task: Task, steps: int, generator: torch.Generator) -> Networks:
    """Networks as they were when their validation rows read most.

    Cosine-decayed steps on batches of every network's own rows, each under one of its draws; a stack in which no
    network gains any more is done.
    """
    nets = Networks(task, generator)
    optimizer = _Adam(nets.parameters)
    best = [p.clone() for p in nets.parameters]
    record, waited = _validation_loss(nets, task), 0
    for step, batch in enumerate(_batches(task.fit.shape[1], steps, generator)):
        rows = task.fit[:, batch]
        inputs, logits = _drawn(task, rows, generator)
        gradient = nets.gradient(inputs, logits, task.y[rows])
        optimizer.step(gradient, LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps)))
        if (step + 1) % CHECK == 0:
            loss = _validation_loss(nets, task)
            better = loss < record - MIN_GAIN
            record = torch.where(better, loss, record)
            for kept, p in zip(best, nets.parameters, strict=True):
                kept[better] = p[better]
            waited = 0 if bool(better.any()) else waited + 1
            if waited >= PATIENCE:
                break
    nets.parameters = best
    return nets


def _batches(rows: int, steps: int, generator: torch.Generator) -> list[Tensor]:
    """Positions of the rows of each batch, every row once before any twice."""
    size = min(BATCH, rows)
    per_epoch = rows // size
    epochs = -(-steps // per_epoch)
    orders = [torch.randperm(rows, generator=generator) for _ in range(epochs)]
    return [part for order in orders for part in order[: per_epoch * size].view(per_epoch, size)][:steps]


def _drawn(
    task: Task, rows: Int[Tensor, "g m"], generator: torch.Generator
) -> tuple[Float[Tensor, "g m d"], Float[Tensor, "g m k"]]:
    draw = torch.randint(len(task.u), rows.shape, generator=generator).to(rows.device)
    each = torch.arange(len(rows), device=rows.device)[:, None]
    return task.u[draw, rows], task.logits[each, draw, rows]


def _validation_loss(nets: Networks, task: Task) -> Float[Tensor, " g"]:
    """Mean cross-entropy of each network on its validation rows, under the first draw."""
    each = torch.arange(len(task.val), device=task.val.device)[:, None]
    logits = task.logits[each, 0, task.val] + nets(task.u[0, task.val])
    own = logits.gather(2, task.y[task.val][..., None])[..., 0]
    return (logits.logsumexp(2) - own).mean(1)

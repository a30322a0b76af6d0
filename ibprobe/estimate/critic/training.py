"""Training many critics at once, each as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from ibprobe.estimate.critic.head import Head
from ibprobe.estimate.critic.inputs import MAX_COLUMNS, Inputs
from ibprobe.estimate.critic.towers import ClippedAdam, Towers, features

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

BATCH = 256
VALIDATE_EVERY = 20
PATIENCE = 5


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of one fold by what they are for, and the noise that its readings share."""

    fit: Int[Tensor, " f"]
    val: Int[Tensor, " v"]
    held: Int[Tensor, " h"]
    eps: Float[Tensor, "n 64"]


@dataclass(frozen=True, slots=True)
class Task:
    """One pair in one fold: what a critic is fitted to."""

    split: Split
    inputs: Inputs
    head: Head
    final_head: Head


class Stack:
    """All tasks padded to common widths; the a side, which has no noise, is prepared once."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.a = pad_stack([features(t.inputs.a) for t in tasks])
        self.head_a = pad_stack([t.head.of_a(t.inputs.a) for t in tasks])
        self.towers = Towers(self.a.shape[2], max(2 * t.inputs.b.shape[1] for t in tasks))
        self.places = torch.arange(len(tasks), device=self.a.device)[:, None]

    def scores(
        self,
        theta: Float[Tensor, "s p"],
        rows: Sequence[Int[Tensor, " m"]],
        eps: Sequence[Float[Tensor, "m 64"]],
    ) -> Float[Tensor, "s m m"]:
        """Head plus network of every task, on its own rows with its own noise."""
        drawn = zip(self.tasks, rows, eps, strict=True)
        b = [(task, task.inputs.noisy(e, r)) for task, r, e in drawn]
        head_b = pad_stack([task.head.of_b(x) for task, x in b])
        features_b = pad_stack([features(x) for _, x in b], self.towers.widths[1])
        index = torch.stack(list(rows))
        head = torch.bmm(head_b, self.head_a[self.places, index].transpose(1, 2))
        return head + self.towers.scores(theta, self.a[self.places, index], features_b)


def pad_stack(rows: Sequence[Float[Tensor, "n _"]], width: int = 0) -> Float[Tensor, "s n k"]:
    """One stack of the matrices, filled up with zero columns to the widest, or to `width`."""
    width = max([width, *(r.shape[1] for r in rows)])
    return torch.stack([F.pad(r, (0, width - r.shape[1])) for r in rows])


def train(
    stack: Stack, folds: int, steps: int, generator: torch.Generator
) -> tuple[Float[Tensor, "s p"], Bool[Tensor, " s"]]:
    """Ascend InfoNCE; returns each task's best parameters on its validation rows, and whether it diverged."""
    tasks, device = stack.tasks, stack.a.device
    splits = [task.split for task in tasks[:folds]]
    fans = [(2 * t.inputs.a.shape[1], 2 * t.inputs.b.shape[1]) for t in tasks]
    theta = stack.towers.initial(fans, generator, device)
    adam = ClippedAdam(theta, lr=2e-3, decay=1e-2, clip=1.0)
    best = _Best(theta)
    batch = min(BATCH, len(splits[0].fit))
    for step in range(steps + 1):
        if step % VALIDATE_EVERY == 0 or step == steps:
            val = [t.split.val for t in tasks], [t.split.eps[t.split.val] for t in tasks]
            with torch.no_grad():
                best.update(theta, _objective(stack.scores(theta, *val)))
            if best.settled():
                break
        drawn = [_batch(split, batch, generator) for split in splits]
        rows, eps = ([d[i] for d in drawn] * (len(tasks) // folds) for i in (0, 1))
        leaf = theta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(-_objective(stack.scores(leaf, rows, eps)).sum(), leaf)
        adam.step(gradient, 0.5 * (1 + math.cos(math.pi * step / max(steps, 1))))
    return best.theta, best.diverged | ~theta.isfinite().all(1)


def _batch(split: Split, size: int, generator: torch.Generator) -> tuple[Int[Tensor, " m"], Float[Tensor, "m 64"]]:
    device = split.fit.device
    rows = split.fit[torch.randperm(len(split.fit), generator=generator, device=device)[:size]]
    return rows, torch.randn(size, MAX_COLUMNS, generator=generator, device=device)


def _objective(scores: Float[Tensor, "s m m"]) -> Float[Tensor, " s"]:
    """InfoNCE of each matrix of a stack."""
    joint = scores.diagonal(dim1=1, dim2=2)
    return (joint - scores.logsumexp(2)).mean(1) + math.log(scores.shape[2])


class _Best:
    """The best parameters so far of each critic, as copies, and how long ago they were found."""

    def __init__(self, theta: Float[Tensor, "s p"]) -> None:
        self.theta = theta.clone()
        self.value = torch.full((len(theta),), -math.inf, device=theta.device)
        self.waited = torch.zeros_like(self.value)
        self.diverged = torch.zeros_like(self.value, dtype=torch.bool)

    def update(self, theta: Float[Tensor, "s p"], value: Float[Tensor, " s"]) -> None:
        better = value > self.value
        self.theta = torch.where(better[:, None], theta, self.theta)
        self.value = torch.where(better, value, self.value)
        self.waited = torch.where(better, 0, self.waited + 1)
        self.diverged |= ~value.isfinite()

    def settled(self) -> bool:
        return bool((self.waited >= PATIENCE).all())

"""Training many critics at once, each as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
import torch.nn.functional as F

from ibprobe.estimate.critic.inputs import WIDTH, Inputs
from ibprobe.estimate.critic.towers import ClippedAdam, Towers, features

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int
    from torch import Tensor

BATCH = 256
VALIDATE_EVERY = 20
PATIENCE = 5
COLD_RATE, WARM_RATE = 1e-2, 3e-3


@runtime_checkable
class Head(Protocol):
    """A start for a critic: a score that is an inner product of two row features."""

    def of_a(self, a: Float[Tensor, "n ka"]) -> Float[Tensor, "n r"]:
        """Features of the a side."""
        ...

    def of_b(self, b: Float[Tensor, "n kb"]) -> Float[Tensor, "n r"]:
        """Features of the b side."""
        ...


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of one fold by what they are for, and the noise that its readings share."""

    fold: int
    fit: Int[Tensor, " f"]
    val: Int[Tensor, " v"]
    held: Int[Tensor, " h"]
    eps: Float[Tensor, "n e"]


@dataclass(frozen=True, slots=True)
class Task:
    """One pair in one fold: what a critic is fitted to."""

    split: Split
    inputs: Inputs
    head: Head
    """Fitted without the validation rows, for training and for choosing."""
    final_head: Head
    """Fitted with them, for the last reading."""
    start: Float[Tensor, " p"] | None
    """Parameters of an earlier step."""


class Stack:
    """Tasks padded to common widths; the a side, which has no noise, is prepared once."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self.a = pad_stack([features(t.inputs.a) for t in tasks])
        self.head_a = pad_stack([t.head.of_a(t.inputs.a) for t in tasks])
        self.fans = [(features(t.inputs.a[:1]).shape[1], features(t.inputs.b[:1]).shape[1]) for t in tasks]
        self.towers = Towers(self.a.shape[2], max(b for _, b in self.fans))
        self.still = (
            None if any(bool(t.inputs.noise.any()) for t in tasks) else self._sides_b([t.inputs.b for t in tasks])
        )

    def only(self, kept: Bool[Tensor, " s"]) -> Stack:
        """A smaller stack of the same widths."""
        part = object.__new__(Stack)
        part.tasks = [t for t, k in zip(self.tasks, kept.tolist(), strict=True) if k]
        part.fans = [f for f, k in zip(self.fans, kept.tolist(), strict=True) if k]
        part.a, part.head_a, part.towers = self.a[kept], self.head_a[kept], self.towers
        part.still = None if self.still is None else (self.still[0][kept], self.still[1][kept])
        return part

    def _sides_b(self, rows: Sequence[Float[Tensor, "m _"]]) -> tuple[Float[Tensor, "s m r"], Float[Tensor, "s m fb"]]:
        """What head and network see of the b sides."""
        heads = [task.head.of_b(b) for task, b in zip(self.tasks, rows, strict=True)]
        return pad_stack(heads, self.head_a.shape[2]), pad_stack([features(b) for b in rows], self.towers.widths[1])

    def initial(self, generator: torch.Generator) -> Float[Tensor, "s p"]:
        """Where each critic starts: where it was left, or anew."""
        theta = self.towers.initial(self.fans, generator, self.a.device)
        for row, task in zip(theta, self.tasks, strict=True):
            if task.start is not None and task.start.shape == row.shape:
                row.copy_(task.start)
        return theta

    def scores(
        self,
        theta: Float[Tensor, "s p"],
        rows: Sequence[Int[Tensor, " m"]],
        eps: Sequence[Float[Tensor, "m e"]],
    ) -> Float[Tensor, "s m m"]:
        """Head plus network of every task, on its own rows with its own noise."""
        places, index = torch.arange(len(rows), device=self.a.device)[:, None], torch.stack(list(rows))
        if self.still is None:
            drawn = zip(self.tasks, rows, eps, strict=True)
            head_b, features_b = self._sides_b([task.inputs.noisy(e, r) for task, r, e in drawn])
        else:
            head_b, features_b = (side[places, index] for side in self.still)
        head = torch.bmm(head_b, self.head_a[places, index].transpose(1, 2))
        return head + self.towers.scores(theta, self.a[places, index], features_b)


def pad_stack(rows: Sequence[Float[Tensor, "n _"]], width: int = 0) -> Float[Tensor, "s n k"]:
    """One stack of the matrices, filled up with zero columns to the widest, or to `width`."""
    width = max([width, *(r.shape[1] for r in rows)])
    return torch.stack([F.pad(r, (0, width - r.shape[1])) for r in rows])


def train(
    stack: Stack, splits: Sequence[Split], steps: int, generator: torch.Generator
) -> tuple[Float[Tensor, "s p"], Bool[Tensor, " s"]]:
    """Ascend InfoNCE; returns each task's best parameters on its validation rows, and whether it diverged."""
    theta = stack.initial(generator)
    rates = torch.tensor([COLD_RATE if t.start is None else WARM_RATE for t in stack.tasks], device=theta.device)
    adam, best = ClippedAdam(theta, rates), _Best(theta)
    batch = min(BATCH, len(splits[0].fit))
    for step in range(steps + 1):
        if step % VALIDATE_EVERY == 0 or step == steps:
            val = [t.split.val for t in stack.tasks], [t.split.eps[t.split.val] for t in stack.tasks]
            with torch.no_grad():
                kept = best.update(adam.average, _objective(stack.scores(adam.average, *val)))
            if not bool(kept.any()):
                break
            if not bool(kept.all()):
                stack = stack.only(kept)
                adam.keep(kept)
        drawn = {s.fold: _batch(s, batch, generator) for s in splits}
        rows, eps = ([drawn[t.split.fold][i] for t in stack.tasks] for i in (0, 1))
        leaf = adam.theta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(-_objective(stack.scores(leaf, rows, eps)).sum(), leaf)
        adam.step(gradient, 0.5 * (1 + math.cos(math.pi * step / max(steps, 1))))
    return best.theta, best.diverged


def _batch(split: Split, size: int, generator: torch.Generator) -> tuple[Int[Tensor, " m"], Float[Tensor, "m e"]]:
    device = split.fit.device
    rows = split.fit[torch.randperm(len(split.fit), generator=generator, device=device)[:size]]
    return rows, torch.randn(size, WIDTH, generator=generator, device=device)


def _objective(scores: Float[Tensor, "s m m"]) -> Float[Tensor, " s"]:
    """InfoNCE of each matrix of a stack."""
    joint = scores.diagonal(dim1=1, dim2=2)
    return (joint - scores.logsumexp(2)).mean(1) + math.log(scores.shape[2])


class _Best:
    """The best parameters so far of each critic, as copies; one that waits too long for better ones is settled."""

    def __init__(self, theta: Float[Tensor, "s p"]) -> None:
        self.theta = theta.clone()
        self.value = torch.full((len(theta),), -math.inf, device=theta.device)
        self.waited = torch.zeros_like(self.value)
        self.diverged = torch.zeros_like(self.value, dtype=torch.bool)
        self.open = torch.arange(len(theta), device=theta.device)

    def update(self, theta: Float[Tensor, "k p"], value: Float[Tensor, " k"]) -> Bool[Tensor, " k"]:
        """Take what is better; returns which of the open critics stay open, for the next call has only those."""
        better = value > self.value[self.open]
        self.theta[self.open] = torch.where(better[:, None], theta, self.theta[self.open])
        self.value[self.open] = torch.where(better, value, self.value[self.open])
        waited = torch.where(better, 0, self.waited[self.open] + 1)
        self.waited[self.open] = waited
        self.diverged[self.open] |= ~value.isfinite()
        kept = (waited < PATIENCE) & value.isfinite()
        self.open = self.open[kept]
        return kept

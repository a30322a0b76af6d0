"""Reading trained critics: weights and bound chosen on validation rows, values taken on rows they have not seen."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.critic.bounds import Bound, donsker_varadhan, infonce
from ibprobe.estimate.critic.towers import features
from ibprobe.estimate.critic.training import Stack, Task, pad_stack

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

WEIGHTS = (0.0, 0.5, 0.8, 1.0)
"""Of head and network, tried on the validation rows; both 0 come first."""
FOUND = 1.645
"""Standard errors above 0 that the validation rows must show, or nothing is claimed."""
BLOCK = 4096
"""Held-out rows read in one score matrix, which bounds its memory to 64 MiB."""
NCE, DV = "infonce", "donsker-varadhan"
BOUNDS: dict[str, Callable[[Float[Tensor, "n n"]], Bound]] = {NCE: infonce, DV: donsker_varadhan}


@dataclass(frozen=True, slots=True)
class TrainedCritic:
    """A trained entry of the stack."""

    stack: Stack
    place: int
    theta: Float[Tensor, "1 p"]
    diverged: bool

    @property
    def task(self) -> Task:
        """What it was fitted to."""
        return self.stack.tasks[self.place]

    def of_head(self, rows: Int[Tensor, " m"], *, final: bool) -> Float[Tensor, "m m"]:
        """Scores of the head alone, with the noise kept for reading."""
        head = self.task.final_head if final else self.task.head
        return head.of_b(self._b(rows)) @ head.of_a(self.task.inputs.a[rows]).T

    def of_network(self, rows: Int[Tensor, " m"]) -> Float[Tensor, "m m"]:
        """Scores of the network alone."""
        towers = self.stack.towers
        b = pad_stack([features(self._b(rows))], towers.widths[1])
        return towers.scores(self.theta, self.stack.a[self.place, rows][None], b)[0]

    def _b(self, rows: Int[Tensor, " m"]) -> Float[Tensor, "m kb"]:
        return self.task.inputs.noisy(self.task.split.eps[rows], rows)

    def weighted(self, rows: Int[Tensor, " m"], weights: tuple[float, float]) -> Float[Tensor, "m m"]:
        """Scores of both, for the last reading; a part without weight costs nothing."""
        head, network = weights
        if not network:
            return self.of_head(rows, final=True).mul_(head)
        scores = self.of_network(rows).mul_(network)
        return scores.add_(self.of_head(rows, final=True), alpha=head) if head else scores


@dataclass(frozen=True, slots=True)
class _Choice:
    """Weights of head and network under one bound, and what they read on the validation rows."""

    weights: tuple[float, float]
    value: Bound


@dataclass(frozen=True, slots=True)
class FoldReading:
    """What one fold's critic reads under one bound."""

    critic: TrainedCritic
    bound: str
    weights: tuple[float, float]
    held: Bound
    train: float


def read_pair(critics: Sequence[TrainedCritic], bounds: Sequence[str]) -> list[FoldReading]:
    """Read all folds of a pair by one bound: InfoNCE, unless it saturates where Donsker-Varadhan still holds."""
    validation = [(critic, critic.task.split.val) for critic in critics]
    choices = [_choose(critic.of_head(val, final=False), critic.of_network(val)) for critic, val in validation]
    nce = _read_folds(critics, choices, NCE)
    if DV not in bounds or not all(_larger([choice[DV].value], [choice[NCE].value]) for choice in choices):
        return nce
    dv = _read_folds(critics, choices, DV)
    rows = sum(len(critic.task.split.held) for critic in critics)
    # From N rows nothing above ln N can be claimed (McAllester & Stratos 2020): there the outliers went undrawn.
    sound = fmean(d.held.nats for d in dv) < math.log(rows)
    return dv if sound and _larger([d.held for d in dv], [c.held for c in nce]) else nce


def _larger(dv: Sequence[Bound], nce: Sequence[Bound]) -> bool:
    """Whether Donsker-Varadhan, with its heavier tails, wins by more than its own error."""
    return fmean(b.nats for b in dv) - pooled(b.se for b in dv) > fmean(b.nats for b in nce)


def _read_folds(
    critics: Sequence[TrainedCritic], choices: Sequence[dict[str, _Choice]], name: str
) -> list[FoldReading]:
    return [_read_fold(critic, name, choice[name]) for critic, choice in zip(critics, choices, strict=True)]


def _choose(head: Float[Tensor, "v v"], network: Float[Tensor, "v v"]) -> dict[str, _Choice]:
    """Best weights under each bound; none at all where the gain is within the error of nothing."""
    choices = {}
    for name, bound in BOUNDS.items():
        candidates = [_Choice(w, bound(w[0] * head + w[1] * network)) for w in product(WEIGHTS, WEIGHTS)]
        nothing, *others = candidates
        best = max(others, key=lambda c: c.value.nats)
        found = best.value
        # What was not told from nothing may still be there and stays in the error: at least 2/n, the smallest I whose
        # reading exceeds its own standard error √(2I/n).
        doubt = replace(nothing.value, se=max(found.se, found.nats, 2 / len(head)))
        choices[name] = best if found.nats > FOUND * found.se else replace(nothing, value=doubt)
    return choices


def _read_fold(critic: TrainedCritic, name: str, choice: _Choice) -> FoldReading:
    if not any(choice.weights):
        return FoldReading(critic, name, choice.weights, choice.value, 0.0)
    split = critic.task.split
    train_rows = torch.cat([split.fit, split.val])[: len(split.held)]
    held, seen = (_read_rows(critic, rows, name, choice.weights) for rows in (split.held, train_rows))
    return FoldReading(critic, name, choice.weights, held, seen.nats)


def _read_rows(critic: TrainedCritic, rows: Int[Tensor, " m"], name: str, weights: tuple[float, float]) -> Bound:
    """One reading, block by block when the rows are many."""
    bounds = []
    if len(rows) > BLOCK:
        # In no order: users sort their data, and a block of neighbours shares less than all rows do.
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(len(rows))).to(rows.device)]
    for block in rows.tensor_split(math.ceil(len(rows) / BLOCK)):
        bounds.append(BOUNDS[name](critic.weighted(block, weights)))
    return Bound(fmean(b.nats for b in bounds), pooled(b.se for b in bounds), min(b.ess for b in bounds))


def pooled(errors: Iterable[float]) -> float:
    """Standard error of the mean of independent values."""
    values = list(errors)
    return math.hypot(*values) / len(values)

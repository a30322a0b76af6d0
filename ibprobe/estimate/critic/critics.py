"""MINE critics: cross-fitted, stacked over pairs and folds, read only on rows they have not seen.

Belghazi et al. (2018), arXiv 1801.04062, with what makes it trustworthy on few rows. Per pair and fold:

1. the training rows are split into fitting and validation rows;
2. head starts are fitted, Gaussian (`canonical`) and column by column (`columns`), and validation rows choose one;
3. a network learns the rest under InfoNCE, with the noise redrawn at every step, until validation stops gaining;
4. validation rows choose the weights of head and network, 0 among them, and the bound to read;
5. that bound is read on the held-out rows, and on as many training rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.critic.bounds import Bound, infonce
from ibprobe.estimate.critic.gaussian import gaussian_part
from ibprobe.estimate.critic.heads import HeadStart, head_starts
from ibprobe.estimate.critic.held_out import DV, NCE, FoldReading, TrainedCritic, pooled, read_pair
from ibprobe.estimate.critic.inputs import WIDTH, Bases, affine, ranks
from ibprobe.estimate.critic.training import Head, Split, Stack, Task, train
from ibprobe.estimate.pairs import Pair
from ibprobe.estimate.threads import one_thread

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Trace:
    """What the critic of one fold learned at one step, to start from at the next."""

    theta: Float[Tensor, " p"] | None
    """The network, if it was of use."""
    bases: Bases
    ranked: bool
    head: type[Head]
    """Whether it saw ranks, and what kind of head it was trained on: others would be foreign to it."""

    def fits(self, start: HeadStart) -> bool:
        """Whether the network can go on from there."""
        return start.inputs.ranked == self.ranked and type(start.head) is self.head


@dataclass(frozen=True, slots=True)
class CriticReading:
    """What the critics of one pair read, mean over folds."""

    held: Bound
    """On rows that they had not seen: a lower bound in expectation, up to 0 chosen where nothing was found."""
    train: float
    """On as many training rows: the gap to `held` shows over-fitting."""
    gaussian: Bound | None
    """Gaussian dependence of all rows, where no noise is added and the rows suffice."""
    bound: str
    """Name of the bound that was read."""
    memory: tuple[Trace, ...]
    """One a fold."""
    rows: int
    diverged: bool
    """Whether the pair held a value that is not finite, or the training of a fold met one."""


@torch.inference_mode(False)
@torch.enable_grad()
def fit_critics(
    pairs: Sequence[Pair],
    folds: Int[Tensor, " n"],
    *,
    seed: int,
    steps: int = 400,
    bounds: Sequence[str] = (NCE, DV),
    memory: Sequence[Sequence[Trace]] | None = None,
) -> list[CriticReading]:
    """Estimate the mutual information of every pair by held-out critics, all trained together.

    Pairs do not influence each other: each draws the same batches, noise and start as it would alone, and stops alone.

    Args:
        pairs: pairs with the same n rows in the same order, on one device, both sides as numbers ``(n, d)``.
        folds: fold number of each row (n,), at least two different ones; keep it fixed for a run, as critics that
            meet their held-out rows again through new folds read too much.
        seed: of batches, noise and initial weights; no global generator is read or advanced.
        steps: most critic steps; a critic ends earlier once it does not gain on its validation rows.
        bounds: InfoNCE first; Donsker-Varadhan only where it is offered and wins.
        memory: per pair, what it learned on the same rows, folds and seed at an earlier step, or nothing.

    Returns:
        One reading per pair, in nats. Too few rows read 0, with ln n as the standard error.
    """
    if not pairs:
        return []
    device = pairs[0].a.device
    # Critic steps are many small products.
    with torch.autocast(device.type, enabled=False), one_thread():
        finite = [bool(p.a.isfinite().all() and p.b.isfinite().all()) for p in pairs]
        clean = [_clean(pair) for pair in pairs]
        generator = torch.Generator(device).manual_seed(seed)
        splits = _splits(folds.to(device).clone(), generator)
        if not splits:
            return [_nothing(len(folds), ok) for ok in finite]
        traces: Sequence[Sequence[Trace]] = memory or [()] * len(pairs)
        tasks = [
            _task(p, s, m[k] if k < len(m) else None)
            for p, m in zip(clean, traces, strict=True)
            for k, s in enumerate(splits)
        ]
        folds_ = _read(tasks, splits, steps, generator, bounds)
        parts = [
            None if p.std else gaussian_part(ranks(p, torch.arange(len(folds), device=device)).without_length)
            for p in clean
        ]
    return [
        _summary(readings, part) if ok else _nothing(len(folds), ok)
        for readings, part, ok in zip(folds_, parts, finite, strict=True)
    ]


def _clean(pair: Pair) -> Pair:
    """A private float32 copy: inference tensors cannot be trained on, values that are not finite break eigh."""
    # Centred before float32: a float64 column far from zero (a time stamp) would lose all that varies. By the median,
    # for a single huge value would carry the mean away.
    a, b = (
        torch.nan_to_num(side.detach() - side.detach().median(0).values, 0.0, 0.0, 0.0).float()
        for side in (pair.a, pair.b)
    )
    return Pair(a, b, pair.std)


def _splits(folds: Int[Tensor, " n"], generator: torch.Generator) -> list[Split]:
    """Fold by fold; one too small to fit, validate or read is left out."""
    device = folds.device
    parts = []
    for k in torch.unique(folds).tolist():
        held, train_ = (folds == k).nonzero()[:, 0], (folds != k).nonzero()[:, 0]
        train_ = train_[torch.randperm(len(train_), generator=generator, device=device)]
        eps = torch.randn(len(folds), WIDTH, generator=generator, device=device)
        if len(held) >= 4 and len(train_) >= 12:
            n_val = min(len(train_) // 3, max(96, min(1024, len(train_) // 6)))
            parts.append(Split(k, train_[n_val:], train_[:n_val], held, eps))
    # Equal numbers over folds, so that they stack.
    n_val, n_fit = (min((len(getattr(s, name)) for s in parts), default=0) for name in ("val", "fit"))
    return [Split(s.fold, s.fit[:n_fit], s.val[:n_val], s.held, s.eps) for s in parts]


def _task(pair: Pair, split: Split, trace: Trace | None) -> Task:
    """Choose coordinates and a head start: those that read most on the validation rows.

    Noise of known size is Gaussian in affine coordinates only. Without it, curved margins may need ranks. A network
    of an earlier step keeps the kind of coordinates and head that it was trained on.
    """
    bases = {trace.ranked: trace.bases} if trace else {}
    inputs = [affine(pair, split.fit, bases.get(False))]
    if pair.std == 0:
        inputs = [ranks(pair, split.fit, bases.get(True)), *(i for i in inputs if not i.far)]
    starts = [start for i in inputs for start in head_starts(i, split.fit)]
    known = [s for s in starts if trace and trace.theta is not None and trace.fits(s)]
    best = max(known or starts, key=lambda start: _on_validation(start, split))
    final = best.fit(torch.cat([split.fit, split.val]))
    return Task(split, best.inputs, best.head, final, trace.theta if trace and known else None)


def _on_validation(start: HeadStart, split: Split) -> float:
    inputs, val = start.inputs, split.val
    b = inputs.noisy(split.eps[val], val)
    return infonce(start.head.of_b(b) @ start.head.of_a(inputs.a[val]).T).nats


def _read(
    tasks: Sequence[Task], splits: Sequence[Split], steps: int, generator: torch.Generator, bounds: Sequence[str]
) -> list[list[FoldReading]]:
    """Train the stack, then read it pair by pair: the readings of each pair's folds."""
    stack, k = Stack(tasks), len(splits)
    theta, diverged = train(stack, splits, steps, generator)
    critics = [TrainedCritic(stack, s, theta[s : s + 1], bool(diverged[s])) for s in range(len(tasks))]
    with torch.no_grad():
        return [read_pair(critics[i : i + k], bounds) for i in range(0, len(critics), k)]


def _summary(folds: Sequence[FoldReading], part: Bound | None) -> CriticReading:
    """Fold readings to one."""
    held = Bound(fmean(f.held.nats for f in folds), pooled(f.held.se for f in folds), min(f.held.ess for f in folds))
    tasks = [f.critic.task for f in folds]
    return CriticReading(
        held=held,
        train=fmean(f.train for f in folds),
        gaussian=part,
        bound=folds[0].bound,
        memory=tuple(
            Trace(f.critic.theta[0] if f.weights[1] else None, t.inputs.bases, t.inputs.ranked, type(t.head))
            for f, t in zip(folds, tasks, strict=True)
        ),
        rows=len(tasks[0].inputs.a),
        diverged=any(f.critic.diverged for f in folds),
    )


def _nothing(n: int, finite: bool) -> CriticReading:
    """Nothing to read is 0, give or take all that n rows could tell."""
    return CriticReading(Bound(0.0, math.log(max(n, 2)), 0.0), 0.0, None, NCE, (), n, not finite)

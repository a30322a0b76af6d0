"""Cross-fitting: a row's class scores, and how far they are trusted, come from rows in other folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.classifier.coordinates import drawn_rows
from ibprobe.estimate.classifier.discriminant import Discriminants, fit_discriminants, moments, shrinkage
from ibprobe.estimate.classifier.folds import Plan, plan
from ibprobe.estimate.classifier.neighbours import MOST_ROWS, MOST_SUMS, FoldSums, kernels
from ibprobe.estimate.classifier.network import Task, train
from ibprobe.estimate.classifier.weights import Priors, Trust, fit_trust, is_gain

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped
    from torch import Tensor

DRAWS = 8
MAX_SCORES = 2**21
"""Scores of all rows, draws and classes; more rows or classes take fewer draws of the noise."""
STEPS = 600
"""Of the networks, at most."""
MIN_NETWORK_ROWS, MIN_CLASS_ROWS = 256, 8
"""With fewer rows in training, in all or for a class, a network learns nothing that it could be trusted with."""
CURVED_ERRORS, NETWORK_ERRORS = 2.0, 1.0
"""Standard errors by which curved scores, and a network, must win: what only adds noise is left out."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """ln q(y|t)/p(y) of each row in nats, averaged over draws of the noise."""

    held: Float[Tensor, " n"]
    """Under a classifier that has not seen the row."""
    half_seen: Float[Tensor, " n"]
    """Under networks that have seen it and discriminants that have not."""
    seen: Float[Tensor, " n"]
    """Under classifiers that have seen it."""
    thinned: Float[Tensor, " n"]
    """As held, with every other fold's rows to be near to."""


@dataclass(frozen=True, slots=True)
class CrossFit:
    """What is read of a pair."""

    ratios: Ratios
    priors: Priors
    held_margin: float
    seen_margin: float
    """Mean over rows of own score minus the mean over classes, of the linear discriminant, held out and seen."""
    score_variance: float
    """Mean over rows of its variance over classes, seen."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """Discriminant scores of all rows, and what trains the networks."""

    u: Float[Tensor, "r n d"]
    plan: Plan
    fits: Discriminants
    held: Float[Tensor, "h r n k"]
    seen: Float[Tensor, "h r n k"]
    """A row is not near to itself here either: it would know its own class."""
    thinned: Float[Tensor, "h r n k"]
    """As held, with every other fold's rows to be near to."""
    near: Sequence[FoldSums]
    """One a coarse fold, with the kernel that it did not choose; none where near rows are not looked at."""


@dataclass(frozen=True, slots=True)
class _Member:
    """All that is fitted while one coarse fold is not looked at."""

    fit: Int[Tensor, " a"]
    """Rows that the network is trained on."""
    val: Int[Tensor, " b"]
    """Rows that it is validated on."""
    plain: Trust
    """In the linear scores alone."""
    heads: Trust
    """In all scores together."""
    start: Float[Tensor, "r n k"]
    """What the network adds to: prior and linear scores, from discriminants that have not seen the row."""
    val_scores: Float[Tensor, "h 1 b k"]
    """Scores of the validation rows, from discriminants that have not seen them, under the first draw."""

    def answers(self, scores: Float[Tensor, "h r m k"], network: Float[Tensor, "r m k"]) -> Float[Tensor, "2 r m k"]:
        """The two answers that are weighed at last: both discriminants together, and the linear one with network."""
        plain = self.plain.weights[0] * scores[0] + network
        return torch.stack([torch.tensordot(self.heads.weights, scores, 1), plain])


def cross_fit(
    b: Shaped[Tensor, "n d"], y: Int[Tensor, " n"], std: float, folds: Int[Tensor, " n"], generator: torch.Generator
) -> CrossFit:
    """Read a classifier of y from b + std·ε on rows that it has not seen, and on rows that it has.

    Args:
        b: finite numbers.
        y: classes 0 … K−1, at least two, all present.
        std: of the noise that is added.
        folds: fold of each row; cut finer here, as most of the parts are cheap to fit.
        generator: on the CPU.
    """
    classes = int(y.max()) + 1
    draws = max(1, min(DRAWS, MAX_SCORES // (len(y) * classes)))
    u = drawn_rows(b, std, draws, generator)
    scored = _with_near(_scored(u, y, classes, plan(folds, y, generator)), y, generator)
    priors = Priors.of(y, classes)
    members = [_member(scored, c, y, priors, generator) for c in range(scored.plan.number[0])]
    networks = _networks(scored, y, members, generator)
    last = [_last_trust(m, f, y, priors) for m, f in zip(members, networks, strict=True)]
    ratios = _ratios(scored, y, priors, members, networks, last)
    (held, _), (seen, variance) = (_margins(s[0].mean(0), y, priors.seen) for s in (scored.held, scored.seen))
    return CrossFit(ratios, priors, held, seen, variance)


def _scored(u: Float[Tensor, "r n d"], y: Int[Tensor, " n"], classes: int, folds: Plan) -> _Scored:
    fine = folds.number[1]
    sums = moments(u, y, classes, folds.fine, fine)
    fits = fit_discriminants(sums.without(folds.left_out), shrinkage(sums))
    seen = fits.scores(0, u)
    held = torch.empty_like(seen)
    for f in range(fine):
        rows = folds.fine == f
        held[:, :, rows] = fits.scores(1 + f, u[:, rows])
    return _Scored(u, folds, fits, held, seen, held, ())


def _with_near(scored: _Scored, y: Int[Tensor, " n"], generator: torch.Generator) -> _Scored:
    """Scores by near rows beside the discriminants', where no noise is known: with it, a bracket is better."""
    u, folds = scored.u, scored.plan
    coarse, fine = folds.number
    sums = len(y) * fine * scored.seen.shape[-1]
    if len(u) > 1 or len(y) > MOST_ROWS or sums > MOST_SUMS:
        return scored
    hidden = folds.coarse == torch.arange(coarse, device=y.device)[:, None]
    chosen = kernels(u[0], y, hidden, generator)
    known = {kernel: FoldSums.of(u[0], kernel, y, folds.fine, fine) for kernel in set(chosen)}
    near = [known[kernel] for kernel in chosen]
    number = torch.arange(fine, device=y.device)
    others = folds.fine[:, None] != number
    full, half = (torch.empty_like(scored.held[:1]) for _ in range(2))
    for c, read in enumerate(hidden):
        full[0, 0, read], half[0, 0, read] = (near[c].scores(f)[read] for f in (others, others & (number % 2 == 0)))
    held, seen, thinned = (
        torch.cat(parts) for parts in ((scored.held, full), (scored.seen, full), (scored.held, half))
    )
    return replace(scored, held=held, seen=seen, thinned=thinned, near=near)


def _member(scored: _Scored, c: int, y: Int[Tensor, " n"], priors: Priors, generator: torch.Generator) -> _Member:
    folds = scored.plan
    inner = torch.zeros_like(scored.seen)
    for f in torch.unique(folds.fine[folds.coarse != c]).tolist():
        at = folds.fine == f
        inner[:2, :, at] = scored.fits.scores(int(folds.inner[c, f]), scored.u[:, at])
    if scored.near:
        visible = (folds.fine[:, None] != torch.arange(folds.number[1], device=y.device)) & _outside(folds, c)
        inner[2, 0] = scored.near[c].scores(visible)
    rows = (folds.coarse != c).nonzero()[:, 0]
    rows = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
    # Trust is fitted under one draw: its few weights do not need more.
    scores, prior, own = inner[:, 0, rows], priors.seen[None], y[rows]
    plain = fit_trust(scores[:1], prior, own)
    heads = _heads(scores, prior, own, plain)
    val = min(1024, max(len(rows) // 6, min(128, len(rows) // 3)))
    start = priors.seen + plain.weights[0] * inner[0]
    return _Member(rows[val:], rows[:val], plain, heads, start, inner[:, :1, rows[:val]])


def _outside(folds: Plan, c: int) -> Bool[Tensor, " f"]:
    """Fine folds that are no part of a coarse one."""
    outside = torch.ones(folds.number[1], dtype=torch.bool, device=folds.fine.device)
    outside[torch.unique(folds.fine[folds.coarse == c])] = False
    return outside


def _heads(scores: Float[Tensor, "h m k"], prior: Float[Tensor, "1 k"], own: Int[Tensor, " m"], plain: Trust) -> Trust:
    """Trust in the linear scores, and in each of the others that tells more beside those before it."""
    used, best = [0], plain
    for head in range(1, len(scores)):
        more = fit_trust(scores[[*used, head]], prior, own)
        gain = more.log_ratio(scores[[*used, head]], prior, own) - best.log_ratio(scores[used], prior, own)
        if is_gain(gain, CURVED_ERRORS):
            used, best = [*used, head], more
    weights = scores.new_zeros(len(scores))
    weights[used] = best.weights
    return Trust(weights, best.share)


def _networks(
    scored: _Scored, y: Int[Tensor, " n"], members: Sequence[_Member], generator: torch.Generator
) -> Float[Tensor, "g r n k"]:
    """What the networks add to the linear scores of all rows."""
    # Equal numbers of rows, so that they stack.
    fit, val = min(len(m.fit) for m in members), min(len(m.val) for m in members)
    start = torch.stack([m.start for m in members])
    if fit < max(MIN_NETWORK_ROWS, MIN_CLASS_ROWS * start.shape[-1]):
        return torch.zeros_like(start)
    rows = [torch.stack(parts) for parts in ([m.fit[:fit] for m in members], [m.val[:val] for m in members])]
    nets = train(Task(scored.u, y, start, *rows), STEPS, generator)
    return torch.stack([nets(draw.expand(len(members), -1, -1)) for draw in scored.u], 1)


def _last_trust(member: _Member, network: Float[Tensor, "r n k"], y: Int[Tensor, " n"], priors: Priors) -> Trust:
    """Trust in the two answers, by the validation rows; the network's is left out unless it tells more."""
    without = Trust(network.new_tensor([1.0, 0.0]), member.heads.share)
    if not bool(network.any()):
        return without
    own, prior = y[member.val], priors.seen[None]
    answers = member.answers(member.val_scores, network[:1, member.val])[:, 0]
    both = fit_trust(answers, prior, own)
    gain = both.log_ratio(answers, prior, own) - without.log_ratio(answers, prior, own)
    return both if is_gain(gain, NETWORK_ERRORS) else without


def _ratios(
    scored: _Scored,
    y: Int[Tensor, " n"],
    priors: Priors,
    members: Sequence[_Member],
    networks: Float[Tensor, "g r n k"],
    last: Sequence[Trust],
) -> Ratios:
    held, half_seen, seen, thinned = torch.zeros(4, len(y), device=y.device)
    without_own, all_rows = priors.without_own(y), priors.seen[None]
    others = len(members) - 1
    for c, (member, network, trust) in enumerate(zip(members, networks, last, strict=True)):
        read = (scored.plan.coarse == c).float()
        blind = trust.log_ratio(member.answers(scored.held, network), without_own, y).mean(0)
        held += blind * read
        thinned += trust.log_ratio(member.answers(scored.thinned, network), without_own, y).mean(0) * read
        half_seen += blind * (1 - read) / others
        seen += trust.log_ratio(member.answers(scored.seen, network), all_rows, y).mean(0) * (1 - read) / others
    return Ratios(held, half_seen, seen, thinned)


def _margins(scores: Float[Tensor, "n k"], y: Int[Tensor, " n"], log_prior: Float[Tensor, " k"]) -> tuple[float, float]:
    p = log_prior.exp()
    mean = scores @ p
    own = scores.gather(1, y[:, None])[:, 0]
    return float((own - mean).mean()), float(((scores - mean[:, None]).square() @ p).mean())

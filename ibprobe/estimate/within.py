"""How likely a noisy row is given its own input, log p(t̃|x), for a layer that draws random numbers: from both sides.

p(t̃|x) is a mixture over all that the layer may draw, of which a few forward passes are known.

* From below: E log q(t̃|x) ≤ E log p(t̃|x) for every density q that has not seen the pass t̃ comes from (Gibbs). Here q
  mixes the row's other passes, Gaussians fitted to them and shrunk towards all rows, and the marginal; the other half
  of the rows fits and weighs it. The plain mixture of the other passes alone is 0.1 to 5 nats low at 16 passes.
* From above, twice: with the own pass included, a mixture of passes is at least the truth in expectation (entropy is
  concave), and exceeds it by I(T;T̃|X) − ln(passes) or more; and E log p ≤ E log q + log E[p/q] (Jensen; Donsker &
  Varadhan 1983), where p is estimated by a pass that q has not seen either. The lower of the two is taken.

All log-densities are relative to log p(t̃|t) of the pass that t̃ comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

# Numbers of a block of rows: 8 MB of float32.
_BLOCK = 2**21
# Wider layers keep their own axes: finding others costs d³.
_ROTATED_UP_TO = 1024
# A row's own variances count against those of all rows like this many further passes.
_STRENGTHS = (4.0, 64.0)
# Where Gaussians fit exactly, the plain mixture still keeps a part, so that no row can cost without limit.
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, slots=True)
class Query:
    """Noisy rows of one pass under one draw of the noise."""

    z: Float[Tensor, "k d"]
    eps: Float[Tensor, "k d"]
    own: int
    """The pass that they come from."""

    @property
    def half_norm(self) -> Float[Tensor, " k"]:
        """−log p(t̃|t) up to a constant."""
        return self.eps.double().square().sum(1) / 2


def queries(u: Float[Tensor, "k passes d"], seeds: tuple[int, ...], first: int) -> list[Query]:
    """One after another of the ``first`` passes, each with noise of its own from a private generator."""
    found = []
    for draw, seed in enumerate(seeds):
        generator = torch.Generator(u.device).manual_seed(seed)
        eps = torch.randn((len(u), u.shape[2]), generator=generator, device=u.device, dtype=torch.float32).to(u.dtype)
        own = draw % first
        found.append(Query(u[:, own] + eps, eps, own))
    return found


def passes_seen(u: Float[Tensor, "k passes d"], query: Query) -> Float[Tensor, "k passes"]:
    """Log-density of each noisy row at each pass of its own row; 0 at the one it comes from."""
    parts = []
    for rows in _blocks(u, len(u)):
        apart = u[rows] - u[rows, query.own, None]
        parts.append((apart * query.eps[rows, None]).sum(2).double() - apart.square().sum(2).double() / 2)
    return torch.cat(parts)


@dataclass(frozen=True, slots=True)
class Spread:
    """How rows scatter: around each other, and the passes of a row around their mean; unit by unit."""

    mean: Float[Tensor, " d"]
    within: Float[Tensor, " d"]
    between: Float[Tensor, " d"]

    @classmethod
    def of(cls, u: Float[Tensor, "k passes d"]) -> Spread:
        """From rows that have at least two passes."""
        k, passes, _ = u.shape
        centres = u.mean(1)
        within = (u - centres[:, None]).square().sum((0, 1)) / (k * (passes - 1))
        between = (centres.var(0) - within / passes).clamp_min(0)
        return cls(centres.mean(0), within, between)

    def log_density(
        self,
        z: Float[Tensor, "*#rows d"],
        total: Float[Tensor, "*rows d"],
        squares: Float[Tensor, "*rows d"],
        known: int,
        strength: float,
    ) -> Float[Tensor, "*rows"]:
        """Of noisy rows under a Gaussian for each, given some passes: empirical Bayes for its mean and variances.

        Args:
            z: noisy rows; here as below, ``mean`` is taken off.
            total: sum over the known passes of the row.
            squares: sum of their squares.
            known: how many they are.
            strength: further passes that the variances of all rows stand for.
        """
        own = total / known
        within = ((squares - total * own).clamp_min(0) + strength * self.within) / (known - 1 + strength) + 1e-9
        trust = self.between / (self.between + within / known)
        variance = within + 1 + (1 - trust) * self.between
        return -((z - trust * own).square() / variance + variance.log()).sum(-1) / 2


@dataclass(frozen=True, slots=True)
class _Fit:
    """A way of fitting Gaussians: on the units or on the principal axes of the passes, shrunk a little or much."""

    rotated: bool
    strength: float


def halves(k: int) -> Bool[Tensor, " k"]:
    """Every other row: what is read on one half is fitted on the other."""
    return torch.arange(k) % 2 == 0


def lower_terms(
    u: Float[Tensor, "k passes d"], asked: list[Query], seen: list[Tensor], others: Float[Tensor, "draws k"]
) -> tuple[Float[Tensor, "draws k"], _Fit]:
    """E log q(t̃|x), row by row, and the Gaussians that fit best.

    Args:
        u: passes of the rows in noise units; at least 2 passes and 4 rows.
        asked: noisy rows.
        seen: :func:`passes_seen` of each.
        others: log-density under the mixture over all other rows.
    """
    passes = u.shape[1]
    plain = [_without(s, q.own).logsumexp(1) for q, s in zip(asked, seen, strict=True)]
    fits = [_Fit(r, s) for r in (False, True)[: 1 + (u.shape[2] <= _ROTATED_UP_TO)] for s in _STRENGTHS]
    logs = torch.zeros(len(fits), len(asked), len(u), dtype=torch.float64, device=u.device)
    for rows, axes, spread in _cross_fitted(u, fits[-1].rotated):
        of_axes = [f for f, fit in enumerate(fits) if fit.rotated == (axes is not None)]
        v = _turned(u[rows], axes) - spread.mean
        total, squares = v.sum(1), v.square().sum(1)
        for number, q in enumerate(asked):
            own = v[:, q.own]
            z = own + _turned(q.eps[rows], axes)
            for f in of_axes:
                density = spread.log_density(z, total - own, squares - own.square(), passes - 1, fits[f].strength)
                logs[f, number, rows] = density.double()
    logs += torch.stack([q.half_norm for q in asked])
    best = fits[int(logs.mean((1, 2)).argmax())]
    return _mixed(torch.cat([(torch.stack(plain) - math.log(passes - 1))[None], logs, others[None]])), best


def _mixed(logs: Float[Tensor, "parts draws k"]) -> Float[Tensor, "draws k"]:
    """Log of the mixture of densities whose weights are most likely for the rows of the other half (EM)."""
    first = halves(logs.shape[2]).to(logs.device)
    found = torch.empty_like(logs[0])
    for side in (first, ~first):
        known = logs[:, :, ~side].flatten(1)
        weights = torch.full_like(known[:, :1], 1 / len(logs))
        for _ in range(50):
            weights = (known + weights.log()).softmax(0).mean(1, keepdim=True).clamp_min(_LEAST_WEIGHT)
            weights /= weights.sum()
        found[:, side] = (logs[:, :, side] + weights.log()[:, :, None]).logsumexp(0)
    return found


def ratio_terms(
    u: Float[Tensor, "k passes d"], asked: list[Query], seen: list[Tensor], fit: _Fit
) -> tuple[Float[Tensor, "draws k"], float]:
    """E log q + log E[p/q], row by row, with q the Gaussians of ``fit`` that leave out two passes.

    Returns:
        Terms whose mean is the bound and whose spread gives its error (the logarithm is linearised), and the effective
        number of ratios. At least 3 passes are needed.
    """
    passes = u.shape[1]
    log_q = torch.zeros(len(asked), len(u), passes - 1, dtype=torch.float64, device=u.device)
    for rows, axes, spread in _cross_fitted(u, fit.rotated):
        if (axes is not None) != fit.rotated:
            continue
        v = _turned(u[rows], axes) - spread.mean
        for number, q in enumerate(asked):
            own = v[:, q.own, None]
            other = _without(v, q.own)
            total = v.sum(1, keepdim=True) - own - other
            squares = v.square().sum(1, keepdim=True) - own.square() - other.square()
            z = own + _turned(q.eps[rows], axes)[:, None]
            density = spread.log_density(z, total, squares, passes - 2, fit.strength)
            log_q[number, rows] = density.double() + q.half_norm[rows, None]
    log_p = torch.stack([_without(s, q.own) for q, s in zip(asked, seen, strict=True)])
    ratio = log_p - log_q
    level = ratio.flatten().logsumexp(0) - math.log(ratio.numel())
    share = (ratio - level).exp()
    effective = float(share.sum() ** 2 / share.square().sum())
    return log_q.mean(2) + level + share.mean(2) - 1, effective


def _cross_fitted(u: Tensor, rotated: bool) -> Iterator[tuple[Tensor, Tensor | None, Spread]]:
    """Rows a block at a time, the axes they are turned to, and the spread of the other half's rows along these."""
    first = halves(len(u)).to(u.device)
    for side in (first, ~first):
        fit, places = u[~side], side.nonzero()[:, 0]
        for axes in (None, _principal_axes(fit)) if rotated else (None,):
            spread = Spread.of(_turned(fit, axes))
            for rows in _blocks(u, len(places)):
                yield places[rows], axes, spread


def _principal_axes(u: Tensor) -> Tensor:
    apart = (u - u.mean(1, keepdim=True)).flatten(0, 1).double()
    axes: Tensor = torch.linalg.eigh(apart.T @ apart)[1]
    return axes.to(u.dtype)


def _turned(u: Tensor, axes: Tensor | None) -> Tensor:
    return u if axes is None else u @ axes


def _without(passes: Tensor, own: int) -> Tensor:
    return torch.cat([passes[:, :own], passes[:, own + 1 :]], 1)


def _blocks(u: Tensor, k: int) -> Iterator[slice]:
    step = max(1, _BLOCK // (u.shape[1] * u.shape[2]))
    return (slice(i, i + step) for i in range(0, k, step))

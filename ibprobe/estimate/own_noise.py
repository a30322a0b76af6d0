"""Layers that draw from a Gaussian of their own: q(z|x) is known, so the kernel needs no noise of ours.

The same two sums as in ``kernel.py``, with a mean and a scale for every row and unit: g(i, j) = log q(zᵢ|xⱼ) −
log q(zᵢ|xᵢ). The aggregate posterior q(z) = mean_j q(z|xⱼ) is the Gaussian mixture of Kolchinsky & Tracey 2017
(arXiv 1706.02419); self-included and leave-one-out sums over it are Poole et al. 2019 (arXiv 1905.06922, eq. 10 and
13) with the known conditional.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ibprobe.capture.rows import LayerRows
from ibprobe.errors import BadInput
from ibprobe.estimate.channel import Channel, NoisyRows, noise_seeds, noisy_rows, stable_seed
from ibprobe.estimate.ends import TWO_SIDED, mean_and_error
from ibprobe.estimate.kernel import Scores, Sums, block_bytes, class_by_class, input_terms, kernel_sums, summed
from ibprobe.estimate.sides import tensor_of
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

OWN = "own"
"""What records call noise that the layer itself adds; sigma counts in its scales and is 1."""

_BLOCK_BYTES = 8 * 2**20
# Beyond this squared distance from 0, in scales, products of float64 lose more than 1e-4 nats of a density.
_PRODUCTS_REACH = 2.0**38
# What it costs to be asked for a unit that is off where the other row's is on: such a z cannot come from that row.
_APART = 1e6


@dataclass(frozen=True, slots=True)
class OwnRows:
    """Rows of one layer as the Gaussians that it draws from, in float64: ``z = mean + scale·ε``."""

    mean: Float[Tensor, "n d"]
    scale: Float[Tensor, "n d"]
    """0 for a unit that is off: z is 0 there with certainty."""
    seeds: tuple[int, ...]
    of: int
    """Rows of the layer that these are part of, for the noise belongs to a row and not to its place."""
    kept: Bool[Tensor, " of"] | None = None
    share: float = 0.0
    """No unit sets the noise of another."""

    @property
    def std(self) -> float:
        """Root mean square of the scales."""
        return float(self.scale.square().mean().sqrt())

    @property
    def clean(self) -> Float[Tensor, "n d"]:
        """Means, centred."""
        return self.mean - self.mean.mean(0)

    @property
    def unit(self) -> Float[Tensor, " d"]:
        """0 for a unit whose mean is the same in every row."""
        return (self.mean != self.mean[:1]).any(0).to(self.mean)

    def only(self, kept: Bool[Tensor, " of"]) -> OwnRows:
        """Some of the rows, with the same noise."""
        return replace(self, mean=self.mean[kept], scale=self.scale[kept], kept=kept)

    def draws(self) -> Iterator[Float[Tensor, "n d"]]:
        """ε of each draw, from a private generator."""
        for seed in self.seeds:
            generator = torch.Generator(self.mean.device).manual_seed(seed)
            shape = (self.of, self.mean.shape[1])
            eps = torch.randn(shape, generator=generator, device=self.mean.device, dtype=torch.float32)
            yield (eps if self.kept is None else eps[self.kept]).to(self.mean)

    def drawn(self) -> Float[Tensor, "n d"]:
        """One z of every row."""
        return self.mean + self.scale * next(self.draws())


Rows = NoisyRows | OwnRows
"""Rows through either kind of noise."""


def rows_of(layer: LayerRows, channel: Channel) -> Rows:
    """Rows of a layer through its own noise, where it says what that is, else through the channel's.

    Raises:
        BadInput: scales that cannot be.
    """
    if layer.scale is None:
        return noisy_rows(layer.t, channel, layer.name)
    return own_rows(layer.t, layer.scale, noise_seeds(channel, layer.name))


def sums_of(rows: Rows, y: Int[Tensor, " n"] | None = None) -> Sums:
    """Kernel sums of either kind of rows."""
    return own_sums(rows, y) if isinstance(rows, OwnRows) else kernel_sums(rows, y)


def rate_bound(layer: LayerRows, beside: Estimate) -> Estimate | None:
    """The mean rate, an upper bound on I(X;Z) whatever the marginal is, as a record beside the bracket.

    It exceeds I(X;Z) by KL(q(z)‖r). None where the layer has no marginal.
    """
    if layer.rate is None:
        return None
    rates = layer.rate.double()[layer.rate.isfinite()]
    if len(rates) < 2:
        return None
    rate, error = mean_and_error(rates[None], "population")
    return replace(
        beside, estimator="rate", bound="upper end", nats=rate, ci_low=0.0, ci_high=rate + TWO_SIDED * error,
        lower_confidence=0.0, bracket_low=None, bracket_low_se=None, bracket_high=rate, bracket_high_se=error,
        effective_rank=None, dead_share=None, seconds=0.0, headline=False,
        flags=beside.flags - {"wide_bracket", "at_ceiling", "collapsed", "low_rank", "dead_units", "stochastic"},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GaussianBracket:
    """Both ends of I(X;Z) in nats with their standard errors, and what a rate exceeds it by."""

    low: float
    """Self-included sum: at most the truth in expectation, at most ln n."""
    low_se: float
    high: float
    """Leave-one-out sum: at least the truth in expectation."""
    high_se: float
    gap_low: float | None = None
    gap_low_se: float | None = None
    gap_high: float | None = None
    gap_high_se: float | None = None
    """KL(q(z)‖r) = rate − I(X;Z), with errors of the difference; None without a rate."""


def bracket_of_gaussians(mean: Any, scale: Any, *, rate: Any = None, draws: int = 4, seed: int = 0) -> GaussianBracket:
    """Bracket I(X;Z) for z drawn from N(mean, scale²) of each input, without training anything.

    It is tight until about ln n − 1.5 nats. Rows must be distinct inputs, or the upper end is void.

    Args:
        mean: ``(n, d)``, array or tensor.
        scale: standard deviations ``(n, d)``, positive; 0 only where the mean is 0 too, as multiplicative noise gives.
        rate: ``(n,)`` in nats, of ``GaussianBottleneck.rate``, for the gap.
        draws: of z, averaged; at least 1.
        seed: of the draws; the global generator is not touched.

    Returns:
        The two ends. Time O(draws · n² · d) in float64; scratch of some 8 MB, on a GPU at most 256.

    Raises:
        BadInput: shapes differ, fewer than two rows, values that are not finite, or scales that cannot be.
    """
    mean, scale = tensor_of(mean, "mean"), tensor_of(scale, "scale")
    if draws < 1 or len(mean) < 2:
        raise BadInput(f"at least 1 draw of 2 rows is needed; got draws={draws} and {len(mean)} rows")
    rows = own_rows(mean, scale, tuple(stable_seed(seed, "", draw) for draw in range(draws)))
    terms = input_terms(own_sums(rows))
    low, high = (mean_and_error(t, "population") for t in (terms.low, terms.high))
    if rate is None:
        return GaussianBracket(*low, *high)
    rates = tensor_of(rate, "rate").double()
    if rates.shape != (len(mean),) or not bool(rates.isfinite().all()):
        raise BadInput(f"rate is ({len(mean)},), one finite value a row; got {tuple(rates.shape)}")
    gaps = (mean_and_error(rates - t, "population") for t in (terms.high, terms.low))
    return GaussianBracket(*low, *high, *(number for gap in gaps for number in gap))


def own_rows(mean: Tensor, scale: Tensor, seeds: tuple[int, ...]) -> OwnRows:
    """Rows for :func:`own_sums`.

    Raises:
        BadInput: see :func:`bracket_of_gaussians`.
    """
    if mean.ndim != 2 or mean.shape != scale.shape:
        raise BadInput(f"mean and scale are (n, d), one shape; got {tuple(mean.shape)} and {tuple(scale.shape)}")
    for name, t in (("mean", mean), ("scale", scale)):
        bad = int((~t.isfinite()).any(1).sum())
        if bad:
            raise BadInput(f"{bad} of {len(t)} rows of {name} hold NaN or infinity")
    bad = int(((scale < 0) | ((scale == 0) & (mean != 0))).any(1).sum())
    if bad:
        raise BadInput(
            f"{bad} of {len(scale)} rows hold scales that are not positive (0 is for units whose mean is 0 too): z "
            "would be a function of x there, and I(X;Z) infinite"
        )
    return OwnRows(mean.double(), scale.double(), seeds, len(mean))


@torch.no_grad()
def own_sums(rows: OwnRows, y: Int[Tensor, " n"] | None = None) -> Sums:
    """Sum q(zᵢ|xⱼ)/q(zᵢ|xᵢ) over all other rows, and over those of the same class; log, float64."""
    order, sizes = class_by_class(y)
    mean, scale = (t if order is None else t[order] for t in (rows.mean, rows.scale))
    centres = _Centres(mean, scale)
    block = max(1, block_bytes(mean, _BLOCK_BYTES) // (8 * len(mean) * centres.copies))

    def scored(drawn: Tensor) -> Scores:
        eps = (drawn if order is None else drawn[order]) * centres.on
        z = centres.mean + scale * eps
        own = centres.peak - eps.square().sum(1) / 2
        return lambda start, stop: (centres.log_density(z[start:stop], slice(start, stop)), own[start:stop])

    return summed(map(scored, rows.draws()), len(mean), block, order, sizes)


class _Centres:
    """Components of the mixture; log-densities up to the constant of the units."""

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        self.on = (scale > 0).to(mean)
        inverse = torch.where(scale > 0, 1 / scale, 0.0)
        # Shifted where that brings means closer to 0 in scales; not under multiplicative noise, which grows with them.
        centred = mean - mean.mean(0)
        closer = ((centred * inverse).abs().amax(0) < (mean * inverse).abs().amax(0)).to(mean)
        self.mean = mean - closer * mean.mean(0)
        self.peak = (torch.where(scale > 0, inverse, 1.0)).log().sum(1)
        self._inverse, weight = inverse, inverse.square()
        self.by_products = float((self.mean * inverse).square().sum(1).max()) < _PRODUCTS_REACH
        self._factors = torch.cat([-weight / 2, self.mean * weight], 1)
        self._constant = self.peak - (self.mean.square() * weight).sum(1) / 2
        self._off = None if bool((scale > 0).all()) else 1 - self.on
        self.copies = (1 if self.by_products else 2 * mean.shape[1]) + (0 if self._off is None else 3)
        """Matrices that are there at once in a block."""

    def log_density(self, z: Tensor, rows: slice) -> Tensor:
        """Of some z under every component ``(k, n)``.

        Args:
            z: ``(k, d)``.
            rows: the components that they were drawn from.
        """
        if self.by_products:
            g = torch.addmm(self._constant, torch.cat([z.square(), z], 1), self._factors.T)
        else:
            g = ((z[:, None] - self.mean) * self._inverse).square_().sum(2).div_(-2).add_(self.peak)
        if self._off is not None:
            differ = self._off[rows] @ self.on.T + self.on[rows] @ self._off.T
            g.sub_(differ, alpha=_APART)
        return g

"""Rate and distortion as one loss: VIB for labels, β-VAE for inputs.

``beta_rate`` multiplies the rate. The bottleneck's own β multiplies relevance: β_IB = 1/β_rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ibprobe.errors import BadInput, UnknownName


@dataclass(frozen=True, slots=True)
class RateDistortion:
    """A loss and its two parts, means over rows; ``probe.log(step, rate=found.rate, distortion=found.distortion)``."""

    loss: Tensor
    """To call ``backward()`` on."""
    rate: Tensor
    """E KL(q(z|x)‖r(z)) in nats, an upper bound on I(X;Z); without a graph."""
    distortion: Tensor
    """−E log p(·|z) in nats; H − distortion is a lower bound on what the code keeps of it. Without a graph."""

    @property
    def elbo(self) -> Tensor:
        """−(rate + distortion): the same value hides any rate (Alemi et al. 2018, arXiv 1711.00464)."""
        return -(self.rate + self.distortion)


@dataclass(frozen=True, slots=True)
class CapacityRamp:
    """A target for the rate that grows linearly: C(step), to be given as ``capacity=``.

    Burgess et al. 2018 (arXiv 1804.03599): the loss is distortion + γ·|rate − C| with γ = ``beta_rate`` large.
    """

    stop: float = 25.0
    """Nats at the end of the ramp and after it."""
    steps: int = 100_000
    """Length of the ramp in optimizer steps."""
    start: float = 0.0
    """Nats at step 0."""

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInput(f"steps= is the length of the ramp, at least 1; got {self.steps}")
        for name in ("start", "stop"):
            _check_number(name, getattr(self, name))

    def __call__(self, step: int) -> float:
        """The target at a step, in nats."""
        done = min(max(step / self.steps, 0.0), 1.0)
        return self.start + (self.stop - self.start) * done


def vib_loss(logits: Tensor, y: Tensor, rate: Tensor, *, beta_rate: float = 1e-3) -> RateDistortion:
    """Cross-entropy of the labels plus ``beta_rate`` times the rate (Alemi et al. 2017, arXiv 1612.00410, eq. 17).

    Args:
        logits: ``(n, classes)``, of a decoder of z.
        y: class labels ``(n,)``.
        rate: ``(n,)`` in nats, of ``GaussianBottleneck.rate``.
        beta_rate: nats of relevance that a nat of rate must buy; β_IB = 1/``beta_rate``.

    Raises:
        BadInput: shapes that do not fit, labels that are no integers, or a β that is negative or not finite.
    """
    if logits.ndim != 2 or y.shape != logits.shape[:1] or y.is_floating_point():
        raise BadInput(
            f"logits are (n, classes) and y integer labels (n,); got {_shape(logits)} and {_shape(y)} of {y.dtype}"
        )
    _check_rate(rate, len(logits))
    _check_number("beta_rate", beta_rate)
    distortion, mean = cross_entropy(logits, y), rate.mean()
    return RateDistortion(distortion + beta_rate * mean, mean.detach(), distortion.detach())


def beta_vae_loss(
    output: Tensor,
    x: Tensor,
    rate: Tensor,
    *,
    beta_rate: float = 1.0,
    likelihood: str = "bernoulli",
    scale: float = 1.0,
    capacity: float | None = None,
) -> RateDistortion:
    """−E log p(x|z) plus ``beta_rate`` times the rate (Higgins et al. 2017), or γ·|rate − C| (Burgess et al. 2018).

    Distortion is *summed* over the numbers of a row: a mean over pixels would divide β by their number. Under
    ``gaussian`` only β·scale² matters for what is learned: ‖x − output‖²/2 + β·scale²·rate. So a published β belongs to
    its scale (pythae, for one, has scale 1), and a linear β-VAE keeps the directions of variance λ > β·scale² (Lucas
    et al. 2019, arXiv 1911.02469). ``bernoulli`` has no scale; for grey values between 0 and 1 its distortion is a
    cross-entropy, which has no zero.

    Args:
        output: of a decoder of z, in the shape of x: logits under ``bernoulli``, means under ``gaussian``.
        x: the inputs ``(n, …)``; between 0 and 1 under ``bernoulli``.
        rate: ``(n,)`` in nats, of ``GaussianBottleneck.rate``.
        beta_rate: what a nat of rate costs; γ where there is a capacity.
        likelihood: ``bernoulli`` or ``gaussian``.
        scale: standard deviation of p(x|z) in the units of x; of ``gaussian`` only.
        capacity: nats that the rate is held at, such as ``CapacityRamp()(step)``.

    Raises:
        BadInput: shapes that do not fit, x with NaN or outside 0 … 1, or options that are no positive numbers.
    """
    if output.shape != x.shape or x.ndim < 2:
        raise BadInput(f"output has the shape of x, (n, …); got {_shape(output)} for {_shape(x)}")
    if not torch.compiler.is_compiling() and not bool(x.isfinite().all()):
        raise BadInput(f"{int((~x.isfinite()).flatten(1).any(1).sum())} of {len(x)} rows of x hold NaN or infinity")
    _check_rate(rate, len(x))
    _check_number("beta_rate", beta_rate)
    by_row, mean = _distortion(output, x, likelihood, scale), rate.mean()
    distortion = by_row.mean()
    if capacity is None:
        loss = distortion + beta_rate * mean
    else:
        _check_number("capacity", capacity)
        loss = distortion + beta_rate * (mean - capacity).abs()
    return RateDistortion(loss, mean.detach(), distortion.detach())


def _distortion(output: Tensor, x: Tensor, likelihood: str, scale: float) -> Tensor:
    """−log p(x|z) of each row."""
    if likelihood == "bernoulli":
        if scale != 1:
            raise BadInput(f"scale= is of likelihood='gaussian'; a Bernoulli has none, got {scale}")
        if not torch.compiler.is_compiling() and not bool(((x >= 0) & (x <= 1)).all()):
            raise BadInput("likelihood='bernoulli' expects x between 0 and 1: rescale x, or pass likelihood='gaussian'")
        return binary_cross_entropy_with_logits(output, x, reduction="none").flatten(1).sum(1)
    if likelihood != "gaussian":
        raise UnknownName("likelihood", likelihood, ("bernoulli", "gaussian"))
    if not (math.isfinite(scale) and scale > 0):
        raise BadInput(f"scale= is the standard deviation of p(x|z), positive; got {scale}")
    errors = ((x - output) / scale).square().flatten(1).sum(1) / 2
    return errors + x[0].numel() * math.log(scale * math.sqrt(2 * math.pi))


def _check_rate(rate: Tensor, n: int) -> None:
    if rate.shape != (n,):
        raise BadInput(f"rate has one value a row, ({n},), as bottleneck.rate(mean, scale) gives; got {_shape(rate)}")


def _check_number(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise BadInput(f"{name}= is a finite number of at least 0; got {value}")


def _shape(t: Tensor) -> tuple[int, ...]:
    return tuple(t.shape)

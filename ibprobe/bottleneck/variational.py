"""Layers that draw their output from a known Gaussian: q(z|x) = N(mean, scale²), unit by unit."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from ibprobe.errors import BadInput, UnknownName

_MARGINALS = ("standard", "learnable")


class GaussianBottleneck(nn.Module):
    """Draw z = mean + scale·ε, and say what that costs: the rate KL(q(z|x)‖r(z)).

    The mean rate is at least I(X;Z) whatever r is, and more by KL(q(z)‖r) exactly (Alemi et al. 2017, arXiv 1612.00410,
    section 3; Alemi et al. 2018, arXiv 1711.00464). A probe that replays the layer brackets I(X;Z) with the layer's own
    means and scales and adds no noise of its own.

    It has no state but r: mean and scale come from the layers before it, for example as ``mean, raw = h.chunk(2, -1)``
    and ``scale = softplus(raw)``.

    Args:
        dim: units of the code.
        marginal: r. ``standard``: N(0, 1) in every unit. ``learnable``: N(μ, σ²) with parameters ``marginal_mean`` and
            ``marginal_log_scale``, which the rate trains; it starts as the standard one.
        sample_in_eval: draw in eval mode too; otherwise z is the mean there.
        generator: of ε; by default the global one, as for any layer of torch.
        check: refuse means and scales that are not finite and scales that are not positive. It waits for the device
            once a call, like ``validate_args`` of ``torch.distributions``.
    """

    def __init__(
        self,
        dim: int,
        *,
        marginal: str = "standard",
        sample_in_eval: bool = False,
        generator: Generator | None = None,
        check: bool = True,
    ) -> None:
        super().__init__()
        if marginal not in _MARGINALS:
            raise UnknownName("marginal", marginal, _MARGINALS)
        if dim < 1:
            raise BadInput(f"dim= is a number of units, at least 1; got {dim}")
        self.dim, self.marginal, self.sample_in_eval = dim, marginal, sample_in_eval
        self.generator, self.check = generator, check
        learnable = marginal == "learnable"
        self.marginal_mean = nn.Parameter(torch.zeros(dim)) if learnable else None
        self.marginal_log_scale = nn.Parameter(torch.zeros(dim)) if learnable else None

    def forward(self, mean: Tensor, scale: Tensor) -> Tensor:
        """Draw z, or hand the mean on in eval mode.

        Args:
            mean: ``(n, dim)``, or any shape that ends in ``dim``.
            scale: standard deviations in the same shape.

        Raises:
            BadInput: shapes differ, or values that ``check`` refuses.
        """
        self._refuse(mean, scale)
        if not (self.training or self.sample_in_eval):
            return mean
        return mean + scale * _noise_like(mean, self.generator)

    def rate(self, mean: Tensor, scale: Tensor) -> Tensor:
        """KL(q(z|x)‖r(z)) of each row in nats, in closed form: ``(n,)`` for ``mean`` and ``scale`` ``(n, dim)``.

        Raises:
            BadInput: shapes differ, or values that ``check`` refuses.
        """
        self._refuse(mean, scale)
        if self.marginal_mean is None or self.marginal_log_scale is None:
            return _divergence(mean, scale).sum(-1)
        narrowing = (-self.marginal_log_scale).exp()
        return _divergence((mean - self.marginal_mean) * narrowing, scale * narrowing).sum(-1)

    def encoder_moments(self, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Moments of q(z|x), the ``mean`` and ``scale`` that the forward is given: how a probe knows them."""
        return mean, scale

    def extra_repr(self) -> str:
        """As ``print(model)`` shows it."""
        return f"{self.dim}, marginal={self.marginal!r}" + (", sample_in_eval=True" if self.sample_in_eval else "")

    def _refuse(self, mean: Tensor, scale: Tensor) -> None:
        if mean.shape != scale.shape or mean.ndim < 1 or mean.shape[-1] != self.dim:
            raise BadInput(
                f"mean and scale have one shape that ends in {self.dim}; got {tuple(mean.shape)} and "
                f"{tuple(scale.shape)}: a layer of {2 * self.dim} units gives both, by h.chunk(2, -1)"
            )
        if self.check and not torch.compiler.is_compiling():
            _check_moments(mean, scale)


class GaussianDropout(nn.Module):
    """Multiplicative noise z = h·(1 + √α·ε): dropout whose I(X;Z) is finite and known up to h(Z).

    h(Z|X) = E Σ ln(√(2πe·α)·|h|) in closed form, so that a probe brackets I(X;Z) without noise of its own
    (Kingma, Salimans & Welling 2015, arXiv 1506.02557, section 3.1; α = p/(1 − p) has the variance of dropout with
    rate p). A unit that is exactly 0, as after ReLU, stays 0: rows with different sets of such units are told apart
    with certainty, and with many units I(X;Z) is the ceiling.

    Args:
        alpha: variance of the noise, positive.
        sample_in_eval: draw in eval mode too; otherwise the input is handed on there.
        generator: of ε; by default the global one.
    """

    def __init__(self, alpha: float = 1.0, *, sample_in_eval: bool = False, generator: Generator | None = None) -> None:
        super().__init__()
        if not (math.isfinite(alpha) and alpha > 0):
            raise BadInput(f"alpha= is a positive variance, p/(1 − p) for dropout of rate p; got {alpha}")
        self.alpha, self.sample_in_eval, self.generator = alpha, sample_in_eval, generator

    def forward(self, h: Tensor) -> Tensor:
        """Multiply ``h`` by noise, or hand it on in eval mode."""
        if not (self.training or self.sample_in_eval):
            return h
        return h * (1 + math.sqrt(self.alpha) * _noise_like(h, self.generator))

    def encoder_moments(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and scale of q(z|x) for the forward's ``h``: how a probe knows them."""
        return h, math.sqrt(self.alpha) * h.abs()

    def extra_repr(self) -> str:
        """As ``print(model)`` shows it."""
        return f"alpha={self.alpha:g}" + (", sample_in_eval=True" if self.sample_in_eval else "")


def _noise_like(t: Tensor, generator: Generator | None) -> Tensor:
    return torch.randn(t.shape, generator=generator, device=t.device, dtype=t.dtype)


def _divergence(mean: Tensor, scale: Tensor) -> Tensor:
    """KL(N(mean, scale²)‖N(0, 1)) of each unit."""
    return (mean.square() + scale.square() - 1) / 2 - scale.log()


def _check_moments(mean: Tensor, scale: Tensor) -> None:
    # One flag, so that an accelerator is waited for once.
    if bool((mean.isfinite() & scale.isfinite() & (scale > 0)).all()):
        return
    rows, units = mean.reshape(-1, mean.shape[-1]), scale.reshape(-1, scale.shape[-1])
    for name, t in (("means", rows), ("scales", units)):
        bad = int((~t.isfinite()).any(1).sum())
        if bad:
            raise BadInput(f"{bad} of {len(t)} rows have {name} that are NaN or infinite: the layers before diverged")
    bad = int((units <= 0).any(1).sum())
    raise BadInput(
        f"{bad} of {len(units)} rows have scales that are not positive, the smallest {float(units.min()):g}: pass "
        "softplus(raw) or exp(log_scale)"
    )

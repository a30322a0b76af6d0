"""The channel that is measured: T̃ = view(T) + std·ε, with noise that the probe adds itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool, Float

Noise = Literal["relative", "per_unit", "absolute"]
Target = Literal["population", "probe_set"]

# Beyond this squared norm, in noise units, float32 loses more than 0.01 nats in ‖z‖² − 2z·u + ‖u‖².
_FLOAT32_REACH = 2.0**16


@dataclass(frozen=True, slots=True)
class Channel:
    """How rows become noisy rows.

    Values of different channels are different quantities: they are never drawn on one axis.
    """

    noise: Noise = "relative"
    """``relative``: std = sigma·r, r = √tr Cov of the rows, so neither rescaling a layer nor duplicating its units is
    compression. ``per_unit``: the same after every unit is standardised. ``absolute``: std = sigma."""
    sigma: float = 0.25
    seed: int = 0
    draws: int = 4
    """Noise draws that are averaged; ε is a function of (seed, row, layer, draw), equal at every step."""
    target: Target = "population"
    """``population``: rows are a sample of it. ``probe_set``: these rows are all there is (an enumerated input)."""

    def __post_init__(self) -> None:
        for field, kind in (("noise", Noise), ("target", Target)):
            if getattr(self, field) not in get_args(kind):
                raise BadInput(f"{field}= is one of {', '.join(get_args(kind))}; got {getattr(self, field)!r}")
        sigma: object = self.sigma
        if not (isinstance(sigma, int | float | np.number) and math.isfinite(sigma) and sigma >= 0):
            raise BadInput(f"sigma= is a finite number of at least 0; got {self.sigma!r}")
        if self.draws < 2:
            raise BadInput(f"draws= is at least 2, or the noise has no standard error; got {self.draws}")


@dataclass(frozen=True, slots=True)
class NoisyRows:
    """Rows of one layer, centred and in units of the noise: ``z = u + ε``."""

    u: Float[Tensor, "n d"]
    std: float
    """Standard deviation of the noise in the units of ``clean``; 0 when the layer is constant or sigma is 0."""
    clean: Float[Tensor, "n d"]
    """Centred rows before division by ``std`` (standardised under ``per_unit``)."""
    share: float
    """Largest share of the variance that one unit holds."""
    mean: Float[Tensor, " d"]
    unit: Float[Tensor, " d"]
    """``u`` is (t − mean)·unit; 0 for a constant unit."""
    seeds: tuple[int, ...]
    of: int
    """Rows of the layer that these are part of, for the noise belongs to a row and not to its place."""
    kept: Bool[Tensor, " of"] | None = None

    def only(self, kept: Bool[Tensor, " of"]) -> NoisyRows:
        """Some of the rows, through the same channel and with the same noise."""
        return replace(self, u=self.u[kept], clean=self.clean[kept], kept=kept)

    def placed(self, t: Float[Tensor, "*k d"]) -> Float[Tensor, "*k d"]:
        """Other activations of the layer in the same units."""
        return ((t.to(self.clean.dtype) - self.mean) * self.unit).to(self.u.dtype)

    def draws(self) -> Iterator[Float[Tensor, "n d"]]:
        """Noise of each draw, from a private generator."""
        for seed in self.seeds:
            generator = torch.Generator(self.u.device).manual_seed(seed)
            # Drawn in float32 and then widened, so that a float64 twin sees the same noise.
            shape = (self.of, self.u.shape[1])
            eps = torch.randn(shape, generator=generator, device=self.u.device, dtype=torch.float32)
            yield (eps if self.kept is None else eps[self.kept]).to(self.u.dtype)


@torch.no_grad()
def noisy_rows(t: Float[Tensor, "n d"], channel: Channel, layer: str = "") -> NoisyRows:
    """Put a layer's rows into noise units.

    Args:
        t: finite activations ``(n, d)``.
        channel: noise kind and size.
        layer: part of the noise seed.
    """
    largest = float(t.abs().amax())
    # Squares beyond 10±³⁰ leave the range of float32.
    wide = t.double() if t.dtype == torch.float64 or not 1e-15 < largest < 1e15 else t.float()
    mean = wide.mean(0)
    clean = wide - mean
    variance = clean.square().mean(0)
    # Rounding leaves about one unit in the last place of the mean in a constant unit; it carries nothing.
    floor = (torch.finfo(wide.dtype).eps * wide.abs().amax(0) * 4).square()
    alive = variance > floor
    clean, variance, unit = clean * alive, variance * alive, alive.to(wide)
    if channel.noise == "per_unit":
        unit = unit / torch.where(alive, variance, 1.0).sqrt()
        clean = clean * unit
        share = 0.0
    else:
        share = float(variance.amax() / variance.sum()) if bool(alive.any()) else 0.0
    r = float(clean.square().sum(1).mean().sqrt())
    std = 0.0 if r == 0 else channel.sigma if channel.noise == "absolute" else channel.sigma * r
    u = clean / std if std else clean
    if float(u.square().sum(1).max()) > _FLOAT32_REACH or _products_are_coarse(u.device):
        u = u.double()
    return NoisyRows(u, std, clean, share, mean, unit / std if std else unit, noise_seeds(channel, layer), len(u))


def _products_are_coarse(device: torch.device) -> bool:
    """Whether matrix products of float32 keep ten bits there (TF32), which the kernel's differences cannot bear.

    The setting is the user's, and stays; products of float64 heed it not.
    """
    products: Any = torch.backends.cuda.matmul
    # Since torch 2.9; reading the older flag is an error where the newer one was used.
    precision = getattr(products, "fp32_precision", None)
    return device.type == "cuda" and (products.allow_tf32 if precision is None else precision == "tf32")


def noise_seeds(channel: Channel, layer: str) -> tuple[int, ...]:
    """One a draw: functions of the channel's seed and the layer."""
    return tuple(stable_seed(channel.seed, layer, draw) for draw in range(channel.draws))


def stable_seed(*parts: object) -> int:
    """A generator seed that depends on ``parts`` alone, equal on every machine."""
    return int.from_bytes(blake2b("|".join(map(str, parts)).encode(), digest_size=7).digest(), "big")

"""A training function that a design can name: a convolutional β-VAE on pictures, measured under a shift as well."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ibprobe.bottleneck.disentanglement import dci, factor_vae_score, mig
from ibprobe.bottleneck.objectives import beta_vae_loss
from ibprobe.bottleneck.variational import GaussianBottleneck
from ibprobe.errors import BadInput
from ibprobe.estimate.own_noise import bracket_of_gaussians
from ibprobe.lens.folders import pictures_in
from ibprobe.lens.shapes import Pictures, lit_shapes
from ibprobe.lens.watch import Watch

ACTIVE = 0.01
"""Nats of rate above which a unit counts as active."""
# Bodies are in random order, so the first pictures are a sample.
_ROWS, _PICTURES = 2048, 4096
_BATCH = 512


class ConvVAE(nn.Module):
    """Three strided convolutions, a code, and their mirror image.

    Args:
        units: of the code.
        channels: of the first convolution.
        colours: of the pictures.
        side: their pixels, a multiple of 8.
    """

    def __init__(self, units: int = 10, channels: int = 16, *, colours: int = 1, side: int = 32) -> None:
        super().__init__()
        c, s = channels, side // 8
        self.encoder = nn.Sequential(
            nn.Conv2d(colours, c, 4, 2, 1), nn.ReLU(), nn.Conv2d(c, 2 * c, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(2 * c, 2 * c, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2 * c * s * s, 128), nn.ReLU(),
            nn.Linear(128, 2 * units),
        )  # fmt: skip
        self.code = GaussianBottleneck(units)
        self.decoder = nn.Sequential(
            nn.Linear(units, 128), nn.ReLU(), nn.Linear(128, 2 * c * s * s), nn.ReLU(), nn.Unflatten(1, (2 * c, s, s)),
            nn.ConvTranspose2d(2 * c, 2 * c, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(2 * c, c, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(c, colours, 4, 2, 1),
        )  # fmt: skip

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and scales of the code."""
        mean, raw = self.encoder(x).chunk(2, -1)
        return mean, softplus(raw) + 1e-4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the pixels, and the rate of each row."""
        mean, scale = self.moments(x)
        return self.decoder(self.code(mean, scale)), self.code.rate(mean, scale)


def pictures(
    watch: Watch,
    *,
    seed: int,
    order_seed: int,
    beta_rate: float,
    steps: int = 3000,
    batch: int = 128,
    lr: float = 1e-3,
    units: int = 10,
    channels: int = 16,
    bodies: int | None = None,
    data: str = "",
    side: int = 32,
) -> None:
    """Train, and measure on unseen bodies without and with a shift.

    By default the pictures are drawn by code: bodies under five adjacent lights, and under the opposite ones as the
    shift. Pictures of a folder have a shift of their own (:func:`ibprobe.lens.folders.pictures_in`). Where no factors
    are known, no disentanglement is kept.

    Args:
        watch: keeps what is measured.
        seed: of the weights.
        order_seed: of batches and of the code's noise.
        beta_rate: multiplies the rate; distortion is the Bernoulli cross-entropy, summed over pixels.
        steps: of Adam.
        batch: rows of a step.
        lr: learning rate.
        units: of the code.
        channels: of the first convolution.
        bodies: at most; all of them by default.
        data: folder with dSprites' file or with photographs.
        side: pixels, a multiple of 8.

    Raises:
        BadInput: another side, or a folder that holds neither.
        MissingExtra: photographs without pillow.
    """
    if side < 8 or side % 8:
        raise BadInput(f"side= is a multiple of 8 pixels; got {side}")
    split = pictures_in(data, most=bodies, side=side) if data else lit_shapes(most=bodies, side=side)
    torch.manual_seed(seed)
    images = split.train.images
    model = ConvVAE(units, channels, colours=images.shape[1], side=side)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    torch.manual_seed(order_seed)
    for rows in _batches(len(images), batch, steps):
        x = images[rows]
        output, rate = model(x)
        optimizer.zero_grad()
        beta_vae_loss(output, x, rate, beta_rate=beta_rate).loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()
    parts = {"train": split.train, "held_out": split.held_out, "shifted": split.shifted}
    errors = {f"mse_{name}": _error(model, part.images[:_PICTURES]) for name, part in parts.items()}
    watch.keep({**errors, **_code(model, split.held_out)})


def _batches(n: int, batch: int, steps: int) -> Iterator[Tensor]:
    """Epoch after epoch in random order."""
    done = 0
    while done < steps:
        for rows in torch.split(torch.randperm(n), batch)[: steps - done]:
            yield rows
            done += 1


@torch.no_grad()
def _error(model: ConvVAE, images: Tensor) -> float:
    """Mean squared error of a pixel, decoded from the means."""
    parts = torch.split(images, _BATCH)
    return sum(float((model(x)[0].sigmoid() - x).square().mean((1, 2, 3)).sum()) for x in parts) / len(images)


@torch.no_grad()
def _code(model: ConvVAE, held_out: Pictures) -> dict[str, float | str]:
    """What the code of unseen bodies keeps and costs, and what it tells of the factors."""
    parts = [model.moments(x) for x in torch.split(held_out.images, _BATCH)]
    mean, scale = (torch.cat(p) for p in zip(*parts, strict=True))
    rate = model.code.rate(mean, scale)
    by_unit = ((mean.square() + scale.square() - 1) / 2 - scale.log()).mean(0)
    found = bracket_of_gaussians(mean[:_ROWS], scale[:_ROWS], rate=rate[:_ROWS])
    assert found.gap_low is not None
    assert found.gap_high is not None
    active = by_unit > ACTIVE
    kept: dict[str, float | str] = {
        "rate": float(rate.mean()), "information_low": found.low, "information_high": found.high,
        "gap_low": found.gap_low, "gap_high": found.gap_high, "active": float(active.sum()),
        "norm": float(mean.norm(dim=1).mean()),
    }  # fmt: skip
    if held_out.factors is None:
        return {**kept, "disentanglement": "absent: no factors are known"}
    codes, factors = mean.numpy(), held_out.factors.numpy()
    by_forest = dci(codes, factors)
    return {
        **kept, "mig": mig(codes, factors), "dci": by_forest.disentanglement,
        "informativeness": by_forest.informativeness,
        "factor_vae": factor_vae_score(codes, factors, active=active.numpy()),
    }  # fmt: skip

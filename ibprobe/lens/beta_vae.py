"""A training function that a design can name: a convolutional β-VAE on lit shapes, with the article's columns."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ibprobe.bottleneck.disentanglement import dci, factor_vae_score, mig
from ibprobe.bottleneck.objectives import beta_vae_loss
from ibprobe.bottleneck.variational import GaussianBottleneck
from ibprobe.estimate.own_noise import bracket_of_gaussians
from ibprobe.lens.shapes import Shapes, lit_shapes
from ibprobe.lens.watch import Watch

ACTIVE = 0.01
"""Nats of rate above which a unit counts as active."""
# Bodies are in random order, so the first pictures are a sample.
_ROWS, _PICTURES = 2048, 4096
_BATCH = 512


class ConvVAE(nn.Module):
    """Three strided convolutions, a code, and their mirror image; pictures of 32 × 32 pixels."""

    def __init__(self, units: int = 10, channels: int = 16) -> None:
        super().__init__()
        c = channels
        self.encoder = nn.Sequential(
            nn.Conv2d(1, c, 4, 2, 1), nn.ReLU(), nn.Conv2d(c, 2 * c, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(2 * c, 2 * c, 4, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(32 * c, 128), nn.ReLU(),
            nn.Linear(128, 2 * units),
        )  # fmt: skip
        self.code = GaussianBottleneck(units)
        self.decoder = nn.Sequential(
            nn.Linear(units, 128), nn.ReLU(), nn.Linear(128, 32 * c), nn.ReLU(), nn.Unflatten(1, (2 * c, 4, 4)),
            nn.ConvTranspose2d(2 * c, 2 * c, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(2 * c, c, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(c, 1, 4, 2, 1),
        )  # fmt: skip

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and scales of the code."""
        mean, raw = self.encoder(x).chunk(2, -1)
        return mean, softplus(raw) + 1e-4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the pixels, and the rate of each row."""
        mean, scale = self.moments(x)
        return self.decoder(self.code(mean, scale)), self.code.rate(mean, scale)


def shapes(
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
) -> None:
    """Train on five adjacent lights and measure on unseen bodies, under these lights and the opposite ones.

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
    """
    data = lit_shapes(most=bodies)
    torch.manual_seed(seed)
    model = ConvVAE(units, channels)
    optimizer = torch.optim.Adam(model.parameters(), lr)
    torch.manual_seed(order_seed)
    for rows in _batches(len(data.train.images), batch, steps):
        x = data.train.images[rows]
        output, rate = model(x)
        optimizer.zero_grad()
        beta_vae_loss(output, x, rate, beta_rate=beta_rate).loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()
    splits = {"train": data.train, "held_out": data.held_out, "shifted": data.shifted}
    errors = {f"mse_{name}": _error(model, split.images[:_PICTURES]) for name, split in splits.items()}
    watch.keep({**errors, **_code(model, data.held_out)})


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
def _code(model: ConvVAE, held_out: Shapes) -> dict[str, float]:
    """What the code of unseen bodies keeps, costs, and tells of the factors."""
    parts = [model.moments(x) for x in torch.split(held_out.images, _BATCH)]
    mean, scale = (torch.cat(p) for p in zip(*parts, strict=True))
    rate = model.code.rate(mean, scale)
    by_unit = ((mean.square() + scale.square() - 1) / 2 - scale.log()).mean(0)
    found = bracket_of_gaussians(mean[:_ROWS], scale[:_ROWS], rate=rate[:_ROWS])
    assert found.gap_low is not None
    assert found.gap_high is not None
    active = (by_unit > ACTIVE).numpy()
    codes, factors = mean.numpy(), held_out.factors.numpy()
    by_forest = dci(codes, factors)
    return {
        "rate": float(rate.mean()), "information_low": found.low, "information_high": found.high,
        "gap_low": found.gap_low, "gap_high": found.gap_high, "active": float(active.sum()),
        "norm": float(mean.norm(dim=1).mean()), "mig": mig(codes, factors), "dci": by_forest.disentanglement,
        "informativeness": by_forest.informativeness, "factor_vae": factor_vae_score(codes, factors, active=active),
    }  # fmt: skip

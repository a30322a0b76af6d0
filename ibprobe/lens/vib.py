"""A training function that a design can name: the variational information bottleneck on MNIST.

Alemi et al. 2017 (arXiv 1612.00410): 784-1024-1024-2K, a Gaussian code of K units with a standard normal marginal, a
linear decoder; Adam at 1e-4 with β₁ = 0.5, times 0.97 every second epoch. The authors' public log (vib_demo on GitHub,
K = 256, β = 1e-3, all 60,000 images) has, on the test images, of the weights as they are:

======  ==========  =====================  ===========
epochs  rate, bits  errors, one sample, %  of twelve, %
======  ==========  =====================  ===========
1       134.31      7.68                   6.21
5       80.84       2.76                   2.31
200     22.22       1.84                   1.27
======  ==========  =====================  ===========

and of weights averaged over about 1,000 steps, in the end, 22.17 bits, 1.81 % and 1.21 %.
"""

from __future__ import annotations

import math
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from ibprobe.bottleneck.objectives import vib_loss
from ibprobe.bottleneck.variational import GaussianBottleneck
from ibprobe.demo import load_mnist
from ibprobe.estimate.own_noise import bracket_of_gaussians
from ibprobe.lens.watch import Watch

_SAMPLES, _ROWS = 12, 2048
_KEPT = 0.999


class VIB(nn.Module):
    """Encoder, code and linear decoder; always samples, as the one-sample error is of a sample."""

    def __init__(self, inputs: int, classes: int, units: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2 * units)
        )
        self.code, self.decoder = GaussianBottleneck(units, sample_in_eval=True), nn.Linear(units, classes)
        for layer in (*self.encoder, self.decoder):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and scales of the code; scales start small, as in the paper."""
        mean, raw = self.encoder(2 * x - 1).chunk(2, -1)
        return mean, softplus(raw - 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the classes, and the rate of each row."""
        mean, scale = self.moments(x)
        return self.decoder(self.code(mean, scale)), self.code.rate(mean, scale)


def mnist(
    watch: Watch,
    *,
    root: str,
    seed: int,
    order_seed: int,
    beta_rate: float,
    epochs: int = 200,
    images: int = 60_000,
    batch: int = 100,
    lr: float = 1e-4,
    units: int = 256,
    width: int = 1024,
) -> None:
    """Train on the first images of MNIST, or of any set in its format, and measure on all its test images.

    Args:
        watch: keeps what is measured.
        root: folder with the four files.
        seed: of the weights.
        order_seed: of batches and of the code's noise.
        beta_rate: multiplies the rate.
        epochs: passes over the images.
        images: to train on.
        batch: rows of a step.
        lr: learning rate at the start.
        units: of the code.
        width: of the two hidden layers.
    """
    data = load_mnist(root)
    x, y = data.train[0][:images], data.train[1][:images]
    torch.manual_seed(seed)
    model = VIB(x.shape[1], int(y.max()) + 1, units, width)
    optimizer = torch.optim.Adam(model.parameters(), lr, betas=(0.5, 0.999))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.97)
    torch.manual_seed(order_seed)
    averaged, steps = deepcopy(model), 0
    first: dict[str, float] = {}
    for epoch in range(epochs):
        for rows in torch.split(torch.randperm(len(x)), batch):
            logits, rate = model(x[rows])
            optimizer.zero_grad()
            vib_loss(logits, y[rows], rate, beta_rate=beta_rate).loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps += 1
            _follow(averaged, model, steps)
        schedule.step()
        first = _of("after_1", _told(model, *data.held_out)) if epoch == 0 else first
    watch.keep({**_told(model, *data.held_out), **first, **_of("averaged", _told(averaged, *data.held_out))})


@torch.no_grad()
def _follow(averaged: VIB, model: VIB, steps: int) -> None:
    """Exponential mean of all weights so far, without those from before the first step."""
    share = (1 - _KEPT) / (1 - _KEPT**steps)
    for mean, now in zip(averaged.parameters(), model.parameters(), strict=True):
        mean.lerp_(now, share)


def _of(when: str, told: dict[str, float]) -> dict[str, float]:
    return {f"{name}_{when}": told[name] for name in ("rate_bits", "error", "error_12")}


@torch.no_grad()
def _told(model: VIB, x: Tensor, y: Tensor) -> dict[str, float]:
    """What the code of held-out rows costs, keeps and tells, in nats."""
    mean, scale = model.moments(x)
    rate = model.code.rate(mean, scale)
    logits = torch.stack([model.decoder(model.code(mean, scale)) for _ in range(_SAMPLES)])
    found = bracket_of_gaussians(mean[:_ROWS], scale[:_ROWS])
    shares = torch.bincount(y).double() / len(y)
    several = logits.softmax(2).mean(0)
    return {
        "rate": float(rate.mean()), "rate_bits": float(rate.mean()) / math.log(2),
        "information_low": found.low, "information_high": found.high,
        "told_of_labels": float(torch.special.entr(shares).sum()) - float(cross_entropy(logits[0], y)),
        "error": 100 * float((logits[0].argmax(1) != y).float().mean()),
        "error_12": 100 * float((several.argmax(1) != y).float().mean()),
    }  # fmt: skip

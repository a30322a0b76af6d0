"""The β-VAE that has an answer: linear, on Gaussian inputs; which directions it keeps, at what rate.

Direction i of variance λᵢ is kept if λᵢ > β·s², at ½ ln(λᵢ/(β·s²)) nats, and there I(X;Z) is the rate (Lucas et al.
2019, arXiv 1911.02469).
"""

import math

import pytest
import torch
from torch import Tensor, nn

from ibprobe import measure
from ibprobe.bottleneck import GaussianBottleneck, beta_vae_loss
from ibprobe.estimate.own_noise import bracket_of_gaussians

VARIANCES = (4.0, 2.0, 1.0, 0.5, 0.25)
NOISE = 0.1


def inputs(n: int) -> Tensor:
    """Gaussian rows whose covariance is exactly the one that is meant."""
    x = torch.randn(n, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x - x.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(x.T @ x / n), x.T, upper=False).T
    return white * torch.tensor(VARIANCES, dtype=torch.float64).sqrt()


class LinearVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.log_scale = nn.Linear(5, 5), nn.Parameter(torch.full((5,), -0.5))
        self.code = GaussianBottleneck(5, generator=torch.Generator().manual_seed(1))
        self.decoder = nn.Linear(5, 5)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.encoder(x)
        return mean, self.log_scale.exp().expand_as(mean)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.decoder(self.code(*self.moments(x)))
        return output


def trained(x: Tensor, beta_rate: float, steps: int = 800) -> LinearVAE:
    torch.manual_seed(0)
    model = LinearVAE().double()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        rate = model.code.rate(*model.moments(x))
        found = beta_vae_loss(model(x), x, rate, beta_rate=beta_rate, likelihood="gaussian", scale=math.sqrt(NOISE))
        optimizer.zero_grad()
        found.loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@pytest.mark.parametrize(("beta_rate", "kept", "rate"), [
    pytest.param(1.0, 5, 5.7565, marks=pytest.mark.slow), pytest.param(4.0, 4, 2.5257, marks=pytest.mark.slow),
    (8.0, 3, 1.3744), pytest.param(16.0, 2, 0.5697, marks=pytest.mark.slow), (30.0, 1, 0.1438),
])  # fmt: skip
def test_what_is_kept_and_what_it_costs(beta_rate: float, kept: int, rate: float) -> None:
    model, x = trained(inputs(512), beta_rate), inputs(2048)
    with torch.no_grad():
        mean, scale = model.moments(x)
        by_unit = (mean.square() + scale.square() - 1) / 2 - scale.log()
        cost = model.code.rate(mean, scale)
    # A kept direction costs at least ½ ln(5/4) = 0.11 nats; an unused unit is at 0 up to the last steps' noise.
    assert int((by_unit.mean(0) > 0.02).sum()) == kept
    assert float(cost.mean()) == pytest.approx(rate, rel=0.02)
    found = bracket_of_gaussians(mean, scale, rate=cost)
    assert found.low - 2 * found.low_se <= rate <= found.high + 2 * found.high_se
    assert found.gap_high is not None
    assert found.gap_high_se is not None
    # I(X;Z) is the rate here, and nowhere above it.
    assert found.gap_high > -2 * found.gap_high_se
    probed = measure(model, x, layers="code", estimator="channel")
    bracket, bound = (probed.one(quantity="I_XT", estimator=name) for name in ("channel", "rate"))
    assert bracket.ci_low <= rate <= bracket.ci_high
    assert bound.nats == pytest.approx(rate, rel=0.02)

"""VIB and β-VAE losses against numbers from a hand and from a float64 twin, capacity, and what they refuse."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ibprobe.bottleneck import CapacityRamp, beta_vae_loss, vib_loss
from ibprobe.errors import BadInput, UnknownName


def test_a_vib_loss_is_what_a_hand_computes() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0]])
    found = vib_loss(logits, torch.tensor([0, 0]), torch.tensor([1.0, 3.0]), beta_rate=0.1)
    # −ln ½ and −ln ¾, mean 0.490415; mean rate 2.
    assert float(found.distortion) == pytest.approx(0.490415, abs=1e-6)
    assert float(found.rate) == 2
    assert float(found.loss) == pytest.approx(0.690415, abs=1e-6)
    assert float(found.elbo) == pytest.approx(-2.490415, abs=1e-6)


def test_a_gaussian_beta_vae_loss_is_what_a_hand_computes() -> None:
    x, output = torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.zeros(2, 2)
    found = beta_vae_loss(output, x, torch.tensor([1.0, 2.0]), beta_rate=4.0, likelihood="gaussian", scale=0.5)
    # Squared error 1 of the first row is 1/(2·¼) = 2, mean 1; and 2·ln(½·√2π) = 0.451583.
    assert float(found.distortion) == pytest.approx(1.451583, abs=1e-6)
    assert float(found.loss) == pytest.approx(1.451583 + 4 * 1.5, abs=1e-6)


def test_a_bernoulli_beta_vae_loss_is_what_a_hand_computes() -> None:
    x = torch.tensor([[1.0, 0.0, 0.5]])
    output = torch.tensor([[0.0, 0.0, math.log(3)]])
    found = beta_vae_loss(output, x, torch.tensor([0.25]))
    # ln 2 twice, and −½ ln ¾ − ½ ln ¼ = 0.836988.
    assert float(found.distortion) == pytest.approx(2 * math.log(2) + 0.836988, abs=1e-6)


def _twin(output: Tensor, x: Tensor, rate: Tensor, likelihood: str, scale: float) -> float:
    """One number at a time."""
    total = 0.0
    for o, v in zip(output.flatten(1).tolist(), x.flatten(1).tolist(), strict=True):
        for a, b in zip(o, v, strict=True):
            p = 1 / (1 + math.exp(-a))
            bernoulli = -b * math.log(p) - (1 - b) * math.log(1 - p)
            gaussian = (a - b) ** 2 / (2 * scale**2) + math.log(scale * math.sqrt(2 * math.pi))
            total += bernoulli if likelihood == "bernoulli" else gaussian
    return total / len(x) + 3 * sum(rate.tolist()) / len(rate)


@pytest.mark.parametrize(("likelihood", "scale"), [("bernoulli", 1.0), ("gaussian", 0.3)])
def test_losses_agree_with_a_double_twin(likelihood: Any, scale: float) -> None:
    g = torch.Generator().manual_seed(0)
    output, x, rate = torch.randn(5, 2, 4, generator=g), torch.rand(5, 2, 4, generator=g), torch.rand(5, generator=g)
    found = beta_vae_loss(output, x, rate, beta_rate=3.0, likelihood=likelihood, scale=scale)
    assert float(found.loss) == pytest.approx(_twin(output, x, rate, likelihood, scale), rel=1e-6)


def test_only_beta_times_the_squared_scale_matters_for_what_is_learned() -> None:
    g = torch.Generator().manual_seed(0)
    x, output, rate = torch.randn(6, 3, generator=g), torch.randn(6, 3, generator=g), torch.rand(6, generator=g)
    gradients = []
    for beta, scale in ((4.0, 1.0), (1.0, 2.0)):
        o, r = output.clone().requires_grad_(), rate.clone().requires_grad_()
        beta_vae_loss(o, x, r, beta_rate=beta, likelihood="gaussian", scale=scale).loss.backward()
        assert o.grad is not None
        assert r.grad is not None
        gradients.append((o.grad * scale**2, r.grad * scale**2))
    assert torch.allclose(gradients[0][0], gradients[1][0])
    assert torch.allclose(gradients[0][1], gradients[1][1])


def test_a_capacity_pulls_the_rate_from_both_sides() -> None:
    x = torch.zeros(2, 3)
    for rate, slope in ((1.0, -0.5), (9.0, 0.5)):
        r = torch.full((2,), rate, requires_grad=True)
        found = beta_vae_loss(x, x, r, likelihood="gaussian", beta_rate=1.0, capacity=5.0)
        assert float(found.loss.detach() - found.distortion) == pytest.approx(4)
        found.loss.backward()
        assert r.grad is not None
        assert r.grad.tolist() == [slope, slope]


def test_a_ramp_grows_linearly_and_stays() -> None:
    ramp = CapacityRamp(stop=10.0, steps=100, start=2.0)
    assert [ramp(step) for step in (-5, 0, 50, 100, 10_000)] == [2, 2, 6, 10, 10]


def test_rate_and_distortion_hold_no_graph() -> None:
    rate = torch.rand(3, requires_grad=True)
    found = vib_loss(torch.zeros(3, 2, requires_grad=True), torch.zeros(3, dtype=torch.long), rate)
    assert found.loss.requires_grad
    assert not found.rate.requires_grad
    assert not found.distortion.requires_grad


_X, _RATE = torch.full((4, 3), 0.5), torch.zeros(4)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"output": torch.zeros(4, 2)}, r"got \(4, 2\) for \(4, 3\)"),
        ({"rate": torch.zeros(())}, r"one value a row, \(4,\)"),
        ({"rate": torch.zeros(4, 3)}, "bottleneck.rate"),
        ({"x": torch.full((4, 3), 2.0)}, "between 0 and 1"),
        ({"x": torch.tensor([[0.5, 0.5, float("nan")]] * 4)}, "4 of 4 rows of x hold NaN"),
        ({"beta_rate": -1.0}, "beta_rate= is a finite number of at least 0; got -1"),
        ({"beta_rate": math.nan}, "beta_rate="),
        ({"capacity": -1.0}, "capacity="),
        ({"likelihood": "gaussian", "scale": 0.0}, "scale= is the standard deviation"),
        ({"scale": 0.5}, "a Bernoulli has none"),
    ],
)
def test_a_beta_vae_loss_refuses_what_cannot_be(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        beta_vae_loss(**{"output": torch.zeros(4, 3), "x": _X, "rate": _RATE, **given})


@pytest.mark.parametrize(
    ("logits", "y"),
    [
        (torch.zeros(4), torch.zeros(4, dtype=torch.long)),
        (torch.zeros(4, 2), torch.zeros(3, dtype=torch.long)),
        (torch.zeros(4, 2), torch.zeros(4)),
    ],
)
def test_a_vib_loss_refuses_what_does_not_fit(logits: Tensor, y: Tensor) -> None:
    with pytest.raises(BadInput, match="integer labels"):
        vib_loss(logits, y, _RATE)


def test_an_unknown_likelihood_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="bernoulli, gaussian"):
        beta_vae_loss(_X, _X, _RATE, likelihood="poisson")


def test_a_ramp_refuses_what_cannot_be() -> None:
    with pytest.raises(BadInput, match="at least 1"):
        CapacityRamp(steps=0)
    with pytest.raises(BadInput, match="stop="):
        CapacityRamp(stop=math.inf)

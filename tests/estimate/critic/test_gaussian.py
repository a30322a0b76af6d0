from __future__ import annotations

import math

import pytest
import torch

from ibprobe.estimate.critic.gaussian import gaussian_part
from ibprobe.estimate.critic.inputs import Bases, Inputs


def inputs(a: torch.Tensor, b: torch.Tensor) -> Inputs:
    return Inputs(a, b, torch.zeros_like(b[0]), Bases(None, None), ranked=False)


def gaussian(n: int, d: int, nats: float, seed: int) -> Inputs:
    generator = torch.Generator().manual_seed(seed)
    rho = math.sqrt(1 - math.exp(-2 * nats / d))
    a, noise = torch.randn(2, n, d, generator=generator)
    return inputs(a, rho * a + math.sqrt(1 - rho**2) * noise)


def plug_in(pair: Inputs) -> float:
    """−½ ln det of the correlation of both sides, over the product of their own."""
    both = torch.cat([pair.a, pair.b], 1).double()
    parts = [torch.logdet(torch.cov(x.T)) for x in (pair.a.double(), pair.b.double(), both)]
    return float(parts[0] + parts[1] - parts[2]) / 2


@pytest.mark.parametrize("nats", [0.0, 0.3, 2.0])
def test_the_value_is_right_on_average_where_the_plug_in_is_too_high(nats: float) -> None:
    pairs = [gaussian(120, 6, nats, seed) for seed in range(60)]
    parts = [gaussian_part(pair) for pair in pairs]
    mean = sum(p.nats for p in parts if p) / 60
    # Sixty draws of standard deviation 0.04 to 0.15; the plug-in adds d²/2n = 0.15 and more.
    assert mean == pytest.approx(nats, abs=0.06)
    assert sum(map(plug_in, pairs)) / 60 > nats + 0.12


def test_its_error_is_the_spread_over_draws() -> None:
    parts = [gaussian_part(gaussian(400, 5, 1.0, seed)) for seed in range(60)]
    values = torch.tensor([p.nats for p in parts if p])
    errors = torch.tensor([p.se for p in parts if p])
    # Sixty draws tell a standard deviation to a tenth.
    assert float(errors.mean() / values.std()) == pytest.approx(1.0, abs=0.35)


def test_what_the_model_claims_too_much_is_taken_off() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = 4 * torch.randn(4, 3, generator=generator)
    c = torch.randint(4, (2000,), generator=generator)
    a, b = (centres[c] + 0.1 * torch.randn(2000, 3, generator=generator) for _ in range(2))
    part = gaussian_part(inputs(a, b))
    assert part is not None
    # Four clusters share ln 4; a Gaussian model of them believes in far more.
    assert plug_in(inputs(a, b)) > 5
    assert part.nats < math.log(4) + 0.05


def test_constant_and_repeated_columns_bring_nothing() -> None:
    pair = gaussian(500, 3, 1.0, 1)
    wider = inputs(torch.cat([pair.a, pair.a[:, :1], torch.full((500, 1), 7.0)], 1), pair.b)
    plain, same = gaussian_part(pair), gaussian_part(wider)
    assert plain is not None
    assert same is not None
    assert same.nats == pytest.approx(plain.nats, abs=1e-6)


def test_too_few_rows_give_nothing() -> None:
    assert gaussian_part(gaussian(40, 6, 1.0, 0)) is None

"""Brackets of layers that draw from a Gaussian of their own: a float64 twin, closed forms, rates, and bad input."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ibprobe.bottleneck import GaussianBottleneck, GaussianDropout
from ibprobe.errors import BadInput
from ibprobe.estimate import own_noise
from ibprobe.estimate.channel import Channel, noisy_rows
from ibprobe.estimate.kernel import input_terms, kernel_sums
from ibprobe.estimate.own_noise import OwnRows, bracket_of_gaussians, own_rows, own_sums

SEEDS = (3, 4)


def moments(n: int, d: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=g), 0.2 + torch.rand(n, d, generator=g)


def twin(rows: OwnRows, y: Tensor) -> tuple[Tensor, Tensor]:
    """log Σ_{j≠i} q(zᵢ|xⱼ)/q(zᵢ|xᵢ) by torch's own density, one pair at a time."""
    others, same = [], []
    for eps in rows.draws():
        z = rows.mean + rows.scale * eps
        density = torch.stack([torch.distributions.Normal(rows.mean, rows.scale).log_prob(v).sum(1) for v in z])
        ratio = (density - density.diagonal()[:, None]).fill_diagonal_(-math.inf)
        others.append(ratio.logsumexp(1))
        same.append(ratio.masked_fill(y[:, None] != y[None], -math.inf).logsumexp(1))
    return torch.stack(others), torch.stack(same)


@pytest.mark.parametrize("far", [0.0, 1e7])
def test_sums_agree_with_the_obvious_twin(far: float) -> None:
    # A unit of which one row has a scale of a millionth leaves products of float64 behind: then differences are taken.
    mean, scale = (t.double() for t in moments(150, 4))
    if far:
        scale[0, 0] = 1 / far
    y = torch.randint(0, 3, (150,), generator=torch.Generator().manual_seed(0))
    rows = own_rows(mean, scale, SEEDS)
    fast, (others, same) = own_sums(rows, y), twin(rows, y)
    # Log densities of one row that are 87 below the best are clamped, which no sum of 149 shows.
    assert torch.allclose(fast.others, others, atol=1e-6)
    assert fast.same_class is not None
    assert torch.allclose(fast.same_class, same, atol=1e-6)
    assert torch.allclose(own_sums(rows).others, others, atol=1e-6)


def test_blocks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = own_rows(*moments(150, 4), SEEDS)
    y = torch.arange(150) % 3
    whole = own_sums(rows, y)
    monkeypatch.setattr(own_noise, "_BLOCK_BYTES", 1)
    blocks = own_sums(rows, y)
    assert torch.allclose(whole.others, blocks.others)
    assert whole.same_class is not None
    assert blocks.same_class is not None
    assert torch.allclose(whole.same_class, blocks.same_class)


def test_equal_scales_give_what_the_probe_s_own_noise_gives() -> None:
    t = moments(400, 3)[0]
    ours = noisy_rows(t, Channel("absolute", 0.3))
    own = own_rows(t, torch.full_like(t, 0.3), ours.seeds)
    # The same noise; float32 against float64.
    assert torch.allclose(own_sums(own).others, kernel_sums(ours).others, atol=1e-3)


def test_one_scale_for_half_of_the_rows_and_another_for_the_rest_is_bracketed() -> None:
    # X is a fair coin; z is N(0, 1) or N(0, 9): I(X;Z) by quadrature. Equal rows are kept: p(z|x) is all that enters.
    z = torch.linspace(-40, 40, 200_001, dtype=torch.float64)
    densities = [torch.distributions.Normal(0.0, s).log_prob(z) for s in (1.0, 3.0)]
    mixture = torch.logaddexp(*densities) - math.log(2)
    truth = sum(float(torch.trapezoid(d.exp() * (d - mixture), z)) for d in densities) / 2
    scale = torch.tensor([1.0, 3.0]).repeat(1024)[:, None]
    found = bracket_of_gaussians(torch.zeros(2048, 1), scale)
    assert found.low - 3 * found.low_se <= truth <= found.high + 3 * found.high_se
    assert found.high - found.low < 0.01


@pytest.mark.parametrize(("alpha", "truth"), [(0.1, 1.7893), (0.4, 1.1413)])
@pytest.mark.parametrize("seed", range(3))
def test_gaussian_dropout_of_a_known_unit_is_bracketed(alpha: float, truth: float, seed: int) -> None:
    # x ~ N(0, 1), f = 2x + ½, z = f·N(1, α): truths by quadrature; the official estimator of Adilova et al. 2023 (which
    # mixes variance and standard deviation) gives 2.99 and 1.65.
    x = torch.randn(2048, 1, generator=torch.Generator().manual_seed(seed))
    found = bracket_of_gaussians(*GaussianDropout(alpha).encoder_moments(2 * x + 0.5), seed=seed)
    assert found.low - 1.96 * found.low_se <= truth <= found.high + 1.96 * found.high_se
    assert found.high + 1.96 * found.high_se - (found.low - 1.96 * found.low_se) < 0.1


def test_units_that_are_off_tell_rows_apart_with_certainty() -> None:
    # Half of the rows are off: I = ln 2 + half of what the others share, and those are all alike.
    h = torch.tensor([0.0, 1.0]).repeat(512)[:, None]
    found = bracket_of_gaussians(*GaussianDropout(0.5).encoder_moments(h))
    assert found.low == pytest.approx(math.log(2), abs=1e-9)
    assert found.high == pytest.approx(math.log(1023 / 511), abs=1e-9)


@pytest.mark.parametrize("truth", [0.5, 2.0, 4.0])
def test_gaussian_codes_of_a_gaussian_input_have_a_rate_that_is_the_information(truth: float) -> None:
    # x ~ N(0, I), z ~ N(a·x, (1 − a²)·I): q(z) is the standard marginal, so the gap is 0.
    d, n = 4, 2048
    noise = math.exp(-2 * truth / d)
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(1))
    mean, scale = math.sqrt(1 - noise) * x, torch.full((n, d), math.sqrt(noise))
    found = bracket_of_gaussians(mean, scale, rate=GaussianBottleneck(d).rate(mean, scale))
    assert found.low - 3 * found.low_se <= truth <= found.high + 3 * found.high_se
    assert found.gap_low is not None
    assert found.gap_low_se is not None
    assert found.gap_high is not None
    assert found.gap_high_se is not None
    assert found.gap_low - 3 * found.gap_low_se <= 0 <= found.gap_high + 3 * found.gap_high_se
    # Tight up to ln n − 1.5.
    assert found.high - found.low < 0.5


def test_the_gap_of_a_wrong_marginal_is_its_divergence() -> None:
    # q(z) = N(0, 1) as above, against r = N(2, 1): KL 2.
    mean, scale = math.sqrt(0.5) * torch.randn(2048, 1), torch.full((2048, 1), math.sqrt(0.5))
    layer = GaussianBottleneck(1, marginal="learnable")
    assert layer.marginal_mean is not None
    with torch.no_grad():
        layer.marginal_mean.fill_(2)
    found = bracket_of_gaussians(mean, scale, rate=layer.rate(mean, scale))
    assert found.gap_low is not None
    assert found.gap_low_se is not None
    assert found.gap_high is not None
    assert found.gap_high_se is not None
    assert found.gap_low - 3 * found.gap_low_se <= 2 <= found.gap_high + 3 * found.gap_high_se
    # Rate and information rise together row by row, but the mean's own spread remains: √2·0.707·…, 0.04 at 2,048 rows.
    assert 0 < found.gap_low_se < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_information_is_at_most_the_rate_whatever_the_codes(seed: int) -> None:
    mean, scale = moments(512, 3, seed)
    mean, scale = mean * (1 + seed), scale / (1 + seed)
    found = bracket_of_gaussians(mean, scale, rate=GaussianBottleneck(3).rate(mean, scale))
    assert found.gap_high is not None
    assert found.gap_high > 0
    assert found.gap_high == pytest.approx(float(GaussianBottleneck(3).rate(mean, scale).double().mean()) - found.low)


def test_arrays_are_understood_and_the_seed_decides() -> None:
    mean, scale = (np.asarray(t) for t in moments(64, 2))
    assert bracket_of_gaussians(mean, scale, seed=1) == bracket_of_gaussians(mean, scale, seed=1)
    assert bracket_of_gaussians(mean, scale, seed=1) != bracket_of_gaussians(mean, scale, seed=2)


def test_rows_and_noise_belong_together_in_any_selection() -> None:
    rows = own_rows(*moments(50, 2), SEEDS)
    kept = torch.arange(50) % 2 == 0
    assert torch.equal(next(rows.only(kept).draws()), next(rows.draws())[kept])


def test_one_point_keeps_nothing() -> None:
    terms = input_terms(own_sums(own_rows(torch.ones(32, 2), torch.ones(32, 2), SEEDS)))
    assert torch.allclose(terms.low, torch.zeros(()).double(), atol=1e-12)
    assert torch.allclose(terms.high, torch.zeros(()).double(), atol=1e-12)


_MEAN = torch.randn(8, 2)


@pytest.mark.parametrize(
    ("mean", "scale", "said"),
    [
        (_MEAN, torch.zeros(8, 2), "8 of 8 rows hold scales that are not positive"),
        (_MEAN, -torch.ones(8, 2), "not positive"),
        (_MEAN, torch.ones(8, 3), r"got \(8, 2\) and \(8, 3\)"),
        (_MEAN[:, 0], torch.ones(8), "mean and scale are"),
        (_MEAN * math.nan, torch.ones(8, 2), "8 of 8 rows of mean hold NaN"),
        (_MEAN, torch.full((8, 2), math.inf), "8 of 8 rows of scale hold NaN or infinity"),
        (_MEAN[:1], torch.ones(1, 2), "2 rows is needed"),
    ],
)
def test_bad_moments_are_refused_with_what_came(mean: Tensor, scale: Tensor, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        bracket_of_gaussians(mean, scale)


@pytest.mark.parametrize("rate", [torch.zeros(7), torch.zeros(8, 1), torch.full((8,), math.nan)])
def test_a_rate_that_does_not_fit_is_refused(rate: Tensor) -> None:
    with pytest.raises(BadInput, match=r"rate is \(8,\)"):
        bracket_of_gaussians(_MEAN, torch.ones(8, 2), rate=rate)

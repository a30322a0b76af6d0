"""Modules that draw from a known Gaussian: rates against torch's own, draws, moments, and what they refuse."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from ibprobe.bottleneck import GaussianBottleneck, GaussianDropout
from ibprobe.errors import BadInput, UnknownName


@pytest.fixture
def moments() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    return torch.randn(64, 3, generator=g, dtype=torch.float64), torch.rand(64, 3, generator=g).double() + 0.05


def test_the_rate_of_known_moments_is_what_a_hand_computes() -> None:
    # (1² + 1 − 1)/2 − ln 1 = 0.5; (0 + 0.25 − 1)/2 + ln 2 = 0.318147.
    rate = GaussianBottleneck(1).rate(torch.tensor([[1.0], [0.0]]), torch.tensor([[1.0], [0.5]]))
    assert rate.tolist() == pytest.approx([0.5, 0.3181472])


def test_the_rate_is_torch_s_divergence_under_both_marginals(moments: tuple[Tensor, Tensor]) -> None:
    mean, scale = moments
    fixed, learned = GaussianBottleneck(3), GaussianBottleneck(3, marginal="learnable").double()
    assert torch.allclose(fixed.rate(mean, scale), kl_divergence(Normal(mean, scale), Normal(0.0, 1.0)).sum(1))
    assert torch.allclose(learned.rate(mean, scale), fixed.rate(mean, scale))
    assert learned.marginal_mean is not None
    assert learned.marginal_log_scale is not None
    with torch.no_grad():
        learned.marginal_mean.copy_(torch.tensor([0.5, -1.0, 2.0]))
        learned.marginal_log_scale.copy_(torch.tensor([0.0, 0.7, -0.3]))
    r = Normal(learned.marginal_mean, learned.marginal_log_scale.exp())
    assert torch.allclose(learned.rate(mean, scale), kl_divergence(Normal(mean, scale), r).sum(1))


def test_a_rate_in_single_precision_agrees_with_its_double_twin(moments: tuple[Tensor, Tensor]) -> None:
    mean, scale = moments
    layer = GaussianBottleneck(3)
    # Sums of three terms of order 1: a few units in the last place of float32.
    assert torch.allclose(layer.rate(mean.float(), scale.float()).double(), layer.rate(mean, scale), atol=1e-5)


def test_a_learnable_marginal_fits_the_codes_and_lowers_the_rate(moments: tuple[Tensor, Tensor]) -> None:
    mean, scale = moments[0] + 2, moments[1]
    layer = GaussianBottleneck(3, marginal="learnable").double()
    optimizer = torch.optim.LBFGS(layer.parameters(), line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = layer.rate(mean, scale).mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    # The best Gaussian has the codes' own mean and variance.
    assert layer.marginal_mean is not None
    assert layer.marginal_log_scale is not None
    assert torch.allclose(layer.marginal_mean, mean.mean(0), atol=1e-4)
    best = (mean.var(0, correction=0) + scale.square().mean(0)).log() / 2
    assert torch.allclose(layer.marginal_log_scale, best, atol=1e-4)


def test_training_draws_and_eval_gives_the_mean(moments: tuple[Tensor, Tensor]) -> None:
    mean, scale = moments
    layer = GaussianBottleneck(3)
    assert layer.eval()(mean, scale) is mean
    torch.manual_seed(1)
    drawn = layer.train()(mean, scale)
    torch.manual_seed(1)
    assert torch.equal(drawn, mean + scale * torch.randn(64, 3, dtype=torch.float64))
    assert not torch.equal(GaussianBottleneck(3, sample_in_eval=True).eval()(mean, scale), mean)


def test_draws_have_the_moments_and_their_gradients() -> None:
    mean, scale = torch.full((20_000, 1), 2.0, requires_grad=True), torch.full((20_000, 1), 0.5, requires_grad=True)
    z = GaussianBottleneck(1, generator=torch.Generator().manual_seed(0))(mean, scale)
    # Standard errors 0.0035 and 0.0025; four of them.
    assert float(z.detach().mean()) == pytest.approx(2, abs=0.014)
    assert float(z.detach().std()) == pytest.approx(0.5, abs=0.01)
    z.sum().backward()
    assert mean.grad is not None
    assert scale.grad is not None
    assert torch.equal(mean.grad, torch.ones_like(mean))
    assert torch.allclose(scale.grad, (z.detach() - 2) / 0.5, atol=1e-5)


def test_an_own_generator_leaves_the_global_one_alone(moments: tuple[Tensor, Tensor]) -> None:
    before = torch.get_rng_state()
    drawn = [GaussianBottleneck(3, generator=torch.Generator().manual_seed(5))(*moments) for _ in range(2)]
    GaussianDropout(0.5, generator=torch.Generator().manual_seed(5))(moments[0])
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)


def test_copies_and_pickles_hold_no_graph(moments: tuple[Tensor, Tensor]) -> None:
    net = nn.ModuleList([GaussianBottleneck(3, marginal="learnable"), GaussianDropout()])
    net[0].rate(moments[0].float().requires_grad_(), moments[1].float())
    assert len(list(copy.deepcopy(net).parameters())) == 2
    assert repr(pickle.loads(pickle.dumps(net))) == repr(net)


def test_dropout_multiplies_and_leaves_zeros_at_zero() -> None:
    h = torch.tensor([[0.0, 1.0, -2.0]]).expand(40_000, 3)
    z = GaussianDropout(0.25, generator=torch.Generator().manual_seed(0))(h)
    # The spread of 40,000 draws is good to 0.35 % (one standard error).
    assert z.std(0).tolist() == pytest.approx([0, 0.5, 1], rel=0.02)
    assert z.mean(0).tolist() == pytest.approx([0, 1, -2], abs=0.02)
    mean, scale = GaussianDropout(0.25).encoder_moments(h)
    assert torch.equal(mean, h)
    assert scale[0].tolist() == [0, 0.5, 1]
    assert GaussianDropout().eval()(h) is h


@pytest.mark.parametrize(
    ("mean", "scale", "said"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 3), "4 of 4 rows have scales that are not positive"),
        (torch.zeros(4, 3), -torch.ones(4, 3), "the smallest -1"),
        (torch.zeros(4, 3), torch.ones(4, 2), r"got \(4, 3\) and \(4, 2\)"),
        (torch.zeros(4, 6), torch.ones(4, 6), "h.chunk"),
        (torch.full((4, 3), float("nan")), torch.ones(4, 3), "4 of 4 rows have means that are NaN"),
        (torch.zeros(4, 3), torch.full((4, 3), float("inf")), "4 of 4 rows have scales that are NaN or infinite"),
    ],
)
def test_bad_moments_are_refused_with_what_came(mean: Tensor, scale: Tensor, said: str) -> None:
    layer = GaussianBottleneck(3)
    for call in (layer, layer.rate):
        with pytest.raises(BadInput, match=said):
            call(mean, scale)


def test_unchecked_moments_are_not_waited_for() -> None:
    layer = GaussianBottleneck(3, check=False)
    assert bool(layer.rate(torch.zeros(4, 3), torch.zeros(4, 3)).isinf().all())


def test_bad_options_are_refused() -> None:
    with pytest.raises(UnknownName, match="learnable, standard"):
        GaussianBottleneck(3, marginal="flow")
    with pytest.raises(BadInput, match="at least 1"):
        GaussianBottleneck(0)
    with pytest.raises(BadInput, match="positive variance"):
        GaussianDropout(0.0)

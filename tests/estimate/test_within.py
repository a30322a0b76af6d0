"""log p(t̃|x) from a few passes: each fast sum against a slow one, and both sides around a known density."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from ibprobe.estimate import within
from ibprobe.estimate.within import Spread, halves, lower_terms, passes_seen, queries, ratio_terms


def passes_of(k: int, passes: int, d: int, own: float = 1.0, seed: int = 0) -> Tensor:
    """Rows of variance 4, each pass with noise of variance ``own``."""
    generator = torch.Generator().manual_seed(seed)
    return 2 * torch.randn(k, 1, d, generator=generator) + own**0.5 * torch.randn(k, passes, d, generator=generator)


def lower(u: Tensor, others: float = -50.0) -> Tensor:
    asked = queries(u, (1, 2, 3, 4), u.shape[1] // 2)
    seen = [passes_seen(u, q) for q in asked]
    return lower_terms(u, asked, seen, torch.full((4, len(u)), others, dtype=torch.float64))[0]


def sides(u: Tensor) -> tuple[float, float]:
    asked = queries(u, (1, 2, 3, 4), u.shape[1] // 2)
    seen = [passes_seen(u, q) for q in asked]
    low, fit = lower_terms(u, asked, seen, torch.full((4, len(u)), -50.0, dtype=torch.float64))
    high, effective = ratio_terms(u, asked, seen, fit)
    assert effective > 100
    return float(low.mean()), float(high.mean())


def test_noise_is_added_to_one_pass_after_another_and_does_not_depend_on_the_others() -> None:
    u = passes_of(20, 6, 3)
    asked = queries(u, (5, 6, 7, 8), 3)
    assert [q.own for q in asked] == [0, 1, 2, 0]
    assert torch.equal(asked[1].z - asked[1].eps, u[:, 1] + asked[1].eps - asked[1].eps)
    assert torch.equal(asked[2].eps, queries(u[:, :3], (5, 6, 7, 8), 3)[2].eps)


def test_densities_at_the_passes_of_a_row_are_those_of_the_noise() -> None:
    u = passes_of(20, 6, 3).double()
    (query,) = queries(u, (5,), 3)
    noise = MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    expected = noise.log_prob(query.z[:, None] - u) - noise.log_prob(query.eps)[:, None]
    torch.testing.assert_close(passes_seen(u, query), expected)
    assert not passes_seen(u, query)[:, query.own].any()


def test_the_spread_is_that_which_the_rows_were_drawn_with() -> None:
    spread = Spread.of(passes_of(4000, 8, 2, own=0.5))
    # 4,000 rows: variances to about 2 %, which is a tenth of the tolerance.
    torch.testing.assert_close(spread.within, torch.full((2,), 0.5), rtol=0.2, atol=0)
    torch.testing.assert_close(spread.between, torch.full((2,), 4.0), rtol=0.2, atol=0)


def test_with_many_passes_a_row_has_the_density_of_its_own_gaussian() -> None:
    mean, within_, between = torch.tensor([0.3, -1.0]), torch.tensor([0.5, 2.0]), torch.tensor([9.0, 9.0])
    own = torch.tensor([1.0, 2.0]) + within_.sqrt() * torch.randn(20_000, 2, generator=torch.Generator().manual_seed(0))
    z = torch.tensor([0.5, 3.0])
    found = Spread(mean, within_, between).log_density(z, own.sum(0), own.square().sum(0), 20_000, 4.0)
    expected = MultivariateNormal(torch.tensor([1.0, 2.0]), (within_ + 1).diag()).log_prob(z) + math.log(2 * math.pi)
    assert float(found) == pytest.approx(float(expected), abs=0.02)


def test_the_density_of_a_row_is_normalised() -> None:
    grid = torch.linspace(-60, 60, 12_001)[:, None]
    spread = Spread(torch.zeros(1), torch.ones(1), 4 * torch.ones(1))
    known = (torch.full_like(grid, 3.0), torch.full_like(grid, 8.0))
    log_q = spread.log_density(grid, *known, 2, 4.0)
    assert float(log_q.exp().sum() * 0.01 / math.sqrt(2 * math.pi)) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(("own", "d"), [(0.5, 2), (1.0, 8)])
def test_both_sides_lie_around_the_density_of_gaussian_passes(own: float, d: int) -> None:
    # log p(t̃|x) − log p(t̃|t) is −d/2 ln(1 + own) on average.
    truth = -d / 2 * math.log1p(own)
    low, high = sides(passes_of(1024, 16, d, own))
    assert truth - 0.2 < low < truth + 0.02
    assert truth - 0.05 < high < truth + 0.2


def test_passes_that_are_correlated_are_fitted_on_axes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    mixing = 3 * torch.randn(4, 12, generator=generator)
    u = 2 * torch.randn(1024, 1, 12, generator=generator) + torch.randn(1024, 16, 4, generator=generator) @ mixing
    truth = -float(torch.logdet(torch.eye(12) + mixing.T @ mixing)) / 2
    turned = float(lower(u).mean())
    monkeypatch.setattr(within, "_ROTATED_UP_TO", 1)
    straight = float(lower(u).mean())
    assert straight + 2 < turned < truth + 0.05
    assert turned == pytest.approx(truth, abs=0.5)


def test_where_passes_say_nothing_the_marginal_is_taken() -> None:
    u = 30 * torch.randn(64, 4, 2, generator=torch.Generator().manual_seed(0)).exp()
    assert float(lower(u, others=-3.0).min()) > -3.0 - math.log(20)


def test_what_is_read_on_a_row_is_fitted_without_it() -> None:
    u = passes_of(64, 6, 3)
    moved = u.clone()
    moved[0] += 100.0
    change = (lower(moved) - lower(u)).abs().amax(0)
    # Its own half is fitted without it, and only weighed by rows that were fitted with it.
    assert float(change[halves(64)][1:].max()) < 0.05
    assert float(change[~halves(64)].max()) > 0.5


def test_blocks_of_rows_do_not_change_the_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    u = passes_of(200, 8, 5)
    whole = sides(u)
    monkeypatch.setattr(within, "_BLOCK", 1000)
    assert sides(u) == pytest.approx(whole, abs=1e-5)

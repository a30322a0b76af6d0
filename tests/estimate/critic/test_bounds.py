from __future__ import annotations

import math
import statistics

import pytest
import torch

from ibprobe.estimate.critic.bounds import donsker_varadhan, infonce

BOUNDS = [donsker_varadhan, infonce]


@pytest.fixture(autouse=True)
def single_thread():
    """Small matrices on busy cores: threads that wait for each other cost ten times what they save."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gaussian_log_ratio(n: int, rho: float, seed: int) -> torch.Tensor:
    """Score matrix of the optimal critic for a bivariate normal: its mutual information is −½·ln(1 − ρ²)."""
    generator = torch.Generator().manual_seed(seed)
    a, noise = torch.randn(2, n, generator=generator, dtype=torch.float64)
    b = rho * a + math.sqrt(1 - rho**2) * noise
    slope, square = rho / (1 - rho**2), rho**2 / (2 * (1 - rho**2))
    return slope * b[:, None] * a - square * (b[:, None] ** 2 + a**2) - 0.5 * math.log(1 - rho**2)


@pytest.mark.parametrize("bound", BOUNDS)
def test_the_optimal_critic_reads_the_known_information_of_a_bivariate_normal(bound):
    truth = -0.5 * math.log(1 - 0.8**2)
    reading = bound(gaussian_log_ratio(3000, 0.8, seed=0))
    # Four standard errors of this very reading, about 0.07 nats: the critic is exact, only the rows are random.
    assert abs(reading.nats - truth) < 4 * reading.se
    assert reading.se < 0.02


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_critic_that_says_nothing_reads_zero_with_every_pair_counted(bound):
    reading = bound(torch.zeros(7, 7))
    assert (reading.nats, reading.se, reading.ess) == pytest.approx((0.0, 0.0, 42.0), abs=1e-5)


@pytest.mark.parametrize("bound", BOUNDS)
def test_standard_error_matches_the_spread_over_redraws(bound):
    readings = [bound(gaussian_log_ratio(300, 0.8, seed)) for seed in range(200)]
    spread = statistics.stdev(r.nats for r in readings)
    claimed = statistics.fmean(r.se for r in readings)
    # 200 redraws know a standard deviation to 5 %; the influence function is first order in 1/n.
    assert claimed == pytest.approx(spread, rel=0.15)


@pytest.mark.parametrize("bound", BOUNDS)
def test_agrees_with_its_slow_obvious_twin(bound):
    scores = torch.randn(6, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    n, f = 6, scores.tolist()
    joint = sum(f[i][i] for i in range(n)) / n
    if bound is donsker_varadhan:
        mean = sum(math.exp(f[i][j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
        expected = joint - math.log(mean)
    else:
        expected = joint - sum(math.log(sum(map(math.exp, row)) / n) for row in f) / n
    assert bound(scores).nats == pytest.approx(expected, abs=1e-12)


def test_infonce_cannot_exceed_ln_n_and_donsker_varadhan_can():
    scores = 100 * torch.eye(16)
    assert infonce(scores).nats == pytest.approx(math.log(16), abs=1e-5)
    assert donsker_varadhan(scores).nats == pytest.approx(100, abs=1e-4)


def test_a_term_in_b_alone_cancels_in_infonce_only():
    scores = gaussian_log_ratio(500, 0.5, seed=2)
    shifted = scores + 3 * torch.randn(500, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert infonce(shifted).nats == pytest.approx(infonce(scores).nats, abs=1e-9)
    assert donsker_varadhan(shifted).nats < donsker_varadhan(scores).nats - 1


@pytest.mark.parametrize("bound", BOUNDS)
def test_one_outlier_among_the_pairs_shows_in_the_effective_sample_size(bound):
    scores = torch.zeros(50, 50)
    scores[3, 7] = 12.0
    # InfoNCE weighs each row by itself, so one pair can take one row's share only, and doubles the sum of squares.
    assert bound(scores).ess < 0.6 * bound(torch.zeros(50, 50)).ess


@pytest.mark.parametrize("bound", BOUNDS)
def test_large_scores_neither_overflow_nor_give_nan(bound):
    reading = bound(500 * torch.randn(20, 20, generator=torch.Generator().manual_seed(4)))
    assert all(map(math.isfinite, (reading.nats, reading.se, reading.ess)))

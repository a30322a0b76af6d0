from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from ibprobe.estimate.critic.columns import ColumnHead
from ibprobe.estimate.critic.critics import CriticReading, fit_critics
from ibprobe.estimate.pairs import Pair


def gaussian_pair(n: int, d: int, nats: float, seed: int) -> Pair:
    """Two normal vectors whose d coordinate pairs share `nats` in all."""
    generator = torch.Generator().manual_seed(seed)
    rho = math.sqrt(1 - math.exp(-2 * nats / d))
    a, noise = torch.randn(2, n, d, generator=generator)
    return Pair(a, rho * a + math.sqrt(1 - rho**2) * noise)


def folds(n: int, k: int = 2) -> torch.Tensor:
    return torch.randint(k, (n,), generator=torch.Generator().manual_seed(99))


def one(pair: Pair, **options: int) -> CriticReading:
    return fit_critics([pair], folds(len(pair.a)), **{"seed": 0, **options})[0]


def textbook_mine(pair: Pair, steps: int) -> float:
    """MINE as it is usually written: concatenating critic, one shuffle, value read on the training batch."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        width = pair.a.shape[1] + pair.b.shape[1]
        critic = nn.Sequential(nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))
        adam = torch.optim.Adam(critic.parameters(), lr=5e-4)
        values = []
        for _ in range(steps):
            rows = torch.randint(len(pair.a), (512,))
            a, b = pair.a[rows], pair.b[rows]
            joint, product = critic(torch.cat([a, b], 1)), critic(torch.cat([a, b[torch.randperm(512)]], 1))
            value = joint.mean() - (product.logsumexp(0)[0] - math.log(512))
            adam.zero_grad()
            (-value).backward()
            adam.step()
            values.append(value.item())
    return sum(values[-50:]) / 50


@pytest.mark.slow
def test_independent_data_reads_zero_where_the_textbook_loop_reports_two_nats():
    pairs = [gaussian_pair(2048, 20, 0.0, seed) for seed in range(10)]
    readings = fit_critics(pairs, folds(2048), seed=0)
    # 0.05 nats is what a reader of a plane cannot see; the textbook value grows with every step it trains.
    assert max(abs(r.held.nats) for r in readings) <= 0.05
    assert textbook_mine(pairs[0], steps=2000) > 2.0


@pytest.mark.parametrize(("nats", "tolerance"), [(1.0, 0.3), (3.0, 0.4), (6.0, 0.6)])
def test_gaussian_pairs_read_a_little_below_the_truth(nats, tolerance):
    readings = fit_critics([gaussian_pair(4096, 20, nats, s) for s in range(2)], folds(4096), seed=0, steps=60)
    mean = sum(r.held.nats for r in readings) / 2
    # 400 cross-covariances from 2,048 rows cost 0.1 nats and more; above the truth only by the draw of the rows.
    assert nats - tolerance < mean < nats + 0.1


def test_noise_redrawn_at_every_step_reads_the_known_channel():
    t = torch.randn(2048, 4, generator=torch.Generator().manual_seed(1))
    truth = 4 * 0.5 * math.log(1 + 1 / 0.5**2)
    # Four unit Gaussian channels; the standard error of a reading is about 0.05.
    assert one(Pair(t, t, 0.5)).held.nats == pytest.approx(truth, abs=0.2)


def test_dependence_without_correlation_is_found():
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(3000, 1, generator=generator)
    b = a.square() + 0.5 * torch.randn(3000, 1, generator=generator)
    # The head start sees nothing here. Above 0.5 is far beyond noise; the truth is about 0.8.
    assert one(Pair(a, b)).held.nats > 0.5


def test_curved_margins_change_nothing_that_ranks_can_undo():
    pair = gaussian_pair(2048, 5, 2.0, 3)
    cubed = one(Pair(pair.a, pair.b.pow(3))).held.nats
    # Ranks of b and of b³ are the same; only the plain view of the straight pair may do better.
    assert cubed == pytest.approx(one(pair).held.nats, abs=0.1)


def test_one_hot_labels_read_their_entropy_when_the_other_side_tells_them():
    generator = torch.Generator().manual_seed(4)
    y = torch.randint(4, (2048,), generator=generator)
    centres = 6 * torch.eye(4)
    t = centres[y] + 0.3 * torch.randn(2048, 4, generator=generator)
    # ln 4 up to the imbalance of the draw and to smoothness of the critic.
    assert one(Pair(nn.functional.one_hot(y).float(), t, 0.1)).held.nats == pytest.approx(math.log(4), abs=0.03)


@pytest.mark.slow
def test_stacked_pairs_equal_the_same_pairs_one_at_a_time():
    pairs = [gaussian_pair(600, d, 1.0, d) for d in (2, 5, 70)] + [Pair(*(torch.eye(600)[:, :3],) * 2, 0.5)]
    stacked = fit_critics(pairs, folds(600), seed=3, steps=40)
    alone = [fit_critics([pair], folds(600), seed=3, steps=40)[0] for pair in pairs]
    # Padding adds zeros, so only the order of float32 sums differs, amplified by 40 steps of Adam.
    assert [r.held.nats for r in stacked] == pytest.approx([r.held.nats for r in alone], abs=1e-3)
    assert [r.bound for r in stacked] == [r.bound for r in alone]


@pytest.mark.slow
def test_pairs_without_noise_stack_with_any_other():
    square, sign = (torch.randn(900, 2, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
    pairs = [
        Pair(square, square.square() + 0.3 * sign),  # read column by column
        gaussian_pair(900, 5, 1.0, 2),
        Pair(square.sign(), sign + square.sign()),
        Pair(square, square, 0.5),  # noise is drawn anew, so nothing of the stack can be kept
    ]
    stacked = fit_critics(pairs, folds(900), seed=3, steps=40)
    alone = [fit_critics([pair], folds(900), seed=3, steps=40)[0] for pair in pairs]
    assert [r.held.nats for r in stacked] == pytest.approx([r.held.nats for r in alone], abs=1e-3)
    assert ColumnHead in {trace.head for trace in stacked[0].memory}


def test_a_warm_network_keeps_the_kind_of_head_that_it_was_trained_on():
    a, e = torch.randn(2, 1200, 2, generator=torch.Generator().manual_seed(4))
    product = Pair(a, a.prod(1, keepdim=True) + 0.3 * e[:, :1])
    first = one(product).memory
    assert first[0].theta is not None
    # The next step could be read column by column; the network would not know what to add to that.
    pair = Pair(a, a.square() + a.prod(1, keepdim=True) + 0.3 * e)
    (warm,) = fit_critics([pair], folds(1200), seed=0, steps=20, memory=[first])
    for before, after in zip(first, warm.memory, strict=True):
        assert before.theta is None or (before.ranked, before.head) == (after.ranked, after.head)


def test_a_pair_that_is_not_finite_is_marked_and_leaves_its_neighbour_alone():
    good = gaussian_pair(600, 3, 1.0, 0)
    broken = Pair(good.a * math.nan, good.b)
    bad, beside = fit_critics([broken, good], folds(600), seed=0, steps=40)
    assert bad.diverged
    assert bad.held.nats == 0
    assert beside.held.nats == pytest.approx(one(good, steps=40).held.nats, abs=1e-3)


def test_a_network_that_diverges_is_marked_and_leaves_its_neighbour_alone(monkeypatch):
    from ibprobe.estimate.critic.towers import ClippedAdam

    plain = ClippedAdam.step

    def poisoned(self, gradient, schedule):
        if len(gradient) > 2:
            gradient[:2] = math.nan
        plain(self, gradient, schedule)

    good = gaussian_pair(600, 3, 1.0, 0)
    alone = one(good, steps=40)
    monkeypatch.setattr(ClippedAdam, "step", poisoned)
    bad, beside = fit_critics([good, good], folds(600), seed=0, steps=40)
    assert bad.diverged
    assert math.isfinite(bad.held.nats)
    assert not beside.diverged
    assert beside.held.nats == pytest.approx(alone.held.nats, abs=1e-3)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)])
def test_the_callers_mode_changes_nothing(mode):
    expected = one(gaussian_pair(400, 3, 1.0, 0), steps=20)
    with mode():
        reading = one(gaussian_pair(400, 3, 1.0, 0), steps=20)
    assert reading.held.nats == pytest.approx(expected.held.nats, abs=1e-6)


def test_the_global_generator_is_neither_read_nor_advanced():
    pair = gaussian_pair(300, 3, 1.0, 0)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = one(pair, steps=20)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert one(pair, steps=20).held.nats == first.held.nats


@pytest.mark.parametrize("side", ["a", "b"])
def test_a_constant_side_reads_zero(side):
    pair = gaussian_pair(500, 3, 1.0, 0)
    constant = torch.full((500, 3), 0.1)
    reading = one(Pair(constant, pair.b) if side == "a" else Pair(pair.a, constant, 0.2), steps=20)
    # Nothing may be chosen by chance from 250 rows but a reading within noise of 0.
    assert abs(reading.held.nats) <= 0.05


def test_a_constant_column_beside_others_is_ignored():
    pair = gaussian_pair(600, 3, 1.0, 0)
    wider = Pair(torch.cat([pair.a, torch.full((600, 1), 7.3)], 1), pair.b)
    assert one(wider, steps=20).held.nats == pytest.approx(one(pair, steps=20).held.nats, abs=0.05)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 20, 40])
def test_few_rows_and_many_columns_neither_crash_nor_give_nan(n):
    generator = torch.Generator().manual_seed(n)
    wide = Pair(torch.randn(n, 150, generator=generator), torch.randn(n, 90, generator=generator), 0.1)
    (reading,) = fit_critics([wide], torch.arange(n) % 2, seed=0, steps=5)
    assert all(math.isfinite(v) for v in (reading.held.nats, reading.held.se, reading.train, reading.held.ess))


def test_no_pairs_give_no_readings():
    assert fit_critics([], folds(10), seed=0) == []


def test_the_error_covers_the_spread_over_folds():
    pair = gaussian_pair(1200, 10, 2.0, 5)
    (reading,) = fit_critics([pair], folds(1200, k=3), seed=0, steps=20)
    assert reading.held.se > 0.02
    assert reading.train > reading.held.nats

from __future__ import annotations

import math

import pytest
import torch

from ibprobe.estimate.critic.mine import Mine
from ibprobe.estimate.pairs import Pair, Reading


def gaussian_pair(n: int, d: int, nats: float, seed: int, among: int | None = None) -> Pair:
    """Two normal vectors; `among` of their d coordinate pairs (all by default) share `nats`."""
    generator = torch.Generator().manual_seed(seed)
    rho = torch.zeros(d)
    rho[: among or d] = math.sqrt(1 - math.exp(-2 * nats / (among or d)))
    a, noise = torch.randn(2, n, d, generator=generator)
    return Pair(a, rho * a + (1 - rho.square()).sqrt() * noise)


def folds(n: int, seed: int = 99) -> torch.Tensor:
    return torch.randint(2, (n,), generator=torch.Generator().manual_seed(seed))


def read(pairs: dict[str, Pair], mine: Mine | None = None) -> dict[str, Reading]:
    found = (mine or Mine())(pairs, folds(len(next(iter(pairs.values())).a)), seed=0)
    return {name: r for name, r in found.items() if isinstance(r, Reading)}


def one(pair: Pair) -> Reading:
    return read({"pair": pair})["pair"]


@pytest.mark.parametrize("among", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_weak_dependence_is_read_in_proportion(among: int | None) -> None:
    truths = (0.0, 0.05, 0.1, 0.3)
    pairs = {str(t): gaussian_pair(2048, 20, t, seed, among) for seed, t in enumerate(truths)}
    found = [r.nats for r in read(pairs).values()]
    # One standard deviation of a draw is 0.015 at truth 0.3; a constant 0 would miss it by twenty.
    assert found == pytest.approx(truths, abs=0.045)


@pytest.mark.slow
def test_strong_dependence_is_read_without_the_bias_of_held_out_rows() -> None:
    truths = (1.0, 3.0, 6.0)
    pairs = {str(t): gaussian_pair(2048, 20, t, seed) for seed, t in enumerate(truths)}
    # The standard error of a draw is 0.07 at truth 6.
    assert [r.nats for r in read(pairs).values()] == pytest.approx(truths, abs=0.2)


def test_a_shared_scale_without_correlation_is_found() -> None:
    generator = torch.Generator().manual_seed(5)
    scale = torch.randn(3000, 1, generator=generator).abs().clamp_min(1e-6)
    a, b = (torch.randn(3000, 2, generator=generator) / scale for _ in range(2))
    # A bivariate pair of Student vectors with one degree of freedom; benchmark-mi gives 0.432.
    assert one(Pair(a, b)).nats == pytest.approx(0.432, abs=0.06)


def test_sharp_edges_cost_little() -> None:
    x, e = torch.rand(2, 3000, 1, generator=torch.Generator().manual_seed(11))
    # The truth of x + uniform noise of ±0.1 is 0.1 − ln 0.2; a smooth critic alone reads 0.16 too little.
    assert one(Pair(x, x + 0.2 * e - 0.1)).nats == pytest.approx(0.1 - math.log(0.2), abs=0.1)


def test_the_order_of_the_rows_changes_little() -> None:
    pair = gaussian_pair(10_000, 1, 0.83, 12)
    order = pair.a[:, 0].argsort()
    # Held-out rows are read block by block; a block of neighbours would read 0.3.
    assert one(Pair(pair.a[order], pair.b[order])).nats == pytest.approx(0.83, abs=0.03)


def test_one_huge_value_changes_little() -> None:
    pair = gaussian_pair(600, 1, 1.0, 3)
    spoiled = pair.a.clone()
    spoiled[0] = 1e12
    # Its own row no longer fits, which costs tens of nats in one row of 600.
    assert one(Pair(spoiled, pair.b)).nats == pytest.approx(one(pair).nats, abs=0.1)


def test_nothing_above_the_logarithm_of_the_rows_is_claimed() -> None:
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(6))
    reading = one(Pair(x, 2 * x + 1))
    assert reading.nats <= math.log(500)
    assert "at_ceiling" in reading.flags


def test_labels_tell_no_more_than_they_hold() -> None:
    y = torch.arange(600) % 3
    t = 8 * torch.eye(3)[y] + torch.randn(600, 3, generator=torch.Generator().manual_seed(7))
    reading = one(Pair(y, t, 0.1))
    assert math.log(3) - 0.1 < reading.nats <= math.log(3) + 1e-6
    assert reading.ci_high <= math.log(3) + 1e-6


def test_infonce_alone_is_never_read_by_the_other_bound() -> None:
    pair = gaussian_pair(600, 5, 5.0, 8)
    assert one(pair).bound in ("donsker-varadhan", "gaussian")
    found = Mine(("infonce",))({"pair": Pair(pair.a, pair.b + 0.0, 0.01)}, folds(600), seed=0)["pair"]
    assert isinstance(found, Reading)
    assert found.bound == "infonce"


def drifting(snapshots: int, n: int = 1024) -> list[dict[str, Pair]]:
    """Activations that move from snapshot to snapshot and never tell anything of the target."""
    generator = torch.Generator().manual_seed(9)
    y, labels = torch.randn(n, 10, generator=generator), torch.randint(10, (n,), generator=generator)
    t, steps = torch.randn(n, 10, generator=generator), []
    for _ in range(snapshots):
        t = 0.97 * t + math.sqrt(1 - 0.97**2) * torch.randn(n, 10, generator=generator)
        steps.append({"numbers": Pair(y, t), "labels": Pair(labels, t, 0.5)})
    return steps


def slope(values: list[float]) -> float:
    """Least-squares rise over all snapshots."""
    x = torch.linspace(-0.5, 0.5, len(values))
    return float((x * torch.tensor(values)).sum() / x.square().sum())


@pytest.mark.slow
def test_fifty_warm_snapshots_of_independent_data_show_no_trend() -> None:
    mine = Mine()
    found = [read(step, mine) for step in drifting(50, 2048)]
    for name in ("numbers", "labels"):
        values = [r[name].nats for r in found]
        # Redrawn folds climb by a whole nat in twelve snapshots; 0.02 is what a plot cannot show.
        assert max(values) <= 0.05
        assert abs(slope(values)) <= 0.02


def test_warm_snapshots_of_independent_data_stay_at_zero() -> None:
    mine = Mine()
    found = [read(step, mine) for step in drifting(6)]
    assert max(r.nats for step in found for r in step.values()) <= 0.05


def test_critics_start_anew_when_the_folds_are_redrawn() -> None:
    pairs, mine = {"pair": gaussian_pair(600, 3, 1.0, 0)}, Mine()
    mine(pairs, folds(600), seed=0)
    again = mine(pairs, folds(600, seed=1), seed=0)
    # Rows that the critics had trained on would be held out now: what they knew must not be used.
    anew = Mine()(pairs, folds(600, seed=1), seed=0)
    assert again["pair"].nats == pytest.approx(anew["pair"].nats, abs=1e-5)


@pytest.mark.slow
def test_a_warm_critic_reads_what_a_cold_one_reads_in_fewer_steps() -> None:
    generator = torch.Generator().manual_seed(2)
    a = torch.randn(3000, 2, generator=generator)
    b = a.prod(1, keepdim=True) + 0.3 * torch.randn(3000, 1, generator=generator)
    mine = Mine()
    first = read({"pair": Pair(a, b)}, mine)["pair"].nats
    moved = Pair(a, b + 0.02 * torch.randn(3000, 1, generator=generator))
    warm, cold = read({"pair": moved}, mine)["pair"].nats, one(moved).nats
    # A few warm steps keep what 400 cold ones found; no head start sees a product.
    assert first > 0.5
    assert warm == pytest.approx(cold, abs=0.05)

import math

import pytest
import torch
from torch import Tensor

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.gaussian import gaussian


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def read(pair: Pair) -> Reading:
    found = gaussian(pair, 0)
    assert isinstance(found, Reading)
    return found


def correlated(n: int, d: int, rho: float, seed: int) -> Pair:
    a = draw(n, d, seed=seed)
    return Pair(a, rho * a + math.sqrt(1 - rho**2) * draw(n, d, seed=seed + 1000))


def test_the_bias_of_few_rows_is_taken_off() -> None:
    truth = -5 * math.log(1 - 0.5**2)
    found = [read(correlated(100, 10, 0.5, seed)) for seed in range(20)]
    # The log-determinants alone are 0.56 nats too high here (100 rows, 10 columns a side).
    assert sum(r.nats for r in found) / 20 == pytest.approx(truth, abs=0.08)
    assert sum(r.ci_low <= truth <= r.ci_high for r in found) >= 16


def test_it_is_blind_to_units_mixing_and_duplicated_columns() -> None:
    pair = correlated(500, 3, 0.6, 0)
    mixed = pair.a @ draw(3, 3, seed=5) * 1e3 + 7
    assert read(Pair(torch.cat([mixed, mixed[:, :1]], 1), pair.b)).nats == pytest.approx(read(pair).nats, abs=1e-4)


@pytest.mark.parametrize(("d", "n"), [(2, 1000), (64, 512)])
def test_a_channel_of_its_own_rows_needs_no_more_rows_than_columns(d: int, n: int) -> None:
    t, std = draw(n, d, seed=2), 3.0
    truth = d / 2 * math.log1p(1 / std**2)
    # Two in the last place is four standard errors; without the correction 64 columns are 0.15 too low.
    assert read(Pair(t, t, std)).nats == pytest.approx(truth, abs=0.1)


def test_a_channel_from_another_side() -> None:
    a = draw(2000, 3, seed=3)
    b = torch.cat([a, torch.zeros(2000, 2)], 1) + 0.5 * draw(2000, 5, seed=4)
    # Signal 1 against ¼ of its own noise and ¼ of the channel's.
    assert read(Pair(a, b, 0.5)).nats == pytest.approx(1.5 * math.log1p(1 / 0.5), abs=0.1)


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (Pair(torch.arange(50) % 2, draw(50, 2, seed=0)), "labels"),
        (Pair(torch.ones(50, 2), draw(50, 2, seed=0)), "constant"),
        (Pair(draw(50, 30, seed=0), draw(50, 30, seed=1)), "at least 62 rows; there are 50"),
        (Pair(draw(50, 60, seed=0), draw(50, 3, seed=1), 0.5), "rows; there are 50"),
        (Pair(draw(50, 2, seed=0), draw(50, 2, seed=0)), "infinite"),
    ],
)
def test_what_it_cannot_read_is_said(pair: Pair, why: str) -> None:
    assert why in gaussian(pair, 0)

import math

import pytest
import torch

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.single import OneByOne, error_of_mean, interval, standardised, with_noise


def test_pairs_are_read_one_by_one_each_with_its_own_seed() -> None:
    seeds: dict[int, int] = {}

    def read(pair: Pair, seed: int) -> str:
        seeds[len(pair.a)] = seed
        return f"{len(pair.a)} rows"

    pairs = {name: Pair(torch.zeros(n, 1), torch.zeros(n, 1)) for name, n in (("one", 3), ("two", 4))}
    assert OneByOne(read)(pairs, torch.zeros(3).long(), seed=0) == {"one": "3 rows", "two": "4 rows"}
    assert seeds[3] != seeds[4]


def test_an_interval_is_symmetric_unless_the_range_is_given() -> None:
    r = interval(1.0, 0.1, "test")
    assert (r.ci_low, r.ci_high, r.lower_confidence) == pytest.approx((0.804, 1.196, 0.8355))
    r = interval(1.0, 0.1, "test", low=0.5, high=2.0)
    assert (r.ci_low, r.ci_high, r.lower_confidence) == pytest.approx((0.304, 2.196, 0.3355))
    assert isinstance(r, Reading)


def test_the_error_of_a_mean() -> None:
    assert error_of_mean(torch.tensor([0.0, 2.0, 4.0])) == pytest.approx(2 / math.sqrt(3))


def test_columns_get_median_zero_and_unit_quartiles_and_constant_ones_go() -> None:
    x = torch.cat([1e200 * torch.arange(8.0).double()[:, None], torch.full((8, 1), 0.1).double()], 1)
    found = standardised(x)
    assert found.shape == (8, 1)
    assert found[:, 0].tolist() == pytest.approx([(i - 4) / 4 for i in range(8)])


def test_a_column_that_is_mostly_zero_keeps_its_unit() -> None:
    x = torch.zeros(100, 1)
    x[0] = 5
    assert float(standardised(x).std(correction=0)) == pytest.approx(1, rel=1e-3)


def test_noise_is_drawn_from_the_seed_alone() -> None:
    pair = Pair(torch.zeros(500, 2), torch.zeros(500, 2), 0.5)
    assert torch.equal(with_noise(pair, 1), with_noise(pair, 1))
    assert float(with_noise(pair, 1).std()) == pytest.approx(0.5, abs=0.05)
    assert with_noise(Pair(pair.a, pair.b), 1) is pair.b

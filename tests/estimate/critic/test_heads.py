from __future__ import annotations

import torch

from ibprobe.estimate.critic.canonical import GaussianHead
from ibprobe.estimate.critic.columns import ColumnHead
from ibprobe.estimate.critic.heads import head_starts
from ibprobe.estimate.critic.inputs import affine, ranks
from ibprobe.estimate.pairs import Pair

ROWS = torch.arange(800)
FEW = torch.arange(200)


def kinds(pair: Pair, ranked: bool) -> list[type]:
    inputs = ranks(pair, ROWS) if ranked else affine(pair, ROWS)
    return [type(start.head) for start in head_starts(inputs, ROWS)]


def pair_of(nats_like: float, std: float = 0.0) -> Pair:
    x, e = torch.randn(2, 800, 3, generator=torch.Generator().manual_seed(0))
    return Pair(x, nats_like * x + e, std)


def test_known_noise_is_looked_at_as_a_gaussian_channel_only() -> None:
    assert kinds(pair_of(1.0, std=0.5), ranked=False) == [GaussianHead]


def test_without_known_noise_columns_are_looked_at_two_by_two() -> None:
    assert kinds(pair_of(1.0), ranked=True) == [GaussianHead, GaussianHead, ColumnHead, ColumnHead]


def test_where_no_columns_go_together_none_are_looked_at() -> None:
    assert kinds(pair_of(0.0), ranked=True) == [GaussianHead, GaussianHead]


def test_few_rows_are_not_looked_at_column_by_column() -> None:
    # Grids fitted to 32 rows of nothing read half a nat on them.
    starts = head_starts(ranks(pair_of(1.0), FEW), FEW)
    assert [type(start.head) for start in starts] == [GaussianHead, GaussianHead]


def test_a_head_can_be_fitted_again_to_other_rows() -> None:
    for start in head_starts(ranks(pair_of(1.0), ROWS), ROWS):
        again, other = start.fit(ROWS), start.fit(ROWS[:400])
        same, different = (h.of_a(start.inputs.a) for h in (again, other))
        # Sums over threads differ in the last places.
        assert torch.allclose(same, start.head.of_a(start.inputs.a), atol=1e-3)
        assert not torch.allclose(different, same, atol=1e-3)

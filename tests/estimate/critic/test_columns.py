from __future__ import annotations

import math

import pytest
import torch

from ibprobe.estimate.critic.columns import ColumnHead, Partners, column_head, partners_found
from ibprobe.estimate.critic.inputs import Inputs, ranks
from ibprobe.estimate.pairs import Pair


def inputs_of(a: torch.Tensor, b: torch.Tensor) -> Inputs:
    return ranks(Pair(a, b), torch.arange(len(a)))


def shuffled(n: int, d: int, order: list[int], seed: int = 0) -> Inputs:
    """Column i of one side goes with column order[i] of the other, by its square."""
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, n, d, generator=generator)
    for i, j in enumerate(order):
        b[:, j] = a[:, i].square() + 0.5 * b[:, j]
    return inputs_of(a, b)


def test_partners_are_found_wherever_they_stand() -> None:
    inputs = shuffled(2000, 6, [4, 2])
    found = partners_found(inputs, torch.arange(2000))
    assert found is not None
    pairs = set(zip(found.a.argmax(0).tolist(), found.b.argmax(0).tolist(), strict=True))
    assert {(0, 4), (1, 2)} <= pairs
    # What else is found is between lengths, the last column, which the squares change too.
    assert all(6 in pair for pair in pairs - {(0, 4), (1, 2)})


def test_chance_finds_no_partners() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        a, b = torch.randn(2, 1000, 20, generator=generator)
        assert partners_found(inputs_of(a, b), torch.arange(1000)) is None


def test_scores_are_the_tables_read_between_their_cells() -> None:
    tables = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(0))
    known = torch.linspace(0, 1, 101)[None].expand(2, -1).contiguous()
    head = ColumnHead(Partners(torch.eye(2), torch.eye(2)), known, known, tables)
    a, b = torch.tensor([[0.1, 0.3]]), torch.tensor([[0.5, 0.45]])

    def between(table: torch.Tensor, x: float, y: float) -> torch.Tensor:
        (i, u), (j, v) = ((int(5 * p - 0.5), (5 * p - 0.5) % 1) for p in (x, y))
        top, bottom = (table[k, j] * (1 - v) + table[k, j + 1] * v for k in (i, i + 1))
        return top * (1 - u) + bottom * u

    slow = between(tables[0], 0.1, 0.5) + between(tables[1], 0.3, 0.45)
    # A value's rank among 101 known ones is right to half a hundredth, and tables vary by some units a cell.
    assert float(head.of_b(b) @ head.of_a(a).T) == pytest.approx(float(slow), abs=0.15)


def test_a_head_reads_what_its_partners_share_on_fresh_rows() -> None:
    generator = torch.Generator().manual_seed(4)
    sign = torch.randint(2, (4000, 1), generator=generator) * 2.0 - 1
    flip = torch.rand(4000, 3, generator=generator) < 0.1
    a = sign.expand(-1, 3) * torch.rand(4000, 3, generator=generator)
    b = torch.where(flip, -a.roll(1, 0), a).sign() * torch.rand(4000, 3, generator=generator)
    inputs, rows = inputs_of(a, b), torch.arange(2000)
    head = column_head(inputs, Partners(torch.eye(4, 1), torch.eye(4, 1)), rows)
    score = (head.of_a(inputs.a[2000:]) * head.of_b(inputs.b[2000:])).sum(1).mean()
    # One sign in ten is drawn anew, and right in half of the cases.
    truth = math.log(2) + 0.05 * math.log(0.05) + 0.95 * math.log(0.95)
    # Three standard errors are 0.045; near the step from one sign to the other, kernels mix both.
    assert float(score) == pytest.approx(truth, abs=0.08)


def test_a_few_active_rows_by_chance_are_no_partners() -> None:
    generator = torch.Generator().manual_seed(5)
    a, b = torch.zeros(2, 1000, 40)
    for side in (a, b):
        for column in range(40):
            side[torch.randperm(1000, generator=generator)[:3], column] = 1.0
    assert partners_found(inputs_of(a, b), torch.arange(1000)) is None

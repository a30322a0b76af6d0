from __future__ import annotations

import math

import pytest
import torch
from benchmarks.known_answers import own_truths

from ibprobe.estimate.critic.columns import positions
from ibprobe.estimate.critic.grids import Column, _kernel_bank, _kernels, _smoothed, log_ratio_table

CELLS = 64


def columns(x: torch.Tensor, y: torch.Tensor, cells: int = CELLS) -> tuple[Column, Column]:
    places = (positions(v[:, None], v[None].sort(1).values)[0] for v in (x, y))
    left, right = (Column.of(v, p, cells) for v, p in zip((x, y), places, strict=True))
    return left, right


def normal(n: int, rho: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    x, e = torch.randn(2, n, generator=torch.Generator().manual_seed(seed))
    return x, rho * x + math.sqrt(1 - rho * rho) * e


def on_fresh_rows(x: torch.Tensor, y: torch.Tensor, n: int) -> float:
    """Mean log-ratio of rows that the table was not fitted to, in nats."""
    table = log_ratio_table(*columns(x[:n], y[:n]))
    cells = [
        (positions(v[n:, None], v[None, :n].sort(1).values)[0] * CELLS).long().clamp(max=CELLS - 1) for v in (x, y)
    ]
    return float(table[cells[0], cells[1]].mean())


def test_nothing_shared_is_read_as_nothing() -> None:
    # Weight that strays to the kernels costs a few degrees of freedom of 2,000 rows: less than a hundredth.
    assert on_fresh_rows(*normal(4000, 0.0), 2000) == pytest.approx(0, abs=0.02)


def test_a_gaussian_pair_is_read_on_rows_that_were_not_seen() -> None:
    rho = 0.75
    # A row's log-ratio varies by 0.75 nats: 2,000 rows know their mean to 0.017, and smoothing costs as much.
    assert on_fresh_rows(*normal(4000, rho), 2000) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.06)


@pytest.mark.parametrize("half_width", [0.1, 0.75])
def test_sharp_edges_are_kept(half_width: float) -> None:
    x, e = torch.rand(2, 4000, generator=torch.Generator().manual_seed(1))
    y = x + half_width * (2 * e - 1)
    truth = half_width - math.log(2 * half_width) if half_width <= 0.5 else 1 / (4 * half_width)
    # Smooth critics read 0.16 too little at 0.1. A cell is a sixty-fourth of the rows, and a band of ±0.1 has two edges
    # in thirteen cells, on which a tenth of the rows loses about a nat.
    assert on_fresh_rows(x, y, 2000) == pytest.approx(truth, abs=0.1)


def test_a_scale_that_follows_the_other_column_is_found() -> None:
    x, e = torch.randn(2, 4000, generator=torch.Generator().manual_seed(2))
    y = x.exp() * e
    # The benchmark's "volatility", a column. Correlation reads 0; three standard errors of 2,000 rows are 0.05, and the
    # fit of spread and density to as many costs as much.
    assert on_fresh_rows(x, y, 2000) == pytest.approx(own_truths.volatility(), abs=0.08)


def test_two_valued_columns_tell_what_their_table_does() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randint(2, (4000,), generator=generator).float()
    y = torch.where(torch.rand(4000, generator=generator) < 0.1, 1 - x, x)
    truth = math.log(2) + 0.1 * math.log(0.1) + 0.9 * math.log(0.9)
    assert on_fresh_rows(x, y, 2000) == pytest.approx(truth, abs=0.03)


def test_a_ratio_has_mean_one_along_rows_and_columns() -> None:
    x, y = columns(*normal(2000, 0.9))
    ratio = log_ratio_table(x, y).exp()
    # Four rounds of balancing leave a hundredth.
    assert torch.allclose(x.share @ ratio, torch.ones(CELLS), atol=0.02)
    assert torch.allclose(ratio @ y.share, torch.ones(CELLS), atol=0.02)


def test_a_row_left_out_is_the_row_taken_from_the_histogram() -> None:
    x, y = columns(*normal(300, 0.6), cells=32)
    spectra, _ = _kernel_bank(32)
    chance = _smoothed(x.share[:, None] * y.share, spectra)
    unseen = torch.stack([u for _, u in _kernels(x, y)])
    # Rows in a corner, at an edge and inside.
    for row in (int((x.cell + y.cell).argmin()), int(x.cell.argmax()), 7):
        rest = torch.arange(300) != row
        counts = torch.bincount(x.cell[rest] * 32 + y.cell[rest], minlength=32 * 32).view(32, 32) / 299
        slow = (_smoothed(counts, spectra) / chance)[:, x.cell[row], y.cell[row]]
        assert torch.allclose(unseen[:, row], slow, rtol=1e-3, atol=1e-4)


def test_huge_and_equal_values_give_finite_tables() -> None:
    x, y = normal(500, 0.5)
    x[0], y[1] = 1e12, -1e12
    assert bool(log_ratio_table(*columns(x, torch.zeros(500))).isfinite().all())
    assert bool(log_ratio_table(*columns(x, y)).isfinite().all())

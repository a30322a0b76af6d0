"""What one column tells of another: p(x, y)/(p(x)·p(y)) on a grid of their ranks.

The ratio is a mixture of simple answers, weighted by how likely each makes the rows that it has not seen (leave-one-out
likelihood, by EM): nothing at all; the smoothed histogram, with small and large, round and slanted kernels; and
y = g(x) + s(x)·e, or x of y, with the residual's density left open (a row is left out of that density, not of g and
s, which a few hundred rows know). The last knows sharp edges and heavy tails, which a smooth critic blurs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor

SIZES = (0.01, 0.025, 0.06, 0.15, 0.3)
"""Standard deviations of the kernels, as shares of all rows."""
SLANTED_UP_TO, SLANTED_LENGTH = 0.1, 4.0
"""Kernels below this size also come four times as long as wide, along the axes and the diagonals."""
TREND_SIZE = 0.05
"""Of the kernel that g and s are smoothed with."""
RESIDUAL_CELLS, RESIDUAL_SIZES = 1024, (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Grid of the residual's density, and the kernels it is smoothed with, as shares of its middle nine tenths."""
LEAST_WEIGHT = 1e-5
"""Of each answer: no pair of cells is impossible, for a row that falls there would cost without limit."""
ITERATIONS, BALANCING = 40, 4


@dataclass(frozen=True, slots=True)
class Column:
    """One column of some rows, and where its values lie on the grid."""

    value: Float[Tensor, " n"]
    cell: Int[Tensor, " n"]
    share: Float[Tensor, " c"]
    """Of the rows, cell by cell."""
    centre: Float[Tensor, " c"]
    """The value in the middle of each cell."""

    @classmethod
    def of(cls, value: Float[Tensor, " n"], position: Float[Tensor, " n"], cells: int) -> Column:
        """From values and their positions among all rows, 0 to 1."""
        cell = (position * cells).long().clamp(0, cells - 1)
        middle = (torch.arange(cells, dtype=value.dtype) + 0.5) / cells
        return cls(value, cell, torch.bincount(cell, minlength=cells) / len(cell), torch.quantile(value, middle))

    def sums(self, of: Float[Tensor, " n"]) -> Float[Tensor, " c"]:
        """Of some quantity of the rows, cell by cell."""
        return torch.bincount(self.cell, of, minlength=len(self.share)).to(of.dtype)


def log_ratio_table(x: Column, y: Column) -> Float[Tensor, "c c"]:
    """Ln p(x, y)/(p(x)·p(y)) for every cell of x and every cell of y, in nats."""
    answers = [*_kernels(x, y), *_trends(x, y), *((t.T, seen) for t, seen in _trends(y, x))]
    tables, unseen = torch.stack([t for t, _ in answers]), torch.stack([s for _, s in answers])
    tables, unseen = _balanced(tables, unseen, x, y)
    nothing = torch.ones_like(tables[:1])
    weights = _weights(torch.cat([nothing[:, 0, :1].expand(1, unseen.shape[1]), unseen]))
    return torch.einsum("k,kij->ij", weights, torch.cat([nothing, tables])).log()


Answer = tuple["Float[Tensor, 'c c']", "Float[Tensor, ' n']"]
"""A ratio for all cells, and for every row what it would be were its density fitted without that row."""


def _kernels(x: Column, y: Column) -> Iterator[Answer]:
    """The histogram smoothed in each way, against the product of its margins smoothed in the same way."""
    cells, n = len(x.share), len(x.value)
    spectra, at = _kernel_bank(cells)
    joint = torch.bincount(x.cell * cells + y.cell, minlength=cells**2).view(cells, cells) / n
    smooth, chance = (_smoothed(h, spectra) for h in (joint, x.share[:, None] * y.share))
    # Mirrored at the edges, so that a row near one is met up to four times.
    near, far = (torch.stack([torch.zeros_like(c.cell), 2 * c.cell + 1]) for c in (x, y))
    own = at[:, near[:, None], far[None]].sum((1, 2))
    ratio = torch.where(chance > 1e-9, smooth / chance.clamp_min(1e-9), 1.0)
    unseen = (smooth[:, x.cell, y.cell] * n - own).clamp_min(0) / (n - 1)
    return zip(ratio, unseen / chance[:, x.cell, y.cell].clamp_min(1e-9), strict=True)


@lru_cache(maxsize=4)
def _kernel_bank(cells: int) -> tuple[Float[Tensor, "k c2 c1"], Float[Tensor, "k c2 c2"]]:
    """Spectra of the kernels on the mirrored grid, and the kernels."""
    turn = 2 * math.pi * cells
    fx, fy = torch.fft.fftfreq(2 * cells)[:, None] * turn, torch.fft.rfftfreq(2 * cells)[None] * turn
    spectra = []
    for size in SIZES:
        slanted = [(SLANTED_LENGTH, quarter * math.pi / 4) for quarter in range(4)] if size < SLANTED_UP_TO else []
        for length, angle in [(1.0, 0.0), *slanted]:
            along, across = math.cos(angle) * fx + math.sin(angle) * fy, math.cos(angle) * fy - math.sin(angle) * fx
            spectra.append(torch.exp(-(size**2) / 2 * ((length * along).square() + across.square())))
    bank = torch.stack(spectra)
    return bank, torch.fft.irfft2(bank, s=(2 * cells, 2 * cells))


def _smoothed(histogram: Float[Tensor, "c c"], spectra: Float[Tensor, "k c2 c1"]) -> Float[Tensor, "k c c"]:
    cells = len(histogram)
    tall = torch.cat([histogram, histogram.flip(0)])
    mirrored = torch.fft.rfft2(torch.cat([tall, tall.flip(1)], 1))
    smooth: Tensor = torch.fft.irfft2(mirrored * spectra, s=(2 * cells, 2 * cells))
    return smooth[:, :cells, :cells].clamp_min(0)


def _trends(x: Column, y: Column) -> Iterator[Answer]:
    """The model y = g(x) + s(x)·e, g a line or curved, s constant or not."""
    smooth = _mirrored_kernel(len(x.share))
    rows = (smooth @ x.share * len(x.value)).clamp_min(1e-6)
    for order in (1, 3):
        powers, at_centre = (v.double()[:, None] ** torch.arange(order + 1) for v in (x.value, x.centre))
        line = torch.linalg.lstsq(powers, y.value.double()[:, None]).solution[:, 0]
        mean, rest = (at_centre @ line).float(), (y.value - powers @ line).float()
        if order > 1:
            bend = smooth @ x.sums(rest) / rows
            mean, rest = mean + bend, rest - bend[x.cell]
        overall = rest.square().mean().sqrt().clamp_min(1e-6)
        yield _trend(x, y, mean, rest, overall.expand(len(mean)))
        spread = (smooth @ x.sums(rest.square()) / rows).sqrt()
        yield _trend(x, y, mean, rest, torch.maximum(spread, 0.02 * overall))


def _mirrored_kernel(cells: int) -> Float[Tensor, "c c"]:
    at = torch.arange(cells)
    images = [at[:, None] - at, at[:, None] + at + 1, 2 * cells - 1 - at[:, None] - at]
    return torch.stack([torch.exp(-((d / (TREND_SIZE * cells)) ** 2) / 2) for d in images]).sum(0)


def _trend(
    x: Column, y: Column, mean: Float[Tensor, " c"], rest: Float[Tensor, " n"], spread: Float[Tensor, " c"]
) -> Answer:
    density, own = _residual_density(rest / spread[x.cell], (y.centre - mean[:, None]) / spread[:, None])
    given = density / spread[:, None]
    # The margin that the model itself implies, so that the ratio is one of densities wherever it is evaluated.
    margin = x.share @ given
    unseen = (given[x.cell, y.cell] - own / spread[x.cell]).clamp_min(0)
    return given / margin, unseen / margin[y.cell]


def _residual_density(e: Float[Tensor, " n"], at: Float[Tensor, "c c"]) -> tuple[Float[Tensor, "c c"], float]:
    """Density of e at some places, up to a factor, and the share of it that one row adds to itself."""
    low, high = torch.quantile(e, e.new_tensor([0.05, 0.95])).tolist()
    width = max(high - low, 1e-6)
    # Beyond three widths everything lands in the outermost cell.
    low, high = max(float(e.min()), low - 3 * width) - width / 4, min(float(e.max()), high + 3 * width) + width / 4
    step = (high - low) / RESIDUAL_CELLS
    cell = ((e - low) / step).long().clamp(0, RESIDUAL_CELLS - 1)
    padded = torch.fft.rfft(torch.bincount(cell, minlength=RESIDUAL_CELLS).to(e.dtype), n=2 * RESIDUAL_CELLS)
    turn = torch.fft.rfftfreq(2 * RESIDUAL_CELLS) * 2 * math.pi * width / step
    spectra = torch.exp(-((torch.tensor(RESIDUAL_SIZES)[:, None] * turn) ** 2) / 2)
    smooth = torch.fft.irfft(padded * spectra, n=2 * RESIDUAL_CELLS)[:, :RESIDUAL_CELLS].clamp_min(0)
    own = torch.fft.irfft(spectra, n=2 * RESIDUAL_CELLS)[:, 0]
    best = int((smooth[:, cell] - own[:, None]).clamp_min(1e-6).log().mean(1).argmax())
    place = ((at - low) / step - 0.5).clamp(0, RESIDUAL_CELLS - 1.001)
    below = place.long()
    density = torch.lerp(smooth[best, below], smooth[best, below + 1], place - below)
    return density + 1e-6, float(own[best])


def _balanced(
    tables: Float[Tensor, "k c c"], unseen: Float[Tensor, "k n"], x: Column, y: Column
) -> tuple[Float[Tensor, "k c c"], Float[Tensor, "k n"]]:
    """Scaled by rows and columns, for a ratio of densities has mean 1 along each."""
    left = tables.new_ones(tables.shape[:2])
    right = left
    for _ in range(BALANCING):
        right = 1 / torch.einsum("ki,kij->kj", left * x.share, tables).clamp_min(1e-9)
        left = 1 / torch.einsum("kj,kij->ki", right * y.share, tables).clamp_min(1e-9)
    return tables * left[:, :, None] * right[:, None], unseen * left[:, x.cell] * right[:, y.cell]


def _weights(likelihood: Float[Tensor, "k n"]) -> Float[Tensor, " k"]:
    weights = likelihood.new_full((len(likelihood), 1), 1 / len(likelihood))
    for _ in range(ITERATIONS):
        share = weights * likelihood
        weights = (share / share.sum(0)).mean(1, keepdim=True).clamp_min(LEAST_WEIGHT)
        weights = weights / weights.sum()
    return weights[:, 0]

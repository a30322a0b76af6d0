from __future__ import annotations

import math

import pytest
import torch

from ibprobe.estimate.classifier import Classifier
from ibprobe.estimate.classifier.neighbours import BACKGROUND, FoldSums, Kernel, kernels
from ibprobe.estimate.pairs import Pair, Reading


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rings(n: int, classes: int, width: int, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Class k is a ring of radius k + 1 in some plane; all other directions are noise."""
    y = torch.arange(n) % classes
    angle = 2 * math.pi * torch.rand(n, generator=generator(1))
    t = noise * torch.randn(n, width, generator=generator(2))
    t[:, :2] += (y[:, None] + 1) * torch.stack([angle.cos(), angle.sin()], 1)
    return t @ torch.linalg.qr(torch.randn(width, width, generator=generator(3)))[0], y


def test_sums_of_folds_are_the_sums_over_their_rows() -> None:
    x, y, fold = torch.randn(60, 3, generator=generator()), torch.arange(60) % 3, torch.arange(60) % 5
    kernel, row = Kernel(2, 0.7), 7
    kept = torch.tensor([True, False, True, True, False])
    found = FoldSums.of(x, kernel, y, fold, 5).scores(kept.expand(60, -1))[row]
    near = (-(x[:, :2] - x[row, :2]).square().sum(1) / (2 * kernel.width**2)).exp()
    nearest = near[torch.arange(60) != row].max()
    shown = kept[fold]
    density = torch.stack([near[shown & (y == k)].mean() for k in range(3)])
    slow = ((density + BACKGROUND * near[shown].sum() / shown.sum()) / nearest).log()
    assert torch.allclose(found, slow, atol=1e-4)


def test_hidden_rows_have_no_part_in_the_choice_of_a_kernel() -> None:
    t, y = rings(1000, 4, 6, 0.1)
    hidden = torch.arange(1000)[None] % 5 == torch.arange(5)[:, None]
    before = kernels(t, y, hidden, generator(3))
    swapped = torch.where(hidden[2], (y + 1) % 4, y)
    assert kernels(t, swapped, hidden, generator(3))[2] == before[2]


@pytest.mark.slow
def test_rings_are_read_though_no_discriminant_and_few_rows_tell_them_apart() -> None:
    t, y = rings(2000, 6, 30, 0.12)
    found = Classifier()({"rings": Pair(y, t)}, torch.arange(2000) % 2, seed=0)["rings"]
    assert isinstance(found, Reading)
    # Rings of width 0.12 a unit apart are told without error but for a few rows: nearly ln 6 = 1.79. Without near rows
    # it is 0.4 to 0.9.
    assert 1.5 < found.nats <= math.log(6)
    assert found.ci_low < 1.78 < found.ci_high


def test_labels_without_dependence_stay_at_zero() -> None:
    t, y = rings(2000, 6, 30, 0.12)
    shuffled = y[torch.randperm(2000, generator=generator(4))]
    found = Classifier()({"nothing": Pair(shuffled, t)}, torch.arange(2000) % 2, seed=0)["nothing"]
    assert isinstance(found, Reading)
    assert found.nats < 0.02
    assert found.lower_confidence == 0

"""Targets as classes, or the reason why not."""

import math

import pytest
import torch

from ibprobe.estimate.labels import Classes, as_classes


def test_integers_are_renumbered() -> None:
    found = as_classes(torch.tensor([7, 3, 7, 3]))
    assert isinstance(found, Classes)
    assert found.y.tolist() == [1, 0, 1, 0]
    assert found.entropy == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    "y", [torch.tensor([[0], [1], [1], [0]]), torch.tensor([False, True, True, False]), torch.eye(2)[[0, 1, 1, 0]]]
)
def test_columns_booleans_and_one_hot_rows_are_classes(y: torch.Tensor) -> None:
    found = as_classes(y)
    assert isinstance(found, Classes)
    assert found.y.tolist() == [0, 1, 1, 0]


def test_ignored_and_single_rows_are_left_out_and_counted() -> None:
    found = as_classes(torch.tensor([0, 0, -100, 1, 2, 2]))
    assert isinstance(found, Classes)
    assert found.kept.tolist() == [True, True, False, False, True, True]
    assert found.singletons == 1


@pytest.mark.parametrize(
    ("y", "why"),
    [
        (torch.rand(8), "not integer classes"),
        (torch.zeros(8, 3, dtype=torch.long), "shape"),
        (torch.rand(8, 3), "shape"),
        (torch.arange(8), "no class has two rows"),
        (torch.full((8,), -100), "ignored"),
    ],
)
def test_other_targets_say_why_they_cannot_be_measured(y: torch.Tensor, why: str) -> None:
    found = as_classes(y)
    assert isinstance(found, str)
    assert why in found

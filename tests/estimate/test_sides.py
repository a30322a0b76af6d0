import math

import numpy as np
import pytest
import torch

from ibprobe.errors import BadInput
from ibprobe.estimate.sides import Side, tensor_of


@pytest.mark.parametrize(
    "labels", [[7, 7, 3, 3], np.array([True, True, False, False]), torch.tensor([9, 9, 1, 1]).byte()]
)
def test_integers_and_booleans_become_labels_without_gaps(labels: object) -> None:
    side = Side.of(labels, "y")
    assert side.rows.tolist() == [1, 1, 0, 0]
    assert (side.labels, side.classes, side.width, side.constant) == (True, 2, 2, False)
    assert side.entropy == pytest.approx(math.log(2))


def test_labels_stay_without_gaps_when_rows_are_left_out() -> None:
    side = Side.of([0, 0, 1, 1, 2, 2], "y").only(torch.tensor([2, 3, 4, 5]))
    assert side.rows.tolist() == [0, 0, 1, 1]


def test_numbers_become_rows_of_at_least_single_precision() -> None:
    assert Side.of(torch.ones(4, 2, 3).half(), "x").rows.shape == (4, 6)
    assert Side.of(torch.ones(4, 2, dtype=torch.int32), "x").rows.dtype == torch.float32
    assert Side.of(np.ones(4), "x").rows.dtype == torch.float64


def test_columns_out_of_range_change_their_unit_and_no_others_do() -> None:
    wide = torch.tensor([[1e200, 1e-30, 2.0, 0.0], [-5e199, 2e-30, 4.0, 0.0]], dtype=torch.float64)
    assert Side(wide, "x").in_range().rows.tolist() == [[1.0, 0.5, 2.0, 0.0], [-0.5, 1.0, 4.0, 0.0]]


def test_rows_that_come_with_other_partners_recur() -> None:
    x = torch.arange(4.0).repeat(3)[:, None]
    assert Side(x, "x").recurs(12)
    assert not Side(x, "x").recurs(4)


def test_numbers_that_look_like_labels_are_refused() -> None:
    with pytest.raises(BadInput, match="y holds 99 different integers in 99 rows"):
        Side.of(range(99), "y")


def test_sparse_tensors_and_those_with_gradients_are_read() -> None:
    x = torch.eye(3)
    assert torch.equal(tensor_of(x.to_sparse(), "x"), x)
    assert not tensor_of(x.requires_grad_(), "x").requires_grad

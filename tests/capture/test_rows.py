from collections import namedtuple

import pytest
import torch
from torch import Tensor

from ibprobe.capture.rows import (
    Batch,
    first_occurrences,
    input_matrix,
    join,
    map_parts,
    row_count,
    row_keys,
    stacked,
    take_rows,
    tensors_in,
)

Pair = namedtuple("Pair", "x y")


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_map_parts_keeps_the_structure_around_the_tensors() -> None:
    tree = {"a": Pair(torch.ones(1), "text"), "b": [torch.ones(1), (None, 2)]}
    doubled = map_parts(lambda t: t * 2, tree)
    assert doubled == {"a": Pair(torch.tensor([2.0]), "text"), "b": [torch.tensor([2.0]), (None, 2)]}
    assert len(tensors_in(tree)) == 2


def test_rows_are_counted_on_the_first_tensor_that_has_an_axis() -> None:
    assert row_count((torch.tensor(3.0), "flag", torch.ones(5, 2)), {}) == 5
    assert row_count((), {"x": torch.ones(4)}) == 4
    assert row_count(("text",), {}) == 0


def test_taken_rows_are_copies_and_other_tensors_come_whole() -> None:
    x, table = torch.arange(6.0).reshape(3, 2), torch.ones(7)
    taken, whole = take_rows((x, table), torch.tensor([2, 0]), 3)
    x.zero_()
    assert taken.tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert whole.shape == (7,)


def test_keys_tell_inputs_apart_and_nothing_else() -> None:
    x = column(1, 2, 1)
    keys = row_keys((x,), {"labels": torch.tensor([0, 1, 2])})
    assert keys[0] == keys[2] != keys[1]
    assert torch.equal(keys, row_keys((x.clone(),), {}))
    masked = row_keys((x,), {"mask": column(0, 0, 1)})
    assert masked[0] != masked[2]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_sequence_has_one_key_whatever_it_is_padded_with(side: str) -> None:
    def key(*ids: int, padding: int = 0, pad: int = 9) -> int:
        both = [*ids], [1] * len(ids)
        batch = [[*row, *fill] if side == "right" else [*fill, *row]
                 for row, fill in zip(both, ([pad] * padding, [0] * padding), strict=True)]  # fmt: skip
        kwargs = {name: torch.tensor([row]) for name, row in zip(("input_ids", "attention_mask"), batch, strict=True)}
        kwargs["inputs_embeds"] = kwargs["input_ids"][:, :, None].expand(-1, -1, 3) / 2
        return int(row_keys((), kwargs)[0])

    assert key(1, 2, 9) == key(1, 2, 9, padding=2) == key(1, 2, 9, padding=5, pad=7)
    assert len({key(1, 2), key(1, 2, 9), key(1, 2, 9, 9), key(2, 1, padding=1)}) == 4


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.bfloat16, torch.float64, torch.complex64])
def test_keys_work_for_every_dtype_and_for_rows_without_numbers(dtype: torch.dtype) -> None:
    assert len(row_keys((torch.ones(3, 2).to(dtype),), {})) == 3
    assert len(row_keys((torch.ones(3, 0).to(dtype),), {})) == 3


def test_first_occurrences_leave_out_what_was_seen() -> None:
    assert first_occurrences(torch.tensor([5, 7, 5, 9, 7])).tolist() == [0, 1, 3]
    assert first_occurrences(torch.tensor([5, 7, 9]), {7}).tolist() == [0, 2]


def test_join_refuses_missing_parts_and_different_widths() -> None:
    assert join([torch.ones(2, 3), None]) is None
    assert join([torch.ones(2, 3), torch.ones(2, 4)]) is None
    assert join([torch.ones(2), torch.ones(1)]).tolist() == [1, 1, 1]


def test_stacked_rows_say_why_they_are_none() -> None:
    assert stacked([torch.ones(2, 3), torch.ones(1, 3)], 3).shape == (3, 3)
    assert stacked([torch.ones(2, 3)], 3) == "it ran in some forward passes only"
    assert "3 to 5 features" in stacked([torch.ones(2, 3), torch.ones(1, 5)], 3)


def test_the_input_matrix_is_the_first_floating_input() -> None:
    batch = Batch((torch.zeros(2, dtype=torch.int64), torch.ones(2, 3, 4)), {}, torch.arange(2))
    assert input_matrix([batch, batch]).shape == (4, 12)
    assert input_matrix([Batch((torch.zeros(2, dtype=torch.int64),), {}, torch.arange(2))]) is None
    assert input_matrix([Batch((torch.ones(2, 5000),), {}, torch.arange(2))]).shape == (2, 4096)

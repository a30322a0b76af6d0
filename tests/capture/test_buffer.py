import io
from collections import namedtuple
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pack_sequence

from ibprobe.capture.buffer import RowBuffer
from ibprobe.capture.rows import join, tensors_in

Pair = namedtuple("Pair", "x y")


def column(*values: float) -> Tensor:
    return torch.tensor(values)[:, None]


def test_the_buffer_keeps_distinct_rows_with_their_own_labels() -> None:
    buffer = RowBuffer(capacity=4)
    for x in (column(3, 1, 3), column(1, 2), column(4, 5, 6)):
        buffer.add((x,), {})
        buffer.label(x[:, 0].long() * 10)
    kept = torch.cat([b.args[0] for b in buffer.batches])[:, 0]
    assert kept.tolist() == [3, 1, 2, 4]
    assert torch.equal(join([b.y for b in buffer.batches]), kept.long() * 10)
    assert (buffer.n, buffer.repeated, buffer.full) == (4, 2, True)


def test_labels_of_another_length_are_not_taken() -> None:
    buffer = RowBuffer(capacity=4)
    buffer.add((column(1, 2),), {})
    buffer.label(torch.zeros(3))
    buffer.label(torch.tensor(1.0))
    assert buffer.batches[0].y is None


def test_labels_of_another_length_do_not_leave_earlier_ones_in_their_place() -> None:
    buffer = RowBuffer(capacity=10)
    buffer.add((column(1, 2),), {})
    buffer.label(torch.zeros(2))
    buffer.label(torch.zeros(12))
    assert buffer.batches[0].y is None


def test_a_forward_without_labels_does_not_void_the_labels_of_the_others() -> None:
    buffer = RowBuffer(capacity=10)
    buffer.add((column(1, 2),), {})
    assert [b.n for b in buffer.measurable()] == [2]
    buffer.add((column(3, 4, 5),), {})
    buffer.label(torch.zeros(3))
    assert [b.n for b in buffer.measurable()] == [3]


def test_collecting_ends_when_a_whole_pass_brings_nothing_new() -> None:
    buffer, x = RowBuffer(capacity=2048), torch.randn(256, 2)
    for _ in range(3):
        assert not buffer.full
        buffer.add((x,), {})
    assert buffer.full
    assert (buffer.n, buffer.repeated) == (256, 512)


def test_huge_inputs_reduce_the_rows_and_not_the_memory_limit_which_is_said(caplog: pytest.LogCaptureFixture) -> None:
    buffer = RowBuffer(capacity=100, max_bytes=4000)
    buffer.add((torch.randn(8, 100),), {})
    assert (buffer.n, buffer.full) == (8, False)
    assert not caplog.messages
    buffer.add((torch.randn(8, 100),), {})
    assert (buffer.n, buffer.full) == (10, True)
    (said,) = caplog.messages
    assert "expected 100 rows" in said
    assert said.endswith("or pass rows=10")
    as_many_as_asked_for = RowBuffer(capacity=10, max_bytes=4000)
    as_many_as_asked_for.add((torch.randn(64, 100),), {})
    assert (as_many_as_asked_for.n, len(caplog.messages)) == (10, 1)
    first_is_huge = RowBuffer(capacity=100, max_bytes=4000)
    first_is_huge.add((torch.randn(64, 100),), {})
    assert (first_is_huge.n, first_is_huge.full) == (10, True)


def test_rows_that_labels_cut_are_said_too(caplog: pytest.LogCaptureFixture) -> None:
    buffer = RowBuffer(capacity=100, max_bytes=4000)
    buffer.add((torch.randn(8, 2),), {})
    buffer.label(torch.zeros(8, 200))
    assert (buffer.n, buffer.full, buffer.cut) == (8, True, True)
    assert caplog.messages[0].endswith("or pass rows=8")


def through_a_file(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_a_buffer_goes_on_from_a_file_as_it_would_have_gone_on() -> None:
    buffer, twin = RowBuffer(capacity=4), RowBuffer(capacity=4)
    buffer.add((column(1, 1, 2), {"deep": [None, "text", 3]}), {"flag": True})
    buffer.label(torch.tensor([5, 5, 6]))
    state, why = buffer.state_dict()
    assert why == ""
    twin.load_state_dict(through_a_file(state))
    for each in (buffer, twin):
        each.add((column(2, 3, 4, 5), {"deep": [None, "text", 3]}), {"flag": True})
    assert [b.keys.tolist() for b in twin.batches] == [b.keys.tolist() for b in buffer.batches]
    assert twin.batches[0].args[1] == {"deep": [None, "text", 3]}
    assert (twin.n, twin.repeated, twin.full, twin.batches[0].y.tolist()) == (4, 2, True, [5, 6])


def test_inputs_that_a_file_of_weights_cannot_hold_are_left_out_and_named() -> None:
    for odd, name in ((Pair(column(1), column(2)), "Pair"), (pack_sequence([torch.ones(2)]), "PackedSequence")):
        buffer = RowBuffer(capacity=4)
        buffer.add((odd,), {})
        state, why = buffer.state_dict()
        assert state is None
        assert why.startswith(f"inputs hold a {name}; expected tensors")


def test_packed_sequences_are_kept_by_sequence_in_the_users_order() -> None:
    buffer = RowBuffer(capacity=4)
    first = pack_sequence([column(1), column(2, 3, 4), column(5, 6)], enforce_sorted=False)
    buffer.add((first,), {})
    buffer.label(torch.tensor([1, 2, 5]))
    buffer.add((pack_sequence([column(5, 6), column(1, 0)], enforce_sorted=False),), {})
    buffer.label(torch.tensor([5, 9]))
    assert join([b.y for b in buffer.batches]).tolist() == [1, 2, 5, 9]
    assert buffer.repeated == 1
    assert buffer.batches[0].bytes == sum(t.numel() * 8 for t in tensors_in((first, buffer.batches[0].y)))

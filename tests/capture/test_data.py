from functools import partial
from typing import Any

import pytest
import torch
from helpers import unchecked
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from ibprobe import BadInput
from ibprobe.capture import data as data_module
from ibprobe.capture.buffer import RowBuffer
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.rows import join

X = torch.arange(600.0)[:, None]
Y = X[:, 0].long() * 2


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Any:
        yield from zip(X, Y, strict=True)
        raise AssertionError("read further than asked")


@pytest.mark.parametrize(
    "data",
    [
        (X, Y),
        {"x": X, "labels": Y},
        TensorDataset(X, Y),
        Endless(),
        DataLoader(TensorDataset(X, Y), batch_size=37, shuffle=True),
        [(X[:100], Y[:100]), [X[100:], Y[100:]]],
        ({"x": a, "labels": b} for a, b in zip(X.split(99), Y.split(99), strict=True)),
        [((X, torch.ones(600)), Y)],
        (X, torch.ones(600), Y),
    ],
    ids=lambda d: type(d).__name__,
)
def test_rows_and_labels_stay_aligned_in_every_form(data: Any) -> None:
    batches, repeated = distinct_batches(data, 500)
    x = torch.cat([_first(b.args, b.kwargs) for b in batches])
    assert (len(x), repeated) == (500, 0)
    assert torch.equal(join([b.y for b in batches]), x[:, 0].long() * 2)


def _first(args: Any, kwargs: dict[str, Tensor]) -> Tensor:
    if args and isinstance(args[0], tuple | list):
        return args[0][0]
    return args[0] if args else kwargs["x"]


def test_a_tensor_alone_has_no_labels() -> None:
    batches, _ = distinct_batches(X, 2048)
    assert [b.n for b in batches] == [256, 256, 88]
    assert all(b.y is None for b in batches)


def test_repeated_inputs_are_left_out_and_counted() -> None:
    batches, repeated = distinct_batches((X[:100].repeat(3, 1), Y[:100].repeat(3)), 2048)
    assert (sum(b.n for b in batches), repeated) == (100, 200)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (3, "data is a tensor x, a pair (x, y), a mapping"),
        (3, "got int"),
        (None, "got NoneType"),
        ("text", "got a batch of type str"),
        ([], "no rows in the data"),
        (X[:0], "no rows in the data"),
        ((X, Y[:256]), "x has 600 rows, y has shape (256,); expected one target a row"),
        ((X, torch.tensor(1)), "x has 600 rows, y has shape ()"),
        ([(X, [1, 2])], "targets are a tensor; got list"),
        ([3.0], "got a batch of type float"),
    ],
)
def test_data_that_cannot_be_read_says_what_is_expected(data: Any, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        unchecked(distinct_batches)(data, 2048)
    assert words in str(caught.value)


def test_reading_a_shuffled_loader_twice_gives_the_same_rows() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=64, shuffle=True, generator=torch.Generator())
    first, second = (distinct_batches(loader, 100)[0][0].args[0] for _ in range(2))
    assert torch.equal(first, second)


def test_inputs_that_are_all_there_is_are_not_cut_silently(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_module, "RowBuffer", partial(RowBuffer, max_bytes=4000))
    wide = torch.randn(64, 100)
    assert sum(b.n for b in distinct_batches(wide, 64)[0]) == 10
    with pytest.raises(BadInput, match="there are more than 256 MiB"):
        distinct_batches(wide, 64, all_there_is=True)
    assert sum(b.n for b in distinct_batches(wide[:8], 8, all_there_is=True)[0]) == 8

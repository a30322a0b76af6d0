from typing import Any

import pytest
import torch
from helpers import quiet_probe
from torch import Tensor, nn

from ibprobe.capture.lengths import bucketed
from ibprobe.capture.rows import Batch


def batches(lengths: Tensor, size: int, longest: int = 64) -> list[Batch]:
    """One row for each length."""
    mask = torch.arange(longest) < lengths[:, None]
    return [Batch((), {"attention_mask": m}, torch.zeros(len(m), dtype=torch.int64)) for m in mask.split(size)]


def random_lengths(n: int, seed: int) -> Tensor:
    return torch.randint(1, 64, (n,), generator=torch.Generator().manual_seed(seed))


def in_buckets(lengths: Tensor, size: int, seed: int = 0) -> Tensor:
    """As a sampler that sorts within ten batches at a time and shuffles batches."""
    sorted_ = torch.cat([part.sort().values for part in lengths.split(10 * size)]).split(size)
    return torch.cat([sorted_[i] for i in torch.randperm(len(sorted_), generator=torch.Generator().manual_seed(seed))])


@pytest.mark.parametrize(("size", "rows"), [(2, 128), (16, 128), (16, 2048), (64, 2048)])
def test_rows_that_are_drawn_at_random_are_not_in_buckets(size: int, rows: int) -> None:
    # The largest standard deviation is 0.13, with 64 batches of two: 0.5 is four of them away.
    assert not any(bucketed(batches(random_lengths(rows, seed), size)) for seed in range(200))


@pytest.mark.parametrize(("size", "rows"), [(2, 160), (16, 160), (16, 1920), (64, 1920)])
def test_buckets_are_seen(size: int, rows: int) -> None:
    assert all(bucketed(batches(in_buckets(random_lengths(rows, seed), size), size)) for seed in range(20))


def test_what_does_not_say_how_long_it_is_tells_nothing() -> None:
    some = batches(in_buckets(random_lengths(512, 0), 16), 16)
    assert bucketed(some)
    assert not bucketed(some[:7])
    assert not bucketed([*some, Batch((torch.zeros(4, 64),), {}, torch.zeros(4, dtype=torch.int64))])
    assert not bucketed(batches(torch.full((512,), 9), 16))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(50, 8), nn.Linear(8, 2)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Any:
        return self.head(self.embed(ids))


@pytest.mark.parametrize("sort", [False, True])
def test_a_run_on_buckets_says_so(sort: bool) -> None:
    lengths, model = random_lengths(320, 0), Encoder()
    lengths = in_buckets(lengths, 16) if sort else lengths
    with quiet_probe(model, ["embed"], rows=320) as probe:
        for batch in batches(lengths, 16):
            model(torch.randint(50, (16, 64)), **batch.kwargs)
        found = probe.measure()
    assert len(found)
    assert {"clustered_rows" in e.flags for e in found} == {sort}

"""A replay under the autocast of training, and views outside of it."""

from typing import Any

import pytest
import torch
from helpers import identity_linear
from torch import Tensor, nn

from ibprobe.capture.rows import RowSet
from ibprobe.capture.sources import ReplaySource
from ibprobe.capture.views import to_rows

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


class Collector(nn.Module):
    """Keeps what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        self.seen = x.detach().clone()
        return x


def source_of(model: nn.Module, **options: Any) -> ReplaySource:
    return ReplaySource(model, dict(model.named_children()), rows=100, view="auto", **options)


def seen_in_training(source: ReplaySource, model: nn.Module, **autocast: Any) -> Tensor:
    handle = model.register_forward_pre_hook(lambda m, a, k: source.see_inputs(a, k, 0), with_kwargs=True)
    with torch.autocast("cpu", **autocast):
        out = model(X)
    handle.remove()
    return out.detach()


def rows_of(source: ReplaySource) -> RowSet:
    return source.take(0)[0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_replay_shows_the_very_activations_that_training_has_under_autocast(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    source = source_of(model)
    trained = seen_in_training(source, model, dtype=dtype)
    layer = rows_of(source).layers[0]
    assert layer.t.dtype == dtype
    assert torch.equal(layer.t, trained)
    assert rows_of(source).sightings[0].dtype == str(dtype).removeprefix("torch.")
    assert not torch.is_autocast_enabled("cpu")


def test_without_autocast_in_training_a_replay_has_none_whatever_surrounds_it() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    source = source_of(model)
    trained = seen_in_training(source, model, enabled=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rows_of(source).layers[0].t, trained)
        assert model(X).dtype == torch.bfloat16


def test_before_the_first_forward_a_replay_is_in_single_precision() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    source = source_of(model, probe_set=X)
    assert rows_of(source).layers[0].t.dtype == torch.float32


def test_casts_of_a_replay_are_not_handed_to_training() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    source = source_of(model)
    seen_in_training(source, model, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rows_of(source)
        model(X).sum().backward()
    assert model[0].weight.grad is not None


def test_views_are_computed_outside_autocast() -> None:
    def doubled(t: Tensor) -> Tensor:
        return t @ (2 * torch.eye(t.shape[1]))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert to_rows(X, n=40, view=doubled)[0].dtype == torch.float32
        assert torch.equal(to_rows(X, n=40, view=doubled)[0], 2 * X)
        assert (X @ torch.eye(4)).dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_means_of_halves_are_taken_in_single_precision_and_one_position_stays_as_it_is(dtype: torch.dtype) -> None:
    maps = torch.randn(8, 3, 9, 9).to(dtype)
    assert torch.equal(to_rows(maps, n=8)[0], maps.float().mean((2, 3)))
    tokens, mask = maps.flatten(2), torch.arange(81) < torch.tensor([[5, 9, 1, 81]]).T.repeat(2, 1)
    mask = mask[:, :3]
    found = to_rows(tokens, n=8, mask=mask)[0]
    expected = (tokens.float() * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    torch.testing.assert_close(found, expected)
    assert to_rows(maps[:, :, :1, :1], n=8)[0].dtype == dtype
    assert to_rows(maps[:, 0, 0], n=8)[0].dtype == dtype


def test_a_chunk_is_as_large_as_the_largest_training_forward() -> None:
    model = nn.Sequential(identity_linear(4), Collector())
    source = source_of(model, probe_set=torch.arange(400.0).reshape(100, 4))
    sizes: list[int] = []
    model[0].register_forward_pre_hook(lambda m, a: sizes.append(len(a[0])))
    source.take(0)
    assert sizes == [64, 64, 36]
    for n in (3, 40, 7):
        source.see_inputs((X[:n],), {}, 0)
    sizes.clear()
    source.take(0)
    assert sizes == [40, 40, 40, 20]

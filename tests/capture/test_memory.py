"""A replay needs less memory than a training step, and rows of layers stay within their bound."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ibprobe.capture import replay as replay_module
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.passes import Draws
from ibprobe.capture.replay import replay
from ibprobe.capture.rows import RowSet
from ibprobe.capture.sources import ReplaySource


class Peak(TorchDispatchMode):
    """Bytes of storages that operations make inside it: those alive now, and the most at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = self.most = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, Tensor):
                self._add(t.untyped_storage(), before)
        return out

    def _add(self, storage: Any, before: set[int]) -> None:
        place = storage._cdata
        if place in before or place in self._known:
            return
        self._known[place] = storage.nbytes()
        self.alive += storage.nbytes()
        self.most = max(self.most, self.alive)
        weakref.finalize(storage, self._drop, place)

    def _drop(self, place: int) -> None:
        self.alive -= self._known.pop(place)


def conv_net() -> nn.Sequential:
    body: list[nn.Module] = []
    for i in range(3):
        body += [nn.Conv2d(3 if i == 0 else 32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU()]
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def step(model: nn.Module, x: Tensor) -> None:
    nn.functional.cross_entropy(model(x), torch.zeros(len(x), dtype=torch.int64)).backward()


def peak_of(call: Any, *args: Any) -> int:
    gc.collect()
    with Peak() as peak:
        result = call(*args)
    del result
    return peak.most


@pytest.mark.slow
def test_a_replay_of_many_rows_needs_less_than_a_training_step_of_few() -> None:
    model, x = conv_net(), torch.randn(512, 3, 24, 24)
    layers = {name: m for name, m in model.named_children() if isinstance(m, nn.ReLU)}
    source = ReplaySource(model, layers, rows=512, view="auto", probe_set=x)
    source.see_inputs((x[:8],), {}, 0)
    training = peak_of(step, model, x[:8])
    assert peak_of(model, x[:8]) < training  # the measure tells a forward from a whole step
    assert peak_of(source.take, 0) < training
    source.see_inputs((x,), {}, 0)
    assert peak_of(source.take, 0) > 5 * training  # what a replay in one piece would need


class Maps(nn.Module):
    """A hundred layers with feature maps of 64 x 112 x 112 that take no time."""

    def __init__(self, n: int = 100) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Broadcast() for _ in range(n))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            layer(x)
        return x


class Broadcast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :1, None, None].expand(-1, 64, 112, 112)


def rows_of(n: int, view: Any, room: int, model: nn.Module, **options: Any) -> RowSet:
    layers = {f"layers.{i}": m for i, m in enumerate(model.layers)}
    batches, _ = distinct_batches(torch.arange(2.0 * n).reshape(n, 2), n)
    return replay(model, layers, batches, view=view, room=room, **options)


def bytes_of(rows: RowSet) -> int:
    return sum(layer.t.untyped_storage().nbytes() for layer in rows.layers)


def test_rows_of_a_hundred_pooled_layers_stay_within_their_bound(caplog: pytest.LogCaptureFixture) -> None:
    room = 100 * 64 * 4 * 10  # ten of the twenty rows
    rows = rows_of(20, "auto", room, Maps())
    assert {len(layer.t) for layer in rows.layers} == {10}
    assert (len(rows.keys), len(rows.layers), rows.sightings[0].rows) == (10, 100, 10)
    assert bytes_of(rows) <= room
    (told,) = caplog.messages
    assert "100 layers of 20 rows take" in told
    assert "pass rows=10, fewer layers=, or a view= that pools" in told


def test_flattened_layers_stay_within_their_bound_and_two_rows_are_the_fewest() -> None:
    model, room = Maps(3), 3 * 4096 * 4 * 3
    rows = rows_of(5, "flatten", room, model)
    assert {tuple(layer.t.shape) for layer in rows.layers} == {(3, 4096)}
    assert bytes_of(rows) <= room
    assert len(rows_of(5, "flatten", 1, model).keys) == 2


def test_no_second_copy_of_the_rows_is_made() -> None:
    class Wide(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.repeat(1, 2000)

    model = nn.Sequential(Wide())
    batches, _ = distinct_batches(torch.arange(4096.0).reshape(2048, 2), 2048)
    whole = 2048 * 4000 * 4
    assert whole < peak_of(lambda: replay(model, {"0": model[0]}, batches)) < 1.3 * whole


def test_the_first_rows_are_kept_and_further_passes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    model = nn.Sequential(Noisy())
    batches, _ = distinct_batches(torch.arange(400.0).reshape(200, 2), 200)
    rows = replay(model, {"0": model[0]}, batches, room=100 * 2 * 4, draws=Draws(4))
    assert rows.layers[0].t.shape == (50, 2)
    assert torch.equal(rows.keys, torch.cat([b.keys for b in batches])[:50])


def test_a_source_says_once_that_rows_do_not_fit(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from ibprobe.capture import sources

    monkeypatch.setattr(sources, "ROWS_BYTES", 2 * 10 * 8)
    model, x = nn.Sequential(nn.Identity()), torch.arange(100.0).reshape(50, 2)
    source = ReplaySource(model, {"0": model[0]}, rows=50, view="auto", probe_set={"train": x, "held_out": x + 100})
    for _ in range(2):
        assert [len(rows.keys) for rows in source.take(0)] == [10, 10]
    assert len(caplog.messages) == 1
    assert replay_module.ROWS_BYTES == 512 * 2**20

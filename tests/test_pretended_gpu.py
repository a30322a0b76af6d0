"""Everything that estimates, on a GPU that is pretended: nothing mixes devices, and the numbers are the CPU's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import batches, quiet_probe, small_net, train
from pretended_gpu import GPU, OnGpu, moved, pretended_gpu, there
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from ibprobe import Records, estimate_mi, measure, sigma_sweep
from ibprobe.bottleneck import GaussianBottleneck

ESTIMATORS, CRITICS = ("channel", "classifier", "ksg", "kde", "gaussian", "counts"), ("auto", "mine", "infonce")


WRONG: list[Callable[[Tensor, Tensor], object]] = [
    lambda here, at: at + here,
    lambda here, at: torch.cat([at, here]),
    lambda here, at: torch.stack([at[0, 0], torch.ones(())]),
    lambda here, at: here @ at.T,
    lambda here, at: here[at[:, 0].long()],
    lambda here, at: at.__setitem__(torch.tensor([0, 1]), here),
    lambda here, at: torch.randn(2, device="cuda", generator=torch.Generator()),
    lambda here, at: torch.randn(2, generator=torch.Generator("cuda")),
]
RIGHT: list[Callable[[Tensor, Tensor], object]] = [
    lambda here, at: at + 2 * torch.ones(()),
    lambda here, at: at.cpu() + here,
    lambda here, at: at + here.to(at),
    lambda here, at: at + here.cuda(),
    lambda here, at: at[torch.tensor([1, 0])],
    lambda here, at: at.__setitem__(slice(0, 2), here),
    lambda here, at: torch.randn(2, device="cuda", generator=torch.Generator("cuda")),
]


@pytest.mark.parametrize("call", WRONG)
def test_the_pretended_one_fails_where_a_real_one_would(call: Callable[[Tensor, Tensor], object]) -> None:
    with pretended_gpu(), pytest.raises(RuntimeError, match=r"same device|device of the result"):
        call(torch.ones(2, 3), torch.ones(2, 3, device="cuda"))


@pytest.mark.parametrize("call", RIGHT)
def test_and_nowhere_else(call: Callable[[Tensor, Tensor], object]) -> None:
    with pretended_gpu():
        call(torch.ones(2, 3), torch.ones(2, 3, device="cuda"))


def test_it_says_that_it_is_one() -> None:
    with pretended_gpu():
        x = torch.ones(2, 3, device="cuda")
        assert (x.device, x.is_cuda, x.is_cpu) == (GPU, True, False)
        assert type(torch.zeros_like(x + 1)) is OnGpu
        assert type(x.cpu()) is Tensor
        assert x.sum().item() == 6
        with pytest.raises(TypeError, match="can't convert cuda"):
            x.numpy()


def values(records: Records) -> dict[tuple[Any, ...], float]:
    failed = [e for e in records.events if "Error" in e.why or e.kind == "disarmed"]
    assert not failed
    return {(e.step, e.layer, e.quantity, e.estimator): e.nats for e in records}


def dropping() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 2))


class Coding(nn.Module):
    """Draws codes from Gaussians of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.codes, self.head = nn.Linear(4, 6), GaussianBottleneck(3), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        mean, scale = self.encoder(x).chunk(2, 1)
        return self.head(self.codes(mean, scale.exp()))


class Words(nn.Module):
    """Labels a token of masked sequences."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(5, 8), nn.Linear(8, 3)

    def forward(self, ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.head(torch.relu(self.embedding(ids)) * attention_mask[:, :, None])


def rows(kind: str) -> Any:
    """Inputs and labels of 256 rows."""
    x, y = (torch.cat(part) for part in zip(*batches(256), strict=True))
    if kind == "images":
        return x[:, None, :, None].expand(-1, 3, 4, 4).clone(), y
    if kind == "targets":
        return x, x @ torch.ones(4, 1)
    if kind == "words":
        ids = torch.randint(5, (256, 6), generator=torch.Generator().manual_seed(0))
        mask = (torch.arange(6) < 3 + torch.arange(256)[:, None] % 4).long()
        return (ids, mask), (ids % 3).masked_fill(mask == 0, -100)
    return x, y


NETS: dict[str, Callable[[], nn.Module]] = {
    "small": small_net,
    "dropping": dropping,
    "coding": Coding,
    "images": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)),
    "targets": lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)),
    "words": Words,
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        *(("small", {"estimator": name}) for name in ESTIMATORS),
        *(pytest.param("small", {"estimator": name}, marks=pytest.mark.slow) for name in CRITICS),
        ("small", {"noise": "per_unit"}),
        ("small", {"sigma": 0.0}),
        ("small", {"target": "probe_set"}),
        ("dropping", {"passes": 4}),
        ("dropping", {"train_mode": True}),
        ("coding", {"passes": 4}),
        ("images", {}),
        ("images", {"view": "flatten"}),
        pytest.param("targets", {"estimator": "auto"}, marks=pytest.mark.slow),
        ("words", {"view": "token"}),
        ("words", {"view": "next_token"}),
        ("words", {"view": "first"}),
        ("words", {"view": "last"}),
    ],
    ids=str,
)
def test_measuring_there_gives_what_it_gives_here(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net, data, given = NETS[kind](), rows(kind), {"estimator": "channel", "rows": 256, **options}
    here = values(measure(net, data, **given))
    assert here
    with pretended_gpu():
        found = values(measure(moved(net), tree_map(there, data), **given))
    assert found == pytest.approx(here, abs=1e-5)


@pytest.mark.parametrize("mode", ["replay", pytest.param("stream", marks=pytest.mark.slow)])
def test_so_does_a_probe_while_training(mode: str) -> None:
    def run(net: nn.Module, data: list[tuple[Tensor, Tensor]]) -> tuple[dict[Any, float], dict[str, Any]]:
        loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(net.parameters(), 0.1)
        with (probe := quiet_probe(net, loss=loss, optimizer=optimizer, every=4, estimator="auto", mode=mode)):
            train(net, data, loss, optimizer, epochs=3)
        assert probe.doctor().layers
        return values(probe.estimates), probe.state_dict()

    x, y = rows("small")
    torch.manual_seed(0)
    here, _ = run(small_net(), list(zip(x.split(32), y.split(32), strict=True)))
    torch.manual_seed(0)
    net = small_net()
    with pretended_gpu():
        found, state = run(moved(net), list(zip(there(x).split(32), there(y).split(32), strict=True)))
        other = quiet_probe(net, estimator="auto", mode=mode)
        other.load_state_dict(state)
        assert values(other.estimates) == found
    assert len({step for step, *_ in here}) >= 3
    assert found == pytest.approx(here, abs=1e-4)


def test_so_do_arrays_and_sizes_of_noise() -> None:
    x, y = rows("small")
    net = small_net()
    here = (estimate_mi(x, x[:, :1] + 1, seed=0).nats, values(sigma_sweep(net, (x, y), rows=256)))
    with pretended_gpu():
        a, b = there(x), there(y)
        found = (estimate_mi(a, a[:, :1] + 1, seed=0).nats, values(sigma_sweep(moved(net), (a, b), rows=256)))
    assert found[0] == pytest.approx(here[0], abs=1e-4)
    assert found[1] == pytest.approx(here[1], abs=1e-5)

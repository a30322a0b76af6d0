"""A replay takes less than the training step beside it, and leaves every setting as it found it."""

from collections.abc import Iterator

import pytest
import torch
from helpers import NEEDS_CUDA, quiet_probe, same
from torch import Tensor, nn

from ibprobe import IBProbe

pytestmark = NEEDS_CUDA

BATCH = 256


def net() -> nn.Sequential:
    """Convolutions whose activations take half a gigabyte in a training step; the view pools what is kept of them."""
    torch.manual_seed(0)
    blocks = [part for k in range(6) for part in (nn.Conv2d(64 if k else 3, 64, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).cuda()


def data(batches: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batches * BATCH, 3, 32, 32, generator=generator).cuda()
    y = torch.randint(10, (len(x),), generator=generator).cuda()
    return list(zip(x.split(BATCH), y.split(BATCH), strict=True))


def pooled(t: Tensor) -> Tensor:
    return t.mean((2, 3)) if t.ndim == 4 else t


def peak_of(watched: bool) -> tuple[int, dict[str, Tensor], IBProbe | None]:
    """Most bytes that were allocated in sixteen steps, and the weights that they lead to."""
    model, batches = net(), data(4)
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.01)
    probe = quiet_probe(model, loss=loss, optimizer=optimizer, rows=512, every=4, view=pooled) if watched else None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    with probe or torch.enable_grad():
        for x, y in batches * 4:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated(), model.state_dict(), probe


@pytest.fixture
def reproducible() -> Iterator[None]:
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    yield
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = before


@pytest.mark.usefixtures("reproducible")
def test_snapshots_do_not_raise_the_peak_of_training_nor_change_it() -> None:
    (bare, weights, _), (watched, same_weights, probe) = peak_of(watched=False), peak_of(watched=True)
    assert probe is not None
    assert len(probe.estimates.steps) >= 4
    assert bare > 400 * 2**20
    # What is kept: 512 inputs of 12 KiB, and their pooled rows.
    assert watched <= bare + 2**24
    assert same(dict(weights), dict(same_weights))


@pytest.mark.parametrize("place", ["inline", "thread", "cuda-stream"])
def test_settings_stay_as_they_are(place: str) -> None:
    def settings() -> tuple[object, ...]:
        products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
        return (
            products.allow_tf32, convolutions.allow_tf32, convolutions.benchmark, convolutions.deterministic,
            torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda"), torch.get_num_threads(),
        )  # fmt: skip

    model, loss = net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    probe = quiet_probe(model, loss=loss, optimizer=optimizer, rows=512, every=2, view=pooled, runtime=place)
    benchmark, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, True
    try:
        with probe, torch.autocast("cuda", torch.bfloat16):
            before = settings()
            for x, y in data(4):
                optimizer.zero_grad()
                loss(model(x), y).backward()
                optimizer.step()
                assert settings() == before
    finally:
        torch.backends.cudnn.benchmark = benchmark
    assert len(probe.estimates.steps) >= 1
    assert not [e for e in probe.estimates.events if e.kind == "disarmed"]

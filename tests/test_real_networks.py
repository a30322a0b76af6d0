"""At the defaults, layers of real networks are neither at their ceiling nor empty, whatever their width."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from ibprobe import Records, measure
from ibprobe.demo import load_mnist

pytestmark = pytest.mark.slow


class Encoder(nn.Module):
    """A transformer of width 768 that reads an image as seven tokens of four pixel rows."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(112, 768)
        self.position = nn.Parameter(0.02 * torch.randn(7, 768))
        block = nn.TransformerEncoderLayer(768, 12, 1536, batch_first=True)
        self.encoder = nn.TransformerEncoder(block, 3)
        self.head = nn.Linear(768, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x.unflatten(1, (7, 112))) + self.position
        return self.head(self.encoder(tokens).mean(1))


def mlp() -> nn.Module:
    widths = (784, 1024, 512, 256, 128)
    hidden = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(128, 10))


def train_one_epoch(model: nn.Module, x: Tensor, y: Tensor, lr: float) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for rows in torch.split(torch.randperm(len(x)), 128):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


def pooled(t: Tensor) -> Tensor:
    return t.mean(1) if t.ndim == 3 else t


def four_times(t: Tensor) -> Tensor:
    return pooled(t).repeat(1, 4)


def check(model: nn.Module, data: tuple[Tensor, Tensor]) -> Records:
    found = measure(model, data, estimator="channel", view=pooled).select(quantity="I_XT")
    copies = measure(model, data, estimator="channel", view=four_times)
    for e in found.estimates[:-1]:
        assert "at_ceiling" not in e.flags, e
        assert e.nats >= 0.3, e
        assert copies.one(layer=e.layer, quantity="I_XT").nats == pytest.approx(e.nats, abs=0.1)
    assert len(found) >= 4
    return found


@pytest.mark.parametrize(
    ("build", "images", "lr"), [(mlp, 60_000, 1e-3), (Encoder, 4_000, 1e-4)], ids=["mlp", "encoder"]
)
def test_hidden_layers_are_informative_untrained_and_trained(
    build: type[nn.Module], images: int, lr: float, reference_data: Path
) -> None:
    data, model = load_mnist(reference_data), build()
    x, y = (part[:images] for part in data.train)
    held_out = (data.held_out[0][:2048], data.held_out[1][:2048])
    check(model, held_out)
    train_one_epoch(model, x, y, lr)
    check(model, held_out)

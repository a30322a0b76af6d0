"""Small LightningModules, Trainers that write to the working directory only, and what a fit leaves."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from helpers import batches, random_states
from ibprobe_lightning import IBProbeCallback
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ibprobe import IBProbe


class Lit(LightningModule):
    """Calls ``self.net``, and logs its loss in training and validation."""

    def __init__(self, net: nn.Module | None = None) -> None:
        super().__init__()
        self.net = net or nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
        )
        self.loss = nn.CrossEntropyLoss()

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = self.loss(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        self.log("val_loss", self.loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 0.01)


class LitForward(Lit):
    """Calls itself."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = nn.functional.cross_entropy(self(batch[0]), batch[1])
        self.log("loss", loss)
        return loss


def loader(shuffle: bool = True, n: int = 192) -> DataLoader[Any]:
    x, y = (torch.cat(part) for part in zip(*batches(n), strict=True))
    return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=shuffle)


def callback(**options: Any) -> IBProbeCallback:
    """Brackets only, no budget, nothing printed."""
    settings = {"estimator": "channel", "budget": None, "rows": 64, "every": 5, "report": False, "sinks": []}
    return IBProbeCallback(**(settings | options))


def trainer(*callbacks: Callback, **options: Any) -> Trainer:
    settings = {
        "max_epochs": 2, "accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False,
        "enable_model_summary": False, "enable_checkpointing": False, "log_every_n_steps": 4,
    }  # fmt: skip
    return Trainer(callbacks=list(callbacks), **(settings | options))


def probe_of(watching: IBProbeCallback) -> IBProbe:
    assert watching.probe is not None
    return watching.probe


def fit(watching: IBProbeCallback, model: LightningModule | None = None, *others: Callback, **options: Any) -> IBProbe:
    """24 steps with validation."""
    trainer(watching, *others, **options).fit(model or Lit(), loader(), loader(shuffle=False, n=32))
    return probe_of(watching)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.name == "ibprobe"]


def seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


def state(model: LightningModule, of: Trainer) -> dict[str, Any]:
    """What must be the same with and without a callback."""
    return {
        "model": {name: value.clone() for name, value in model.state_dict().items()},
        "optimizer": [optimizer.state_dict() for optimizer in of.optimizers],
        "gradients": [p.grad for p in model.parameters()],
        "training": [m.training for m in model.modules()],
        "metrics": dict(of.callback_metrics),
        "step": of.global_step,
        "random": random_states(),
    }

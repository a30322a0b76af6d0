"""The first promise: a run that is watched is, bit for bit, the run that is not."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from helpers import Sampling, batches, quiet_probe, random_states, same
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from ibprobe import IBProbe, measure
from ibprobe.capture.gathering import Gathering


class Loop:
    """A training run that uses whatever a probe could disturb: dropout, batch norm, sampling, Adam, shuffling."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        self.model = nn.Sequential(
            nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), Sampling(), nn.Linear(16, 2)
        )
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.01)
        x, y = (torch.cat(part) for part in zip(*batches(160), strict=True))
        own = torch.Generator().manual_seed(3)
        self.loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True, generator=own)

    def run(self, steps: int = 100) -> dict[str, Any]:
        """Train, and return everything that must not change."""
        done = 0
        while done < steps:
            for x, y in self.loader:
                scale = 1 + 0.01 * random.random() + 0.01 * np.random.rand()
                self.optimizer.zero_grad()
                self.loss(self.model(x * scale), y).backward()
                self.optimizer.step()
                done += 1
        return {
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "training": [m.training for m in self.model.modules()],
            "random": random_states(),
        }


def watched(steps: int = 100, probe_set: str = "", **options: Any) -> tuple[dict[str, Any], IBProbe]:
    loop = Loop()
    held = next(iter(batches(96, 96, seed=2)))
    if probe_set:
        options["probe_set"] = {
            "tensors": held,
            "shuffled loader": DataLoader(TensorDataset(*held), batch_size=32, shuffle=True),
            "training loader": loop.loader,
        }[probe_set]
    settings = {"every": 7, **options}
    with quiet_probe(loop.model, loss=loop.loss, optimizer=loop.optimizer, **settings) as probe:
        state = loop.run(steps)
    return state, probe


def drawing(t: torch.Tensor) -> torch.Tensor:
    """A view that draws from the global generator."""
    return t + torch.rand(1)


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "replay"},
        {"mode": "stream"},
        {"mode": "replay", "view": drawing},
        {"mode": "stream", "view": drawing},
        {"probe_set": "tensors"},
        {"probe_set": "shuffled loader"},
        {"probe_set": "training loader"},
        {"noise": "per_unit", "every": "log", "budget": 0.05},
    ],
    ids=lambda options: ", ".join(getattr(v, "__name__", str(v)) for v in options.values()),
)
def test_a_watched_run_ends_with_the_same_weights_optimizer_and_random_states(options: dict[str, Any]) -> None:
    plain = Loop().run()
    state, probe = watched(**options)
    assert len(probe.estimates.steps) >= 2
    assert same(state, plain)


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_critics_leave_the_run_as_it_is(mode: str) -> None:
    plain = Loop().run(steps=15)
    state, probe = watched(15, mode=mode, estimator="mine", layers=["0", "5"])
    assert probe.estimates.select(estimator="mine")
    assert same(state, plain)


def test_the_comparison_sees_a_probe_that_draws_one_global_random_number(monkeypatch: pytest.MonkeyPatch) -> None:
    take = Gathering.take

    def careless(self: Gathering) -> Any:
        torch.rand(1)
        return take(self)

    monkeypatch.setattr(Gathering, "take", careless)
    plain = Loop().run()
    state, _ = watched()
    assert not same(state, plain)
    assert not same(state["model"], plain["model"])
    assert not same(state["random"], plain["random"])


@pytest.mark.parametrize("key", ["model", "optimizer", "random"])
def test_the_comparison_sees_a_change_of_one_bit(key: str) -> None:
    plain, changed = Loop().run(10), Loop().run(10)
    assert same(plain, changed)
    tensor: Tensor = {
        "model": changed["model"]["0.weight"],
        "optimizer": changed["optimizer"]["state"][0]["exp_avg"],
        "random": changed["random"][0],
    }[key]
    tensor.view(torch.uint8).view(-1)[0] ^= 1
    assert not same(plain, changed)


def test_measuring_a_finished_model_leaves_it_and_all_random_states_as_they_are() -> None:
    loop = Loop()
    before = loop.run(10)
    before = {"model": {k: v.clone() for k, v in before["model"].items()}, "random": before["random"]}
    records = measure(loop.model, loop.loader, estimator="mine", layers=["5"])
    assert len(records)
    assert same(dict(loop.model.state_dict()), before["model"])
    assert same(random_states(), before["random"])
    assert all(m.training for m in loop.model.modules())

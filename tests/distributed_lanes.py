"""Ways to train in two processes, and what must be the same on each of them with and without a probe."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from helpers import batches, quiet_probe, random_states
from lanes import EVERY, STEPS, wait_for_workers
from ranks import in_ranks
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from ibprobe.capture.gathering import Gathering


def net() -> nn.Sequential:
    """Buffers that DDP sends around, and dropout."""
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


def data_parallel(model: nn.Sequential) -> nn.Module:
    return DistributedDataParallel(model)


def sharded(model: nn.Sequential) -> nn.Module:
    for part in (model[0], model[4]):
        fully_shard(part)
    fully_shard(model)
    return model


WAYS: dict[str, Callable[[nn.Sequential], nn.Module]] = {
    "DDP, two processes": data_parallel,
    "FSDP2, two processes": sharded,
}


def _whole(value: Any) -> Any:
    """This process's piece of what is sharded."""
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_whole(item) for item in value]
    return value.to_local().clone() if isinstance(value, DTensor) else value


def _trained(rank: int, way: str, options: dict[str, Any] | None, folder: str, careless: bool) -> dict[str, Any]:
    torch.manual_seed(0)
    model = net()
    called = WAYS[way](model)
    torch.manual_seed(rank)
    np.random.seed(rank)
    random.seed(rank)
    data, loss = batches(384, 16)[rank::2], nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(called.parameters(), 0.01)
    if careless:
        take = Gathering.take
        Gathering.take = lambda self: (torch.rand(1), take(self))[1]  # type: ignore[method-assign]

    def go() -> None:
        for step in range(STEPS):
            x, y = data[int(torch.randint(len(data), ()))]
            optimizer.zero_grad()
            loss(called(x), y).backward()
            optimizer.step()
            if step % EVERY == EVERY - 2:
                wait_for_workers()

    found: dict[str, Any] = {}
    if options is None:
        go()
    else:
        settings = {"every": EVERY, "rows": 64, "loss": loss, "optimizer": optimizer, "run_dir": folder, **options}
        with quiet_probe(called, **settings) as probe:
            go()
        records = probe.estimates
        found = {"steps": records.steps, "layers": records.layers, "events": [str(e) for e in records.events]}
    state = {
        "model": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "training": [m.training for m in called.modules()],
        "gradients": [p.grad for p in model.parameters()],
        "random": random_states(),
    }
    return {"state": _whole(state), **found}


def trained(way: str, options: dict[str, Any] | None = None, *, careless: bool = False) -> list[dict[str, Any]]:
    """A whole run in two processes: what each holds at its end, and what its probe has seen."""
    with tempfile.TemporaryDirectory() as folder:
        return in_ranks(_trained, way, options, str(Path(folder, "run")), careless)

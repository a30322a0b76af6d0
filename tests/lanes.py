"""Ways to train, each using what a probe could disturb; and what must be the same with and without one."""

from __future__ import annotations

import io
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from helpers import Sampling, batches, quiet_probe, random_states
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

from ibprobe import IBProbe

STEPS, HALF, EVERY = 24, 12, 5


def plain_net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Dropout(0.3), nn.Linear(16, 2))


def fused_net() -> nn.Module:
    """What a compiler fuses, keeping values between that no tensor holds."""
    blocks = (nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.GELU()) for _ in range(3))
    return nn.Sequential(nn.Linear(4, 16), nn.GELU(), *blocks, nn.Dropout(0.3), nn.Linear(16, 2))


def normalised_net() -> nn.Module:
    first = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 16))
    old = nn.utils.spectral_norm(nn.Linear(16, 16))
    return nn.Sequential(first, nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), old, nn.ReLU(), nn.Linear(16, 2))


def sampling_net() -> nn.Module:
    """Draws from torch's global generator in eval mode too."""
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), Sampling(), nn.Linear(16, 2))


class Checkpointed(nn.Module):
    """A block that is run again during backward, its last module included."""

    def __init__(self, *, reentrant: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 16), nn.ReLU())
        self.head, self.reentrant = nn.Linear(16, 2), reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = x.requires_grad_() if self.training else x
        return self.head(checkpoint(self.block, x, use_reentrant=self.reentrant))


class Merging(nn.Linear):
    """Writes to its weight when it is switched to eval mode, as layers with low-rank adapters do."""

    def train(self, mode: bool = True) -> Merging:
        if not mode:
            self.weight.data += 0.1
        return super().train(mode)


def merging_net() -> nn.Module:
    return nn.Sequential(Merging(4, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


@dataclass(frozen=True)
class Lane:
    """A way to train."""

    name: str
    net: Callable[[], nn.Module] = plain_net
    accumulate: int = 1
    autocast: bool = False
    backend: str = ""
    """To compile with, and into one graph."""
    ema: bool = False
    same_in_stream_mode: bool = True
    """Otherwise a warning says that it may not be."""
    resume: bool = False
    """Stop half-way, load a checkpoint into new objects, go on."""


LANES = [
    Lane("plain"),
    Lane("gradient accumulation", accumulate=2),
    Lane("bf16 autocast", autocast=True),
    Lane("checkpointing", lambda: Checkpointed(reentrant=False)),
    Lane("checkpointing, reentrant", lambda: Checkpointed(reentrant=True)),
    Lane("BatchNorm, dropout, spectral norm", normalised_net),
    Lane("sampling in eval mode", sampling_net),
    Lane("torch.compile, aot_eager", backend="aot_eager"),
    Lane("torch.compile, inductor", backend="inductor"),
    Lane("torch.compile, inductor, bf16", fused_net, autocast=True, backend="inductor", same_in_stream_mode=False),
    Lane("adapters that eval() merges", merging_net),
    Lane("averaged weights (EMA)", ema=True),
    Lane("stopped and resumed", resume=True),
]


def wait_for_workers() -> None:
    for thread in threading.enumerate():
        if thread.name == "ibprobe":
            thread.join(30)


@dataclass
class Training:
    """A run: all that it holds is in ``state``, and an optional probe watches it."""

    lane: Lane
    options: dict[str, Any] | None = None
    """Of the probe; None for none."""
    step: int = field(default=0, init=False)
    probe: IBProbe | None = field(default=None, init=False)
    data: list[tuple[Tensor, Tensor]] = field(default_factory=lambda: batches(384, 16), init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        self.model = self.lane.net()
        self.called: Any = self.model
        if self.lane.backend:
            torch.compiler.reset()
            self.called = torch.compile(self.model, backend=self.lane.backend, fullgraph=True)
        self.averaged = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(0.9)) if self.lane.ema else None
        self.loss = nn.CrossEntropyLoss()
        self.optimizer = torch.optim.Adam(self.model.parameters(), 0.01)
        if self.options is not None:
            settings = {"every": EVERY, "rows": 64, "loss": self.loss, "optimizer": self.optimizer, **self.options}
            # The user's own module: its root hook is then within what is compiled, which is the harder case.
            self.probe = quiet_probe(self.model, **settings)

    def go(self, steps: int) -> None:
        """Train for so many optimizer steps; the order of the data is drawn from the global generators."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            for _ in range(self.lane.accumulate):
                x, y = self.data[int(torch.randint(len(self.data), ()))]
                scale = 1 + 0.01 * random.random() + 0.01 * np.random.rand()
                with torch.autocast("cpu", torch.bfloat16, enabled=self.lane.autocast):
                    loss = self.loss(self.called(x * scale), y)
                loss.backward()
            self.optimizer.step()
            self.step += 1
            if self.step % EVERY == EVERY - 1:
                wait_for_workers()  # so that the next snapshot is not late; they were at work beside the steps before
            if self.averaged is not None:
                self.averaged.update_parameters(self.model)
                self.averaged.eval()(self.data[0][0])

    def watched(self, steps: int) -> None:
        """Train, within the probe's context if there is one."""
        if self.probe is None:
            self.go(steps)
            return
        with self.probe:
            self.go(steps)

    def checkpoint(self) -> bytes:
        """Everything, as a user would save it."""
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "probe": self.probe.state_dict() if self.probe is not None else {},
            "torch": torch.get_rng_state(),
        }
        file = io.BytesIO()
        torch.save(state, file)
        return file.getvalue()

    def load(self, saved: bytes, others: tuple[Any, ...]) -> None:
        """Go on from a checkpoint."""
        state = torch.load(io.BytesIO(saved), weights_only=True)
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.probe is not None:
            self.probe.load_state_dict(state["probe"])
        torch.set_rng_state(state["torch"])
        np.random.set_state(others[1])
        random.setstate(others[2])

    @property
    def state(self) -> dict[str, Any]:
        """What must be the same."""
        return {
            "model": dict(self.model.state_dict()),
            "averaged": dict(self.averaged.state_dict()) if self.averaged is not None else {},
            "optimizer": self.optimizer.state_dict(),
            "training": [m.training for m in self.model.modules()],
            "gradients": [p.grad for p in self.model.parameters()],
            "random": random_states(),
        }


def trained(lane: Lane, options: dict[str, Any] | None = None) -> Training:
    """A whole run; one that stops half-way does so without its last snapshot, as a killed one would."""
    run = Training(lane, options)
    if not lane.resume:
        run.watched(STEPS)
        return run
    if run.probe is not None:
        run.probe.attach()
    run.go(HALF)
    saved, others = run.checkpoint(), random_states()
    if run.probe is not None:
        run.go(3)  # steps that are lost, and what was recorded of them
        run.probe.detach(measure=False)
    later = Training(lane, options)
    later.load(saved, others)
    later.watched(STEPS - HALF)
    return later

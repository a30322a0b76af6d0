"""Nets whose activations are known, a quiet probe, and what a test compares before and after."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ibprobe import Estimate, Event, IBProbe

NEEDS_CUDA = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


class MemorySink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.estimates: list[Estimate] = []
        self.events: list[Event] = []
        self.ticks = 0
        self.summaries: list[str] = []

    def open(self, meta: Mapping[str, Any]) -> None:
        self.meta = meta

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        self.estimates += estimates
        self.events += events

    def tick(self) -> None:
        self.ticks += 1

    def close(self, summary: str) -> None:
        self.summaries.append(summary)


def quiet_probe(model: nn.Module, layers: Any = "auto", **options: Any) -> IBProbe:
    """A probe with brackets only, no budget and nothing printed."""
    settings = {"estimator": "channel", "budget": None, "sinks": [], "rows": 64, **options}
    return IBProbe(model, layers, **settings)


def small_net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def identity_linear(d: int) -> nn.Linear:
    """A layer that hands its input on."""
    layer = nn.Linear(d, d)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(d))
        layer.bias.zero_()
    return layer


def compiled(model: nn.Module) -> Any:
    """A compiled model that shares no graph with an earlier one: torch would run that one's, hooks and all."""
    torch.compiler.reset()
    return torch.compile(model, backend="eager")


class Sampling(nn.Module):
    """Hands its input on with noise from torch's global generator, in eval mode too."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x + 0.1 * torch.randn(x.shape), 0.2, training=True)


def batches(n: int = 128, size: int = 32, d: int = 4, seed: int = 1) -> list[tuple[Tensor, Tensor]]:
    """Distinct inputs, and labels that say whether the first column is positive."""
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    y = (x[:, 0] > 0).long()
    return list(zip(x.split(size), y.split(size), strict=True))


def train(
    model: nn.Module,
    data: Iterable[tuple[Tensor, Tensor]],
    loss: nn.Module,
    optimizer: torch.optim.Optimizer,
    epochs: int = 1,
) -> None:
    """A plain training loop, without a line for the probe."""
    data = list(data)
    for _ in range(epochs):
        for x, y in data:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()


def hook_tables(*modules: nn.Module | None, optimizer: torch.optim.Optimizer | None = None) -> list[list[Any]]:
    """Every hook that is registered anywhere, to compare before and after."""
    kinds = [k for k in vars(nn.Module()) if k.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called"))]
    tables = [list(getattr(m, k).values()) for module in modules if module for m in module.modules() for k in kinds]
    if optimizer is not None:
        tables += [list(optimizer._optimizer_step_post_hooks.values())]
        tables += [list(optimizer._optimizer_step_pre_hooks.values())]
    return tables


def same(a: Any, b: Any) -> bool:
    """Bit-identity of nested states: tensors, arrays, mappings, sequences and plain values."""
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, Mapping):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def random_states() -> tuple[Any, ...]:
    """All global generators."""
    return torch.get_rng_state(), np.random.get_state(), random.getstate()


def unchecked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Without the type checks that only tests have: what a user meets who passes something of another type."""
    return inspect.unwrap(function)


class Setup:
    """A net, a criterion and an optimizer, each with hooks of the user's own."""

    def __init__(self, model: nn.Module | None = None) -> None:
        self.model, self.loss = model or small_net(), nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.model.register_forward_hook(lambda *_: None)
        self.model.register_forward_pre_hook(lambda *_: None, with_kwargs=True)
        self.loss.register_forward_pre_hook(lambda *_: None)
        self.optimizer.register_step_post_hook(lambda *_: None)
        self.before = self.hooks()

    def hooks(self) -> list[list[Any]]:
        return hook_tables(self.model, self.loss, optimizer=self.optimizer)

    def probe(self, **options: Any) -> IBProbe:
        return quiet_probe(self.model, loss=self.loss, optimizer=self.optimizer, **options)

    def train(self, **options: Any) -> None:
        train(self.model, batches(**options), self.loss, self.optimizer)

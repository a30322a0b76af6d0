"""What a scene of the gallery gives, and the few things that several scenes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ibprobe import Estimate, estimate_channel


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture, and the numbers in it that the page quotes."""

    spec: dict[str, Any]
    """Vega-Lite, without its colours."""
    facts: dict[str, float]
    """By a name that says what each is; nats, or what the name says."""


def generator(seed: int) -> torch.Generator:
    """Random numbers of a scene's own."""
    return torch.Generator().manual_seed(seed)


def inputs(n: int, seed: int = 0, columns: int = 20) -> Tensor:
    """Standard normal rows."""
    return torch.randn(n, columns, generator=generator(seed))


def layer() -> nn.Sequential:
    """Twelve tanh units that look at twenty inputs, not trained."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 12), nn.Tanh())


@torch.no_grad()
def activations(n: int) -> Tensor:
    """What that layer makes of the first ``n`` inputs."""
    made: Tensor = layer()(inputs(4096))[:n]
    return made


def bracket(t: Tensor, **options: Any) -> Estimate:
    """I(X;T̃) of the rows."""
    found = estimate_channel(t, **options)
    assert isinstance(found, Estimate)
    return found

"""What training runs its forward passes under, so that a replay shows the same activations and needs no more memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from ibprobe.capture.autocast import autocast_here
from ibprobe.capture.rows import row_count

UNSEEN_ROWS = 64
"""Rows of a replayed forward while no training forward was seen."""


@dataclass(slots=True)
class Conditions:
    """What was seen of training's forwards. Before the first one: float32, and few rows at a time."""

    largest: int = 0
    """Rows of the largest one."""
    autocast: dict[str, str] = field(default_factory=dict)
    """Device types with autocast in the last one, each with its dtype."""

    @property
    def chunk(self) -> int:
        """Rows that fit into memory at a time, as training has shown."""
        return self.largest or UNSEEN_ROWS

    def see(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A training forward is about to run, in the context that it will run in."""
        self.largest = max(self.largest, row_count(args, kwargs))
        self.autocast = autocast_here()

    @contextmanager
    def reproduced(self, device: torch.device) -> Iterator[None]:
        """Autocast as training has it, and whatever the caller has it.

        Nothing is taken from the cache of cast weights or left in it: training's own casts carry gradients.
        """
        with ExitStack() as stack:
            for kind in _kinds(device):
                name = self.autocast.get(kind)
                dtype = None if name is None else getattr(torch, name)
                stack.enter_context(torch.autocast(kind, dtype, enabled=name is not None, cache_enabled=False))
            yield

    def state_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"largest": self.largest, "autocast": dict(self.autocast)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what :meth:`state_dict` gave."""
        self.largest, self.autocast = int(state["largest"]), dict(state["autocast"])


def _kinds(device: torch.device) -> list[str]:
    return [kind for kind in dict.fromkeys(("cpu", device.type)) if torch.amp.is_autocast_available(kind)]

"""Which of the processes that train together this one is."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Ranks:
    """A process among its peers, as ``torch.distributed`` counts them."""

    rank: int = 0
    size: int = 1

    @classmethod
    def here(cls) -> Ranks:
        """This process: as the process group says, else as ``torchrun`` has told its processes before there is one."""
        if joined():
            return cls(torch.distributed.get_rank(), torch.distributed.get_world_size())
        rank, size = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
        return cls(int(rank), int(size)) if rank.isdecimal() and size.isdecimal() and rank != size else cls()

    @property
    def alone(self) -> bool:
        """Whether there are no others."""
        return self.size == 1

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size}"


def joined() -> bool:
    """Whether there is a process group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()

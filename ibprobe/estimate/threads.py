"""One thread for small work: on busy cores, threads that wait for each other cost ten times what they save."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 2**30
"""A kernel with fewer multiplications than this is not worth a second thread."""


@contextmanager
def one_thread(when: bool = True) -> Iterator[None]:
    """Run torch's CPU operations on the calling thread alone, and leave the setting as it was found."""
    before = torch.get_num_threads()
    # The setting is also the default of threads to come: a worker that has one already must not touch it.
    change = when and before > 1
    if change:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if change:
            torch.set_num_threads(before)

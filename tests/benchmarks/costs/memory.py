"""Peak memory of a piece of work, beyond what was there before it."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Megabytes, NaN where the system does not tell."""

    mb: float = float("nan")


@contextmanager
def peak(device: str) -> Iterator[Peak]:
    """Watch the resident set, or the device's own memory."""
    found = Peak()
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield found
        found.mb = (torch.cuda.max_memory_allocated() - before) / 2**20
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free but still held would hide what is taken again
    with suppress(OSError):
        _CLEAR.write_text("5")  # the kernel forgets the highest mark
    start = _kilobytes("VmRSS")
    yield found
    found.mb = (_kilobytes("VmHWM") - start) / 1024


def _kilobytes(field: str) -> float:
    try:
        lines = _STATUS.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((float(line.split()[1]) for line in lines if line.startswith(field)), float("nan"))

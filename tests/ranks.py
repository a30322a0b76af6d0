"""Processes that train together: forked, so that nothing is imported anew; killed when they take too long."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

# What the processes would each import when they begin, which takes seconds.
import torch._dynamo
import torch.distributed.fsdp
import torch.distributed.tensor

SIZE = 2
TIMEOUT = 60.0
"""Seconds until all are killed, which fails the test."""


def in_ranks(work: Callable[..., Any], *args: Any, fails: Sequence[int] = ()) -> list[Any]:
    """Call ``work(rank, *args)`` in each of two processes of a gloo group.

    Args:
        work: returns what ``torch.save`` can hold.
        *args: the same for each.
        fails: ranks that may end as they like.

    Returns:
        What each returned; None of one that did not.
    """
    with tempfile.TemporaryDirectory() as folder:
        fork = multiprocessing.get_context("fork")
        members = [fork.Process(target=_member, args=(rank, folder, work, args)) for rank in range(SIZE)]
        for member in members:
            member.start()
        end = time.monotonic() + TIMEOUT
        try:
            for member in members:
                member.join(max(end - time.monotonic(), 0.0))
            late = [rank for rank, member in enumerate(members) if member.is_alive()]
            assert not late, f"ranks {late} are not done after {TIMEOUT:g} s; {_said(folder)}"
        finally:
            for member in members:
                member.kill()
                member.join()
        wrong = [rank for rank, member in enumerate(members) if member.exitcode and rank not in fails]
        assert not wrong, f"ranks {wrong} failed; {_said(folder)}"
        found = [Path(folder, f"{rank}.pt") for rank in range(SIZE)]
        return [torch.load(file, weights_only=False) if file.is_file() else None for file in found]


def _said(folder: str) -> str:
    return "\n".join(file.read_text() for file in sorted(Path(folder).glob("*.txt"))) or "nothing was said"


def _member(rank: int, folder: str, work: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.manual_seed(0)
    try:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=SIZE)
        torch.distributed.barrier()  # nobody leaves while others are still connecting
        torch.save(work(rank, *args), Path(folder, f"{rank}.part"))
        Path(folder, f"{rank}.part").rename(Path(folder, f"{rank}.pt"))
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    except BaseException:
        Path(folder, f"{rank}.txt").write_text(f"rank {rank}: {traceback.format_exc()}")
        os._exit(1)
    os._exit(0)

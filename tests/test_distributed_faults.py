"""Processes that die, end early or talk to each other in the midst of a forward pass: nothing hangs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import batches, quiet_probe, train
from ranks import in_ranks
from torch import Tensor, nn
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel

from ibprobe import load_run

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch about itself


class Talking(nn.Module):
    """Hands on what all processes have on average, as contrastive losses do."""

    def forward(self, x: Tensor) -> Tensor:
        total = x.detach().clone()
        torch.distributed.all_reduce(total)
        return x + 0 * total


def parts(folder: Path, *more: nn.Module, **options: Any) -> tuple[Any, ...]:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), *more, nn.ReLU(), nn.Linear(8, 2))
    called, loss = DistributedDataParallel(model), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(called.parameters(), 0.1)
    given = {"every": 4, "run_dir": folder / "run", "loss": loss, "optimizer": optimizer, **options}
    return called, loss, optimizer, quiet_probe(called, **given)


def talking(rank: int, folder: Path) -> list[str]:
    called, loss, optimizer, probe = parts(folder, Talking())
    with probe:
        train(called, batches(256, 16)[rank::2], loss, optimizer)
    return [e.why for e in probe.estimates.events if e.kind == "disarmed"]


def test_a_model_whose_forward_pass_waits_for_others_is_not_run_alone(tmp_path: Path) -> None:
    (told,), silent = in_ranks(talking, tmp_path)
    assert "it waits for other processes (c10d.allreduce_.default), and this one runs it alone" in told
    assert told.endswith("mode='stream' copies rows from training forwards instead")
    assert not silent


class Nested(nn.Module):
    """Only a part of it is data-parallel, with buffers that every forward pass sends around."""

    def __init__(self) -> None:
        super().__init__()
        self.body = DistributedDataParallel(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU()))
        self.head = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def nested(rank: int, folder: Path) -> list[str]:
    model, loss = Nested(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, loss=loss, optimizer=optimizer, every=4, run_dir=folder / "run") as probe:
        train(model, batches(256, 16)[rank::2], loss, optimizer)
    return probe.estimates.layers


def test_a_part_that_is_data_parallel_is_run_alone_under_the_user_s_name(tmp_path: Path) -> None:
    assert in_ranks(nested, tmp_path) == [["body.2", "head"], []]


def uneven(rank: int, folder: Path, short: int, distribute: str) -> list[int]:
    called, loss, optimizer, probe = parts(folder, distribute=distribute)
    with probe, Join([called]):
        train(called, batches(256, 16)[: 8 if rank == short else 16], loss, optimizer)
    return probe.estimates.steps


@pytest.mark.parametrize("distribute", ["auto", "layers"])
@pytest.mark.parametrize("short", [0, 1])
def test_processes_that_run_out_of_data_first_are_not_waited_for(
    short: int, distribute: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ibprobe.runtime.team._MOMENT", 1.0)
    found = in_ranks(uneven, tmp_path, short, distribute)
    last = [8 if rank == short else 16 for rank in (0, 1)]
    assert found[0][-1] == last[0]
    assert [steps[-1] for steps in found] == last if distribute == "layers" else not found[1]


def dying(rank: int, folder: Path, distribute: str) -> None:
    called, loss, optimizer, probe = parts(folder, distribute=distribute)
    with probe:
        train(called, batches(256, 16)[rank::2], loss, optimizer)
        if rank:
            os.kill(os.getpid(), signal.SIGKILL)
        train(called, batches(256, 16)[rank::2], loss, optimizer)


@pytest.mark.parametrize("distribute", ["auto", "layers"])
def test_a_process_that_is_killed_leaves_torch_s_own_error_and_a_readable_run(distribute: str, tmp_path: Path) -> None:
    with pytest.raises(
        AssertionError, match=r"(?s)ranks \[0\] failed; .*(Connection closed by peer|Connection reset)"
    ) as e:
        in_ranks(dying, tmp_path, distribute, fails=[1])
    assert "ibprobe" not in str(e.value).splitlines()[-2]
    records = load_run(tmp_path / "run")
    assert records.steps[:2] == [4, 8]
    assert {e.rank for e in records} == ({0, 1} if distribute == "layers" else {0})


PROGRAM = """
import os, signal, sys, torch
from torch import nn
from ibprobe import IBProbe
from torch.distributed.fsdp import fully_shard

torch.distributed.init_process_group("gloo")
rank = torch.distributed.get_rank()
open(os.path.join(sys.argv[1], f"{rank}.pid"), "w").write(str(os.getpid()))
model, loss = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), nn.CrossEntropyLoss()
fully_shard(model)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
settings = {"every": 4, "rows": 64, "estimator": "channel", "budget": None, "sinks": []}
with IBProbe(model, loss=loss, optimizer=optimizer, run_dir=sys.argv[1] + "/run", **settings):
    for step in range(10_000):
        x = torch.randn(16, 4)
        optimizer.zero_grad()
        loss(model(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
        if step == 20 and rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_under_torchrun_a_killed_process_leaves_no_orphan(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    told = subprocess.run(
        [*command, str(tmp_path / "program.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode
    assert "Signal 9 (SIGKILL)" in told.stderr
    time.sleep(1)
    for rank in (0, 1):
        assert not Path("/proc", (tmp_path / f"{rank}.pid").read_text()).exists()
    assert load_run(tmp_path / "run").steps[:3] == [4, 8, 12]

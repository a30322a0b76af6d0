"""Several processes, data-parallel: the first one measures, the others rest."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import batches, quiet_probe, train
from ranks import in_ranks
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ibprobe import IBProbe, load_run

# What torch itself says of DDP on a CPU.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def share(rank: int, size: int = 2, **options: Any) -> list[Any]:
    """The batches of one process."""
    return batches(256, 16, **options)[rank::size]


def watched(rank: int, given: str, folder: Path, **options: Any) -> tuple[IBProbe, nn.Module]:
    """A run with a probe that is given the wrapper or what is in it."""
    inner = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    model, loss = DistributedDataParallel(inner), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    seen = model if given == "wrapper" else inner
    probe = quiet_probe(seen, loss=loss, optimizer=optimizer, every=4, run_dir=folder / "run", **options)
    with probe:
        train(model, share(rank), loss, optimizer, epochs=2)
        probe.log(loss=1.0)
        measured = probe.measure()
        assert bool(len(measured)) == (rank == 0)
    return probe, inner


def rank_0_alone(rank: int, given: str, folder: Path) -> dict[str, Any]:
    probe, inner = watched(rank, given, folder)
    return {
        "estimates": [e.to_dict() for e in probe.estimates],
        "doctor": str(probe.doctor()).splitlines()[0],
        "state": sorted(probe.state_dict()),
        "hooks": sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in inner.modules()),
        "files": sorted(path.name for path in folder.rglob("*") if path.is_file()),
        "report": str(probe.report(folder / "report.html")) if rank else "",
    }


HELD: list[nn.Module] = []
"""Until the process ends: torch may hang where a wrapper is let go of after its group."""


def threads_that_a_group_leaves(rank: int, folder: Path, held: bool) -> list[str]:
    probe, inner = watched(rank, "wrapper", folder)
    if held:
        HELD.append(DistributedDataParallel(inner))
    torch.distributed.destroy_process_group()
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    assert probe.estimates or rank
    return [name for name in names if "gloo" in name]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads have no names here")
def test_a_probe_does_not_keep_the_threads_of_a_group_that_is_destroyed(tmp_path: Path) -> None:
    assert in_ranks(threads_that_a_group_leaves, tmp_path / "let_go", False) == [[], []]
    # A wrapper that is still held does: the test can fail.
    assert all(in_ranks(threads_that_a_group_leaves, tmp_path / "held", True))


@pytest.mark.parametrize("given", ["wrapper", "module"])
def test_the_first_process_measures_and_the_others_rest(given: str, tmp_path: Path) -> None:
    first, second = in_ranks(rank_0_alone, given, tmp_path)
    assert {e["layer"] for e in first["estimates"]} == {"2", "3"}
    assert {e["rank"] for e in first["estimates"]} == {0}
    assert not second["estimates"]
    assert not second["state"]
    assert second["doctor"] == "ibprobe: at rest: this is rank 1 of 2, and rank 0 measures"
    records = load_run(tmp_path / "run")
    assert records.meta["ranks"] == 2
    assert len(records) == len(first["estimates"])
    assert not (tmp_path / "report.html").exists()

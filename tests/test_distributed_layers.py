"""Layers dealt to processes: each measures some, on its own rows, and the run reads as one."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import MemorySink, batches, quiet_probe, train
from ranks import in_ranks
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ibprobe import BadInput, IBProbe, load_run

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch about itself

LAYERS = ["0", "1", "2", "3", "4"]


def probed(folder: Path, **options: Any) -> tuple[IBProbe, Any]:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))
    called, loss = DistributedDataParallel(model), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(called.parameters(), 0.1)
    given = {"loss": loss, "optimizer": optimizer, "every": 8, "run_dir": folder / "run", "distribute": "layers"}
    probe = quiet_probe(called, LAYERS, **(given | options))
    return probe, lambda rank: train(called, batches(256, 16)[rank::2], loss, optimizer)


def both_measure(rank: int, folder: Path, options: dict[str, Any]) -> list[str]:
    probe, train_on = probed(folder, **options)
    with probe:
        train_on(rank)
        train_on(rank)
        probe.log(loss=float(rank))
    return [str(e) for e in probe.estimates]


def telling(rank: int, folder: Path, distribute: str) -> int:
    sink = MemorySink()
    probe, train_on = probed(folder, sinks=[sink], distribute=distribute)
    with probe:
        train_on(rank)
    return len(sink.estimates) + len(sink.summaries)


@pytest.mark.parametrize("distribute", ["auto", "layers"])
def test_only_the_first_process_has_sinks(distribute: str, tmp_path: Path) -> None:
    first, second = in_ranks(telling, tmp_path, distribute)
    assert first > 1
    assert not second


def test_each_process_measures_its_layers_and_the_run_reads_as_one(tmp_path: Path) -> None:
    x, y = torch.randn(128, 4), torch.randint(2, (128,))
    own = in_ranks(both_measure, tmp_path, {"probe_set": (x, y)})
    records = load_run(tmp_path / "run")
    assert sorted(map(str, records)) == sorted(own[0] + own[1])
    assert records.steps == [0, 8, 16]
    assert records.layers == LAYERS
    assert [e.step for e in records] == sorted(e.step for e in records)
    assert {e.layer: e.rank for e in records} == {"0": 0, "1": 1, "2": 0, "3": 1, "4": 0}
    assert [dict(entry.values) for entry in records.logged] == [{"loss": 0.0}]
    assert not [e for e in records.events if e.kind == "note"]
    costs = [e.why for e in records.events if e.kind == "cost"]
    assert costs[0].startswith("rank 1: measured")
    assert costs[1].startswith("measured")


def test_values_are_those_of_one_process_that_measures_all(tmp_path: Path) -> None:
    data = (torch.randn(128, 4), torch.randint(2, (128,)))
    in_ranks(both_measure, tmp_path / "dealt", {"probe_set": data})
    in_ranks(both_measure, tmp_path / "one", {"probe_set": data, "distribute": "auto"})
    dealt, one = (load_run(tmp_path / name / "run") for name in ("dealt", "one"))
    assert [(e.step, e.layer, e.quantity, e.nats) for e in dealt] == [
        (e.step, e.layer, e.quantity, e.nats) for e in one
    ]


def test_rows_are_each_process_s_own_without_a_probe_set(tmp_path: Path) -> None:
    in_ranks(both_measure, tmp_path / "dealt", {})
    in_ranks(both_measure, tmp_path / "one", {"distribute": "auto"})
    dealt, one = (load_run(tmp_path / name / "run").select(step=8, quantity="I_XT") for name in ("dealt", "one"))
    same = {a.layer: a.nats == b.nats for a, b in zip(dealt, one, strict=True)}
    assert same == {"0": True, "1": False, "2": True, "3": False, "4": True}


def test_a_missing_and_a_torn_file_are_said_and_the_rest_is_read(tmp_path: Path) -> None:
    in_ranks(both_measure, tmp_path, {"probe_set": torch.randn(64, 4)})
    file = tmp_path / "run" / "records.rank1.jsonl"
    whole = load_run(tmp_path / "run")
    file.write_bytes(file.read_bytes()[:-25])
    torn = load_run(tmp_path / "run")
    assert len(torn) == len(whole) - 1
    assert torn.events[-1].why == "the last line of records.rank1.jsonl is torn and was left out"
    file.unlink()
    rest = load_run(tmp_path / "run")
    assert rest.layers == ["0", "2", "4"]
    assert rest.events[-1].why == "records.rank1.jsonl is missing: rank 1 of 2 measured 1, 3"


def resuming(rank: int, folder: Path, own_state: bool) -> list[dict[str, Any]]:
    first, train_on = probed(folder)
    first.attach()
    train_on(rank)
    states: list[Any] = [None, None]
    torch.distributed.all_gather_object(states, first.state_dict())
    train_on(rank)  # steps that are lost
    first.detach(measure=False)
    later, train_on = probed(folder)
    later.load_state_dict(states[rank if own_state else 0])
    with later:
        train_on(rank)
    return [e.to_dict() for e in later.estimates]


@pytest.mark.parametrize("own_state", [True, False])
def test_a_resumed_run_goes_on_in_every_file(own_state: bool, tmp_path: Path) -> None:
    in_ranks(resuming, tmp_path, own_state)
    records = load_run(tmp_path / "run")
    assert records.steps == [4, 8, 16]
    for step in records.steps:
        assert len(records.select(step=step, quantity="I_XT")) == len(LAYERS)
    assert records.layers == LAYERS
    anew = [e for e in records.events if "no state of its own" in e.why]
    assert len(anew) == (not own_state)


def more_ranks_than_layers(rank: int, folder: Path) -> list[str]:
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    given = {
        "view": {"2": "flatten"},
        "distribute": "layers",
        "run_dir": folder / "run",
        "probe_set": torch.randn(64, 4),
    }
    with quiet_probe(model, ["2"], **given) as probe:
        probe.measure()
    return [str(e) for e in probe.estimates.events if e.kind == "disarmed"]


def test_a_process_without_a_layer_has_an_empty_file(tmp_path: Path) -> None:
    assert in_ranks(more_ranks_than_layers, tmp_path) == [[], []]
    assert load_run(tmp_path / "run").layers == ["2"]
    assert not (tmp_path / "run" / "records.rank1.jsonl").read_text()


def formed_later(rank: int, folder: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.distributed, "is_initialized", lambda: False)
        probe = quiet_probe(nn.Linear(4, 2), run_dir=folder)
    with pytest.raises(BadInput) as error:
        probe.attach()
    return str(error.value)


def test_a_group_that_forms_after_the_probe_was_made_is_said(tmp_path: Path) -> None:
    for rank, said in enumerate(in_ranks(formed_later, tmp_path)):
        assert said.startswith(f"the probe was made when this was rank 0 of 1, and now it is rank {rank} of 2")


def before_there_is_a_group(rank: int, folder: Path) -> str:
    torch.distributed.destroy_process_group()
    os.environ.update(RANK=str(rank), WORLD_SIZE="2")  # of this process only
    with pytest.raises(BadInput) as error:
        quiet_probe(nn.Linear(4, 2), distribute="layers", run_dir=folder)
    return str(error.value)


def test_a_probe_that_is_made_too_early_says_so(tmp_path: Path) -> None:
    for said in in_ranks(before_there_is_a_group, tmp_path):
        assert said.endswith("make the probe after torch.distributed.init_process_group()")

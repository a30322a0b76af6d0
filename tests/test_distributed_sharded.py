"""A model that is sharded (FSDP2): all processes replay together, the first one estimates."""

from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_lanes import sharded
from helpers import batches, identity_linear, quiet_probe, same, train
from ranks import in_ranks
from torch import Tensor, nn

from ibprobe import BadInput, IBProbe, load_run, measure

pytestmark = pytest.mark.slow


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2))


class Run:
    """A sharded model, its optimizer and its probe, on one process."""

    def __init__(self, rank: int, folder: Path | None, model: nn.Sequential | None = None, **options: Any) -> None:
        torch.manual_seed(0)
        self.model, self.loss = sharded(model or net()), nn.CrossEntropyLoss()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.data = batches(384, 16)[rank::2]
        torch.manual_seed(rank)
        given = {"loss": self.loss, "optimizer": self.optimizer, "every": 4, **options}
        self.probe = None if folder is None else quiet_probe(self.model, run_dir=folder / "run", **given)

    def train(self) -> None:
        train(self.model, self.data, self.loss, self.optimizer)

    @property
    def weights(self) -> list[Tensor]:
        """This process's pieces."""
        return [p.to_local().detach().clone() for p in self.model.parameters()]

    @property
    def events(self) -> list[str]:
        assert self.probe is not None
        return [e.why for e in self.probe.estimates.events if e.kind == "disarmed"]


def at_step_0(rank: int, folder: Path, data: Any) -> list[str]:
    run = Run(rank, folder, probe_set=data, estimator="channel")
    assert run.probe is not None
    with run.probe:
        run.train()
    return [str(e) for e in run.probe.estimates.select(step=0)]


def test_values_are_those_of_the_same_model_in_one_piece(tmp_path: Path) -> None:
    data = (torch.randn(128, 4), torch.randint(2, (128,)))
    first, second = in_ranks(at_step_0, tmp_path, data)
    torch.manual_seed(0)
    whole = measure(net(), data, rows=64, estimator="channel")
    assert first == [str(e) for e in whole]
    assert not second
    assert load_run(tmp_path / "run").meta["distribute"] == "together"


def finished(rank: int, data: Any) -> list[str]:
    return [str(e) for e in measure(sharded(net()), data, rows=64, estimator="channel")]


def test_a_finished_model_is_measured_by_all_at_once(tmp_path: Path) -> None:
    data = (torch.randn(128, 4), torch.randint(2, (128,)))
    first, second = in_ranks(finished, data)
    torch.manual_seed(0)
    assert first == second == [str(e) for e in measure(net(), data, rows=64, estimator="channel")]


def written_to(rank: int, folder: Path | None) -> list[Tensor]:
    """Weights are changed by hand after the optimizer's step, as by clipping, before the next forward pass."""
    run = Run(rank, folder)

    def go() -> None:
        for x, y in run.data:
            run.optimizer.zero_grad()
            run.loss(run.model(x), y).backward()
            run.optimizer.step()
            with torch.no_grad():
                for p in run.model.parameters():
                    p.mul_(0.9)

    if run.probe is None:
        go()
    else:
        with run.probe:
            go()
    return run.weights


def test_whole_weights_of_a_replay_are_not_those_of_the_next_step(tmp_path: Path) -> None:
    assert same(in_ranks(written_to, tmp_path), in_ranks(written_to, None))


class Fails(nn.Module):
    """In eval mode."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            raise ValueError("only in training")
        return x


def failing(rank: int, folder: Path | None, how: str) -> tuple[list[Tensor], list[str]]:
    model = net()
    model[3] = Fails() if how == "model" else nn.Identity()
    run = Run(rank, folder, model)
    if run.probe is None:
        run.train()
        return run.weights, []
    with run.probe:
        run.train()
    return run.weights, run.events


def broken(*_: Any) -> None:
    raise ZeroDivisionError("no room for rows")


@pytest.mark.parametrize(("how", "why"), [("model", "only in training"), ("first process", "no room for rows")])
def test_what_fails_in_a_replay_disarms_the_probe_and_training_goes_on(
    how: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "first process":  # within a forward pass that the other one is in, too
        monkeypatch.setattr("ibprobe.capture.recorder.Recorder._copy", broken)
    plain = in_ranks(failing, None, how)
    (first, told), (second, silent) = in_ranks(failing, tmp_path, how)
    assert why in told[0]
    assert not silent
    assert same([first, second], [weights for weights, _ in plain])


def leaving(rank: int, folder: Path) -> list[str]:
    run = Run(rank, folder)
    assert run.probe is not None
    run.probe.attach()
    run.train()
    if rank:
        run.probe.detach(measure=False)
    run.train()
    run.probe.detach()
    return run.events


def test_a_probe_that_leaves_early_ends_the_measuring_and_not_the_training(tmp_path: Path) -> None:
    first, second = in_ranks(leaving, tmp_path)
    assert "rank 1 has left the run" in first[0]
    assert not second
    assert load_run(tmp_path / "run").steps == [4, 8, 12]


def on_one_only(rank: int, folder: Path) -> list[str]:
    run = Run(rank, None if rank else folder)
    if run.probe is None:
        run.train()
        return []
    with run.probe:
        run.train()
    return run.events


def test_a_probe_on_the_first_process_only_gives_up_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ibprobe.runtime.together.PATIENCE", 1.0)
    first, _ = in_ranks(on_one_only, tmp_path)
    assert first == [
        "ReplayFailed: a sharded model is replayed by all processes together, and rank 1 did not come for 1 s: attach, "
        "detach and measure() on every rank"
    ]


def resuming(rank: int, folder: Path, everybody: bool) -> tuple[list[int], list[str]]:
    first = Run(rank, folder)
    assert first.probe is not None
    first.probe.attach()
    first.train()
    states: list[Any] = [None, None]
    torch.distributed.all_gather_object(states, first.probe.state_dict())
    first.probe.detach(measure=False)
    later = Run(rank, folder)
    assert later.probe is not None
    if everybody or rank == 0:
        later.probe.load_state_dict(states[0])
    with later.probe:
        later.train()
    return later.probe.estimates.steps, later.events


@pytest.mark.parametrize("everybody", [True, False])
def test_a_resumed_run_goes_on_where_the_first_process_was(everybody: bool, tmp_path: Path) -> None:
    (steps, told), (_, silent) = in_ranks(resuming, tmp_path, everybody)
    assert steps == [4, 8, 12, 16, 20, 24]
    assert not told
    assert not silent


def every_method(rank: int, folder: Path) -> str:
    run = Run(rank, folder)
    probe = run.probe
    assert probe is not None
    told = str(probe.doctor())
    with probe:
        run.train()
        probe.log(loss=0.5)
        assert bool(len(probe.measure())) == (rank == 0)
        probe.load_state_dict({})
        assert bool(probe.state_dict()) == (rank == 0)
    probe.doctor()
    assert bool(len(probe.estimates)) == (rank == 0)
    return f"{probe.run_dir}; {told}"


def test_every_method_can_be_called_on_every_process(tmp_path: Path) -> None:
    for said in in_ranks(every_method, tmp_path):
        assert said.startswith(f"{tmp_path / 'run'}; ibprobe: not attached")


def refused(rank: int) -> list[str]:
    from torch.distributed.fsdp import FullyShardedDataParallel

    # It cannot be made on a machine without an accelerator; this is what a probe looks at.
    older = FullyShardedDataParallel.__new__(FullyShardedDataParallel)
    nn.Module.__init__(older)
    older._fsdp_wrapped_module, older.training_state = net(), None
    said = []
    for model, options in ((sharded(net()), {"distribute": "layers"}), (older, {})):
        with pytest.raises(BadInput) as error:
            IBProbe(model, **options)
        said.append(str(error.value))
    return said


def test_what_no_process_can_do_is_refused() -> None:
    for layers, older in in_ranks(refused):
        assert layers.startswith("a sharded model is run by all processes at once")
        assert older.startswith("FullyShardedDataParallel is replayed by no process")


def too_early(rank: int, folder: Path) -> list[str]:
    model, loss = net(), nn.CrossEntropyLoss()
    probe = quiet_probe(model, loss=loss, every=4, run_dir=folder / "run")
    sharded(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with probe:
        for batch in batches(256, 16)[rank::2]:
            train(model, [batch], loss, optimizer)
            probe.step()
    return [e.why for e in probe.estimates.events if e.kind == "disarmed"]


def test_a_model_that_is_sharded_after_the_probe_was_made_is_not_run_alone(tmp_path: Path) -> None:
    (told,), _ = in_ranks(too_early, tmp_path)
    assert "make the probe of the sharded model" in told


def mixed(rank: int, folder: Path) -> list[str]:
    """Activations come in the precision that the model computes in."""
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    model = nn.Sequential(identity_linear(4), nn.ReLU(), nn.Linear(4, 2))
    fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
    with quiet_probe(model, probe_set=torch.randn(64, 4), run_dir=folder / "run") as probe:
        probe.measure()
    return [f"{s.layer} {s.dtype}" for s in probe.doctor().layers]


def test_mixed_precision_is_that_of_training(tmp_path: Path) -> None:
    first, _ = in_ranks(mixed, tmp_path)
    assert first == ["1 bfloat16", "2 bfloat16"]

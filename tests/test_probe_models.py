"""Models that are wrapped, compiled, copied, pickled, or that cannot run in eval mode."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from helpers import Setup, batches, compiled, identity_linear, quiet_probe, small_net
from torch import Tensor, nn


@pytest.mark.parametrize("error", [RuntimeError("no eval"), ValueError("no eval")])
def test_a_model_that_cannot_run_in_eval_mode_disarms_the_probe(error: Exception) -> None:
    class TrainingOnly(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not self.training:
                raise error
            return x

    run = Setup(nn.Sequential(TrainingOnly(), nn.Linear(4, 2)))
    with run.probe() as probe:
        run.train()
    assert [e.kind for e in probe.estimates.events] == ["disarmed", "cost"]
    assert all(m.training for m in run.model.modules())
    assert run.hooks() == run.before


@pytest.mark.parametrize("mode", ["replay", "stream"])
@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_of_a_probed_model_work_and_feed_nothing(mode: str, clone: Callable[[Any], Any]) -> None:
    model = small_net()
    keys = model.state_dict().keys()
    with quiet_probe(model, mode=mode, every=1, probe_set=None) as probe:
        twin = clone(model)
        assert model.state_dict().keys() == twin.state_dict().keys() == keys
        for x, _ in batches():
            assert torch.equal(twin(x), model.eval()(x))
            probe.step()
    assert not probe.estimates


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("wrap", [nn.DataParallel, compiled])
@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_wrapped_models_are_probed_under_the_users_own_names(wrap: Any, mode: str) -> None:
    inner = nn.Sequential(identity_linear(4), nn.ReLU(), nn.Linear(4, 2))
    run = Setup(wrap(inner))
    with run.probe(mode=mode, every=1) as probe:
        run.train()
    assert probe.estimates.layers == ["1", "2"]
    assert probe.estimates.select(quantity="I_TY")
    assert run.hooks() == run.before

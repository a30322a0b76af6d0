"""A fit that is watched is, bit for bit, the fit that is not."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from helpers import same
from ibprobe_lightning import IBProbeCallback
from lightning.pytorch import Callback
from lightning_runs import Lit, LitForward, callback, loader, seeded, state, trainer
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # of inductor's own


@dataclass(frozen=True)
class Lane:
    """A way to train with Lightning."""

    name: str
    module: Callable[[], Any] = Lit
    options: dict[str, Any] = field(default_factory=dict, hash=False)
    validates: bool = False


def compiled_part() -> Lit:
    net = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Dropout(0.3), nn.Linear(16, 2))
    return Lit(torch.compile(net, backend="inductor"))


class Silent(LitForward):
    """Logs nothing: Lightning's own ``self.log`` cannot be compiled."""

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        return nn.functional.cross_entropy(self(batch[0]), batch[1])


def compiled_whole() -> Any:
    return torch.compile(Silent(), backend="aot_eager")


LANES = [
    Lane("plain"),
    Lane("accumulate_grad_batches", options={"accumulate_grad_batches": 2, "max_epochs": 4}),
    Lane("bf16-mixed", LitForward, options={"precision": "bf16-mixed"}),
    Lane("compiled, aot_eager", compiled_whole),
    Lane("compiled, inductor", compiled_part),
    Lane("clipping and validation", options={"gradient_clip_val": 0.1, "val_check_interval": 5}, validates=True),
]
BY_NAME = [pytest.param(lane, id=lane.name, marks=[pytest.mark.slow] * ("compiled" in lane.name)) for lane in LANES]


class Careless(IBProbeCallback):
    """Draws one number from the global generator."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if trainer.global_step == 5:
            torch.rand(1)


def fitted(lane: Lane, *callbacks: Callback) -> dict[str, Any]:
    torch.compiler.reset()
    seeded()
    model = lane.module()
    of = trainer(*callbacks, **lane.options)
    of.fit(model, loader(), loader(shuffle=False, n=64) if lane.validates else None)
    return state(getattr(model, "_orig_mod", model), of)


@functools.cache
def without(lane: Lane) -> dict[str, Any]:
    return fitted(lane)


@pytest.mark.parametrize("mode", ["replay", "stream"])
@pytest.mark.parametrize("lane", BY_NAME)
def test_a_watched_fit_is_the_fit_itself(lane: Lane, mode: str) -> None:
    plain, watching = without(lane), callback(mode=mode, report=lane.name == "plain", sinks="auto")
    watched = fitted(lane, watching)
    assert watching.probe is not None
    assert not [e for e in watching.probe.estimates.events if e.kind == "disarmed"]
    assert len(watching.probe.estimates.steps) >= 4
    assert watching.probe.estimates.steps[-1] >= 20
    assert watching.probe.estimates.select(quantity="I_TY")
    assert same(watched, plain)


@pytest.mark.parametrize("lane", BY_NAME)
def test_the_comparison_sees_a_callback_that_draws_one_global_number(lane: Lane) -> None:
    careless = fitted(lane, Careless(estimator="channel", rows=64, report=False, sinks=[]))
    assert not same(careless["model"], without(lane)["model"])
    assert not same(careless["random"], without(lane)["random"])

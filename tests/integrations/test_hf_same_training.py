"""A Trainer with the callback trains, bit for bit, the weights that it trains without; and a resumed one goes on."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from helpers import same
from ibprobe_transformers import IBProbeCallback
from tiny_models import bert, sentences

from ibprobe import IBProbe, load_run
from ibprobe.capture.gathering import Gathering

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning"),
    # In eval mode nothing requires a gradient, of which reentrant checkpointing warns.
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*use_reentrant.*:UserWarning"),
]

REENTRANT = {"activation_checkpointing": True, "activation_checkpointing_kwargs": {"use_reentrant": True}}
SETUPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulation": {"gradient_accumulation_steps": 2},
    "bf16": {"bf16": True},
    "checkpointing": {"activation_checkpointing": True},
    "reentrant checkpointing": REENTRANT,
    "evaluation": {"eval_strategy": "steps", "eval_steps": 2},
    "all of these": {"gradient_accumulation_steps": 2, "bf16": True, "activation_checkpointing": True},
    "torch_compile": {"torch_compile": True, "torch_compile_backend": "aot_eager"},
}
BY_NAME = [
    pytest.param(name, marks=[] if name in ("plain", "accumulation", "checkpointing") else [pytest.mark.slow])
    for name in SETUPS
]


def trained(setup: str, folder: Path, callback: Any = None) -> dict[str, Any]:
    """Weights, optimizer and random states after a short run with dropout."""
    hf.set_seed(0)
    torch._dynamo.reset()
    settings = hf.TrainingArguments(
        str(folder), max_steps=8, per_device_train_batch_size=16, report_to=[], save_strategy="no", use_cpu=True,
        disable_tqdm=True, learning_rate=1e-3, **SETUPS[setup],
    )  # fmt: skip
    callbacks = [] if callback is None else [callback]
    run = hf.Trainer(bert(), settings, train_dataset=sentences(256), eval_dataset=sentences(32), callbacks=callbacks)
    run.train()
    assert run.optimizer is not None
    return {
        "weights": run.model.state_dict(), "optimizer": run.optimizer.state_dict(), "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].tolist(), "python": random.getstate(),
    }  # fmt: skip


@functools.cache
def without(setup: str) -> dict[str, Any]:
    """The run that the others are compared with."""
    return trained(setup, Path("without"))


def watching(**options: Any) -> IBProbeCallback:
    """Measures at every step from the fourth, critics too at the end."""
    return IBProbeCallback(**{"rows": 64, "every": 1, "budget": None, "sinks": [], "report": False} | options)


@pytest.mark.parametrize("setup", BY_NAME)
def test_weights_are_those_of_a_training_without_the_callback(setup: str, tmp_path: Path) -> None:
    plain, callback = without(setup), watching(estimator="auto" if setup == "plain" else "channel")
    assert same(trained(setup, tmp_path, callback), plain)
    assert callback.probe is not None
    records = callback.probe.estimates
    assert list(records.steps) == [4, 5, 6, 7, 8] or (
        setup in ("accumulation", "all of these") and records.steps[-1] == 8
    )
    assert not [e for e in records.events if e.kind in ("disarmed", "skipped")]
    assert {e.layer for e in records} == {"bert.encoder.layer.0", "bert.encoder.layer.1", "classifier"}


@pytest.mark.slow
@pytest.mark.parametrize("setup", SETUPS)
def test_the_comparison_sees_a_callback_that_draws_one_global_number(
    setup: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, take = without(setup), Gathering.take

    def careless(self: Gathering) -> Any:
        torch.rand(1)
        return take(self)

    monkeypatch.setattr(Gathering, "take", careless)
    assert not same(trained(setup, tmp_path, watching(estimator="channel"))["weights"], plain["weights"])


def run_to(folder: Path, steps: int, callback: IBProbeCallback, resume: Any = None, **options: Any) -> IBProbe:
    """Train up to a step of a schedule that has sixteen."""
    hf.set_seed(0)
    settings = hf.TrainingArguments(
        str(folder), max_steps=16, per_device_train_batch_size=16, report_to=[], save_strategy="steps", save_steps=8,
        use_cpu=True, disable_tqdm=True, learning_rate=1e-3, **options,
    )  # fmt: skip

    class Stop(hf.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
            control.should_training_stop = state.global_step >= steps
            return control

    callbacks = [callback] + ([Stop()] if steps < 16 else [])
    hf.Trainer(bert(), settings, train_dataset=sentences(256), callbacks=callbacks).train(resume_from_checkpoint=resume)
    assert callback.probe is not None
    return callback.probe


def numbers(probe: IBProbe) -> list[Any]:
    """What was found, without what it cost."""
    return [(e.step, e.layer, e.quantity, e.estimator, e.nats, e.ci_low, e.flags) for e in probe.estimates]


def stopped_and_resumed(how: Callable[[Path], Any], folder: Path, **options: Any) -> tuple[IBProbe, IBProbe]:
    first = run_to(folder, 8, watching(estimator="channel"), **options)
    return first, run_to(folder, 16, watching(estimator="channel"), how(folder / "checkpoint-8"), **options)


RESTORING = pytest.param({"restore_callback_states_from_checkpoint": True}, marks=pytest.mark.slow, id="states")


@pytest.mark.parametrize("options", [pytest.param({}, id="plain"), RESTORING])
def test_a_resumed_training_continues_the_same_records(tmp_path: Path, options: dict[str, Any]) -> None:
    whole = run_to(tmp_path / "whole", 16, watching(estimator="channel"))
    first, second = stopped_and_resumed(str, tmp_path / "torn", **options)
    assert second.run_dir == first.run_dir
    assert numbers(second) == numbers(whole)
    kept = load_run(second.run_dir)
    assert sorted(set(kept.steps)) == list(range(4, 17))
    assert torch.load(tmp_path / "torn" / "checkpoint-8" / "ibprobe.pt", weights_only=True)["run_dir"]


@pytest.mark.slow
def test_the_checkpoint_may_have_been_moved(tmp_path: Path) -> None:
    def moved(folder: Path) -> str:
        return str(folder.rename(tmp_path / "elsewhere"))

    first, second = stopped_and_resumed(moved, tmp_path / "torn")
    assert second.run_dir == first.run_dir
    assert list(second.estimates.steps) == list(range(4, 17))


def test_without_a_state_records_begin_at_the_trainers_step(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def bare(folder: Path) -> str:
        (folder / "ibprobe.pt").unlink()
        return str(folder)

    first, second = stopped_and_resumed(bare, tmp_path / "torn")
    assert "records begin anew; pass IBProbeCallback(resume_from=folder)" in caplog.text
    assert second.run_dir != first.run_dir
    assert min(second.estimates.steps) > 8
    assert second.estimates.steps[-1] == 16


@pytest.mark.slow
def test_a_state_of_other_settings_begins_a_new_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = run_to(tmp_path, 8, watching(estimator="channel"))
    second = run_to(tmp_path, 16, watching(estimator="channel", sigma=0.5), str(tmp_path / "checkpoint-8"))
    assert "a new run begins" in caplog.text
    assert second.run_dir != first.run_dir
    assert min(second.estimates.steps) > 8

"""Callbacks beside each other, damaged checkpoints, weights that change after training, targets that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from ibprobe_transformers import IBProbeCallback
from tiny_models import bert, sentences
from torch import nn

from ibprobe import measure

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning", "ignore:.*torch.jit:DeprecationWarning")


def quick(**options: Any) -> IBProbeCallback:
    """A callback that takes brackets of few rows, and no report."""
    return IBProbeCallback(
        **{"rows": 64, "estimator": "channel", "budget": None, "sinks": [], "report": False} | options
    )


def trainer(folder: Path, *callbacks: hf.TrainerCallback, model: nn.Module | None = None, **given: Any) -> hf.Trainer:
    """A short run on the CPU, which saves now and then."""
    settings = {"per_device_train_batch_size": 16, "report_to": [], "save_steps": 4, "max_steps": 8} | given
    return hf.Trainer(
        bert() if model is None else model,
        hf.TrainingArguments(str(folder), use_cpu=True, disable_tqdm=True, **settings),
        train_dataset=sentences(256),
        eval_dataset=sentences(32),
        callbacks=list(callbacks),
    )


def test_two_callbacks_leave_no_trace_and_neither_takes_the_others_labels(tmp_path: Path) -> None:
    early, late = quick(every=1), quick(every=1, rows=128)

    class Off(hf.TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 4:
                early.detach()

    run = trainer(tmp_path, early, late, Off(), save_strategy="no", max_steps=9)
    run.train()
    assert "training_step" not in vars(run)
    assert early.probe is not None
    assert late.probe is not None
    assert early.probe.estimates.steps == [4]
    assert late.probe.estimates.steps == [8, 9]
    assert {e.rows for e in late.probe.estimates if e.quantity == "I_TY"} == {128}


def test_the_last_values_are_of_the_last_weights_and_not_of_the_best(tmp_path: Path) -> None:
    callback = quick(every=100, view="first")
    run = trainer(
        tmp_path, callback, learning_rate=1e-2, eval_strategy="steps", eval_steps=4, load_best_model_at_end=True,
        metric_for_best_model="eval_runtime",
    )  # fmt: skip
    run._determine_best_metric = lambda *_, **__: None  # type: ignore[method-assign, assignment]
    run.add_callback(_BestIs(tmp_path / "checkpoint-4"))
    run.train()
    assert callback.probe is not None
    found = {(e.layer, e.quantity): e.nats for e in callback.probe.estimates if e.headline and e.step == 8}
    kept = [{**b.kwargs, "labels": b.y} for b in callback.probe._rows.source._buffer.batches]  # type: ignore[union-attr, attr-defined]
    best, last = (
        {(e.layer, e.quantity): e.nats for e in measure(model, kept, view="first", estimator="channel") if e.headline}
        for model in (run.model, hf.BertForSequenceClassification.from_pretrained(tmp_path / "checkpoint-8"))
    )
    assert found == pytest.approx(last, abs=1e-3)
    assert found != pytest.approx(best, abs=1e-2)


class _BestIs(hf.TrainerCallback):
    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.best_model_checkpoint = self._folder


@pytest.mark.parametrize("damage", ["torn", "empty", "off", "other"])
def test_training_resumes_whatever_state_the_checkpoint_holds(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = quick(every=1)
    trainer(tmp_path, first).train()
    state = tmp_path / "checkpoint-4" / "ibprobe.pt"
    if damage in ("torn", "empty"):
        state.write_bytes(state.read_bytes()[: 1000 if damage == "torn" else 0])
    else:
        whole = torch.load(state, weights_only=True)
        torch.save({} if damage == "off" else {"meta": whole["meta"], "run_dir": str(tmp_path)}, state)
    second = quick(every=1)
    assert trainer(tmp_path, second).train(str(tmp_path / "checkpoint-4")).global_step == 8
    assert first.probe is not None
    assert second.probe is not None
    assert second.probe.run_dir != first.probe.run_dir
    assert second.probe.estimates.steps == [8]
    assert ("a new run begins" in caplog.text) == (damage != "off")


def test_a_checkpoint_may_be_named_by_a_path(tmp_path: Path) -> None:
    first, second = quick(every=1), quick(every=1)
    trainer(tmp_path / "here", first).train()
    checkpoint = (tmp_path / "here" / "checkpoint-4").rename(tmp_path / "elsewhere")
    trainer(tmp_path / "here", second).train(checkpoint)  # type: ignore[arg-type]
    assert first.probe is not None
    assert second.probe is not None
    assert second.probe.run_dir == first.probe.run_dir


def test_a_target_that_is_no_tensor_takes_the_probe_off_and_labels_do_not_stand_for_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = quick(labels=lambda batch: batch["input_ids"][:, 0].tolist())
    assert trainer(tmp_path, callback, save_strategy="no").train().global_step == 8
    assert "labels= gave a list; expected a tensor" in caplog.text
    assert callback.probe is not None
    assert not callback.probe.estimates.estimates


def test_labels_do_not_stand_for_a_target_of_another_length(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    callback = quick(labels=lambda batch: batch["input_ids"].flatten())
    trainer(tmp_path, callback, save_strategy="no").train()
    assert "labels of shape (192,) do not belong to the 16 rows" in caplog.text
    assert callback.probe is not None
    assert {e.quantity for e in callback.probe.estimates} == {"I_XT"}

"""One line in a Trainer script: what is seen, where it goes, and that nothing of it stays."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
import wandb
from helpers import hook_tables, same
from ibprobe_transformers import IBProbeCallback
from ranks import in_ranks
from tiny_models import bert, gpt2, sentences, t5, texts, vit
from torch import Tensor, nn
from wandb_offline import finish_and_read, offline_run

from ibprobe import BadInput, UnknownName, load_run
from ibprobe.estimate.estimators import LayerEstimator

pytestmark = pytest.mark.filterwarnings("ignore:.*pin_memory.*:UserWarning", "ignore:.*torch.jit:DeprecationWarning")


def trainer(
    folder: Path, callback: Any = None, model: nn.Module | None = None, data: Any = None, **arguments: Any
) -> hf.Trainer:
    """A short run on the CPU, with nothing else that reports."""
    given = {"max_steps": 8, "per_device_train_batch_size": 16, "report_to": [], "save_strategy": "no"} | arguments
    own = {name: given.pop(name) for name in ("compute_loss_func", "eval_dataset") if name in given}
    settings = hf.TrainingArguments(str(folder / "out"), use_cpu=True, disable_tqdm=True, **given)
    callbacks = [] if callback is None else [callback]
    model = bert() if model is None else model
    return hf.Trainer(model, settings, train_dataset=data or sentences(256), callbacks=callbacks, **own)


def quick(**options: Any) -> IBProbeCallback:
    """A callback that takes brackets of few rows, and no report."""
    return IBProbeCallback(
        **{"rows": 64, "estimator": "channel", "budget": None, "sinks": [], "report": False} | options
    )


def headlines(callback: IBProbeCallback, quantity: str = "I_TY") -> set[tuple[str, str]]:
    """Layers and views of which there are values."""
    assert callback.probe is not None
    return {(e.layer, e.view) for e in callback.probe.estimates if e.headline and e.quantity == quantity}


def test_one_line_writes_the_plane_of_every_block_and_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    callback = IBProbeCallback(rows=64)
    trainer(tmp_path, callback, logging_steps=4).train()
    (folder,) = (tmp_path / "out" / "ibprobe").iterdir()
    assert (folder / "report.html").is_file()
    assert f"ibprobe: report in {folder / 'report.html'}\n" in capsys.readouterr().out
    records = load_run(folder)
    assert {(e.layer, e.quantity) for e in records if e.headline and e.quantity in ("I_XT", "I_TY")} == {
        (layer, quantity)
        for layer in ("bert.encoder.layer.0", "bert.encoder.layer.1", "classifier")
        for quantity in ("I_XT", "I_TY")
    }
    assert records.steps[-1] == 8
    assert records.meta["view"] == "first"
    assert {e.view for e in records} == {"first unmasked token", "as is"}
    assert [entry.step for entry in records.logged if "loss" in entry.values] == [4, 8]


@pytest.mark.parametrize(("how", "accumulation"), [("label_smoothing", 1), ("loss_function", 2)])
def test_labels_that_the_trainer_takes_out_are_seen(tmp_path: Path, how: str, accumulation: int) -> None:
    def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
        return nn.functional.cross_entropy(outputs.logits, labels)

    options = {"label_smoothing_factor": 0.1} if how == "label_smoothing" else {"compute_loss_func": loss}
    callback = quick()
    trainer(tmp_path, callback, gradient_accumulation_steps=accumulation, **options).train()
    assert {layer for layer, _ in headlines(callback)} >= {"bert.encoder.layer.0", "classifier"}
    assert callback.probe is not None
    assert callback.probe.estimates.steps[-1] == 8


@pytest.mark.parametrize(
    ("make", "data", "expected"),
    [
        (gpt2, texts(256), {(f"transformer.h.{k}", "one unmasked token, the next as label") for k in (0, 1)}),
        (
            lambda: bert(hf.BertForTokenClassification, num_labels=8),
            texts(256),
            {(f"bert.encoder.layer.{k}", "one unmasked token") for k in (0, 1)}
            | {("classifier", "one unmasked token")},
        ),
        (
            t5,
            [{**row, "labels": row["labels"][:7]} for row in texts(256)],
            {(f"encoder.block.{k}", "mean over unmasked tokens") for k in (0, 1)}
            | {(f"decoder.block.{k}", "one unmasked token") for k in (0, 1)},
        ),
        (
            vit,
            [{"pixel_values": torch.randn(3, 16, 16), "labels": torch.tensor(k % 4)} for k in range(256)],
            {(f"vit.encoder.layer.{k}", "first token") for k in (0, 1)} | {("classifier", "as is")},
        ),
    ],
    ids=["causal", "tokens", "encoder_decoder", "vit"],
)
def test_views_and_targets_follow_from_the_task(tmp_path: Path, make: Any, data: Any, expected: Any) -> None:
    callback = quick()
    trainer(tmp_path, callback, make(), data, max_steps=6).train()
    found = headlines(callback)
    assert {view for _, view in found} == {view for _, view in expected}
    assert len(found) == len(expected)


def test_the_target_may_be_something_else_of_the_batch(tmp_path: Path) -> None:
    callback = quick(labels=lambda batch: batch["input_ids"][:, 3] % 2)
    trainer(tmp_path, callback).train()
    assert callback.probe is not None
    ceilings = {e.ceiling for e in callback.probe.estimates if e.quantity == "I_TY"}
    assert max(ceilings) <= 0.6932


def test_what_fails_in_the_target_function_takes_the_probe_off_and_training_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    callback = quick(labels=lambda batch: batch["nothing"])
    run = trainer(tmp_path, callback)
    assert run.train().global_step == 8
    assert caplog.text.count("the probe is taken off") == 1
    assert "training_step" not in vars(run)


def test_what_fails_in_the_probe_disarms_it_and_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(LayerEstimator, "brackets", broken)
    run = trainer(tmp_path, quick())
    assert run.train().global_step == 8
    assert "disarmed at step" in caplog.text


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_no_trace_stays(tmp_path: Path, error: type[BaseException] | None) -> None:
    def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        if error is not None:
            raise error
        return outputs.logits.square().sum()

    model = bert()
    trainer(tmp_path, None, model, max_steps=1).train()  # it leaves attributes of its own
    run = trainer(tmp_path, quick(), model, max_steps=2, compute_loss_func=loss)
    attributes = {id(m): set(vars(m)) for m in model.modules()}
    hooks, own = hook_tables(*model.modules()), set(vars(run))
    if error is None:
        run.train()
    else:
        with pytest.raises(error):
            run.train()
    assert hook_tables(*model.modules()) == hooks
    assert "training_step" not in vars(run)
    assert {name for name in set(vars(run)) - own if "ibprobe" in repr(vars(run)[name])} == set()
    assert {id(m): set(vars(m)) for m in model.modules()} == attributes


def test_a_step_function_of_the_users_own_is_put_back(tmp_path: Path) -> None:
    run, calls = trainer(tmp_path, quick(), max_steps=2), []
    whole = run.training_step

    def own(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return whole(*args, **kwargs)

    vars(run)["training_step"] = own
    run.train()
    assert run.training_step is own
    assert len(calls) == 2


def test_a_callback_can_be_taken_off_while_training_goes_on(tmp_path: Path) -> None:
    callback = quick(every=1)

    class Off(hf.TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 6:
                callback.detach()

    run = trainer(tmp_path, callback)
    run.add_callback(Off())
    assert run.train().global_step == 8
    assert callback.probe is not None
    assert callback.probe.estimates.steps[-1] == 6


@pytest.mark.slow
def test_evaluation_during_training_is_no_training(tmp_path: Path) -> None:
    callback = quick(every=1, rows=32)
    run = trainer(tmp_path, callback, eval_strategy="steps", eval_steps=1, eval_dataset=sentences(64, seed=5))
    run.train()
    assert callback.probe is not None
    logged = {name for entry in callback.probe.estimates.logged for name in entry.values}
    assert "eval_loss" in logged
    assert callback.probe.estimates.steps[-1] == 8


@pytest.mark.slow
def test_offline_wandb_has_our_keys_on_our_axis_and_other_reporters_have_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "board"))
    run = offline_run(tmp_path, reinit="finish_previous")
    callback = IBProbeCallback(rows=64, estimator="channel", budget=None, report=False)
    trainer(tmp_path, callback, report_to=["wandb", "tensorboard"], logging_steps=1).train()
    written = finish_and_read(run)
    assert callback.probe is not None
    for quantity in ("I_XT", "I_TY"):
        key = f"ib_{quantity}/bert/encoder/layer/0"
        wanted = [e for e in callback.probe.estimates if (e.layer, e.quantity) == ("bert.encoder.layer.0", quantity)]
        assert written.column(key) == pytest.approx([e.nats for e in wanted if e.headline])
        assert len(written.column(key)) >= 3
    steps = [row["ib/step"] for row in written.rows if "ib_I_XT/bert/encoder/layer/0" in row]
    assert steps == list(callback.probe.estimates.steps)
    assert len(written.column("train/loss")) == 8

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (file,) = (tmp_path / "board").rglob("events*")
    board = EventAccumulator(str(file)).Reload()
    scalars = board.Scalars("train/ib_I_XT/bert/encoder/layer/0")
    assert [s.step for s in scalars] == steps
    assert [s.value for s in scalars] == pytest.approx(written.column("ib_I_XT/bert/encoder/layer/0"), rel=1e-6)


def test_options_are_checked_before_training() -> None:
    with pytest.raises(UnknownName, match="did you mean: rows"):
        IBProbeCallback(row=64)
    with pytest.raises(BadInput, match="optimizer= comes from the Trainer"):
        IBProbeCallback(optimizer=None)


def test_a_wrong_layer_raises_before_the_first_step(tmp_path: Path) -> None:
    run = trainer(tmp_path, quick(layers="bert.encoder.layers.*"))
    with pytest.raises(UnknownName, match=r"bert\.encoder\.layer\.0"):
        run.train()
    assert run.state.global_step == 0


def in_two(rank: int, folder: Path, options: dict[str, Any]) -> tuple[list[str], list[Tensor], int]:
    from accelerate.state import AcceleratorState

    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT="0")
    AcceleratorState._reset_state(True)
    callback = quick(**options) if options else None
    run = trainer(folder, callback, save_strategy="steps", save_steps=4, ddp_backend="gloo")
    run.train()
    layers = [] if callback is None or callback.probe is None else callback.probe.estimates.layers
    return layers, [p.detach() for p in run.model.parameters()], run.args.world_size


@pytest.mark.slow
@pytest.mark.parametrize("distribute", ["auto", "layers"])
def test_of_two_processes_the_first_records_or_both_do(distribute: str, tmp_path: Path) -> None:
    plain = in_ranks(in_two, tmp_path / "plain", {})
    watched = in_ranks(in_two, tmp_path, {"distribute": distribute})
    for (layers, weights, size), (_, bare, _), rank in zip(watched, plain, (0, 1), strict=True):
        assert size == 2
        assert bool(layers) == (rank == 0 or distribute == "layers")
        assert same(weights, bare)
    (folder,) = (tmp_path / "out" / "ibprobe").iterdir()
    records = load_run(folder)
    assert records.layers == ["bert.encoder.layer.0", "bert.encoder.layer.1", "classifier"]
    assert records.steps[-1] == 8
    files = {path.name for path in (tmp_path / "out" / "checkpoint-4").glob("ibprobe*")}
    assert files == {"ibprobe.pt"} | ({"ibprobe-1.pt"} if distribute == "layers" else set())
    assert torch.load(tmp_path / "out" / "checkpoint-4" / "ibprobe.pt", weights_only=True)["rank"] == 0


def test_outlier_units_of_the_residual_stream_are_told_with_the_noise_to_use(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = gpt2()
    model.transformer.wte.weight.data[:, 0] *= 200  # type: ignore[union-attr, operator, index]
    caplog.set_level(logging.WARNING)
    callback = quick()
    trainer(tmp_path, callback, model, texts(256), max_steps=6).train()
    assert "one unit holds more than half of the variance of transformer.h.0, transformer.h.1" in caplog.text
    assert "noise='per_unit'" in caplog.text
    caplog.clear()
    trainer(tmp_path, quick(noise="per_unit"), model, texts(256), max_steps=6).train()
    assert "one unit holds" not in caplog.text


def test_two_trainings_in_one_process_have_runs_of_their_own(tmp_path: Path) -> None:
    run = trainer(tmp_path, quick(), max_steps=2)
    run.train()
    run.train()
    assert len(list((tmp_path / "out" / "ibprobe").iterdir())) == 2


def test_without_transformers_the_import_says_which_extra_to_install() -> None:
    code = "import sys; sys.modules['transformers'] = None\nimport ibprobe_transformers"
    hidden = code.replace(
        "sys.modules['transformers'] = None",
        "import importlib.util as u; f = u.find_spec; "
        "u.find_spec = lambda n, *a: None if n == 'transformers' else f(n, *a)",
    )
    done = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True, check=False)
    assert "pip install 'ibprobe[transformers]'" in done.stderr
    assert wandb.run is None

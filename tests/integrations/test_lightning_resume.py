"""A fit that goes on from a Lightning checkpoint has the records of one that was never stopped."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import same
from ibprobe_lightning import IBProbeCallback
from lightning.pytorch import Callback
from lightning_runs import Lit, callback, loader, seeded, trainer
from torch import nn

from ibprobe import BadInput, Records, load_run


class Crash(Callback):
    """Ends the fit at a step."""

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 20:
            raise RuntimeError("crash")


def fit(probing: IBProbeCallback, *others: Callback, **options: Any) -> Lit:
    """24 steps in two epochs; Lightning restores no random states, so that nothing here draws any."""
    seeded()
    model = Lit(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)))
    trainer(probing, *others, enable_checkpointing=True, log_every_n_steps=1).fit(
        model, loader(shuffle=False), weights_only=True, **options
    )
    return model


def crashed(folder: Path, **options: Any) -> tuple[IBProbeCallback, Path]:
    """A fit that ends at step 20, and its checkpoint of step 12."""
    first = callback(**options)
    with pytest.raises(RuntimeError, match="crash"):
        fit(first, Crash())
    return first, folder / "checkpoints" / "epoch=0-step=12.ckpt"


def measured(records: Records) -> list[Any]:
    """Everything but what it cost."""
    return [replace(e, seconds=0.0) for e in records]


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_the_records_are_those_of_a_fit_that_was_never_stopped(mode: str, tmp_path: Path) -> None:
    whole = callback(mode=mode)
    weights = fit(whole).state_dict()
    first, saved = crashed(tmp_path, mode=mode)
    later = callback(mode=mode)
    assert same(fit(later, ckpt_path=saved).state_dict(), weights)
    assert whole.probe is not None
    assert first.probe is not None
    assert later.probe is not None
    assert later.probe.run_dir == first.probe.run_dir
    assert later.probe.estimates.meta["run"] == first.probe.estimates.meta["run"]
    assert measured(later.probe.estimates) == measured(whole.probe.estimates)
    assert later.probe.estimates.logged == whole.probe.estimates.logged
    on_disk = load_run(first.probe.run_dir)
    assert measured(on_disk) == measured(whole.probe.estimates)


def test_a_checkpoint_holds_plain_types_and_tensors(tmp_path: Path) -> None:
    _, saved = crashed(tmp_path)
    held = torch.load(saved, weights_only=True)["callbacks"][callback().state_key]
    assert held["probe"]["rows"]["step"] == 12


def test_where_the_directory_is_gone_a_new_one_has_the_whole_history(tmp_path: Path) -> None:
    first, saved = crashed(tmp_path)
    assert first.probe is not None
    first.probe.run_dir.rename(tmp_path / "elsewhere")
    later = callback()
    fit(later, ckpt_path=saved)
    assert later.probe is not None
    assert later.probe.run_dir != first.probe.run_dir
    assert later.probe.run_dir.parent == first.probe.run_dir.parent
    assert load_run(later.probe.run_dir).steps == [4, 5, 10, 15, 20, 24]


def test_a_checkpoint_without_a_probe_begins_new_records_at_its_step(tmp_path: Path) -> None:
    seeded()
    trainer(enable_checkpointing=True, max_epochs=1).fit(Lit(), loader())
    later, saved = callback(), tmp_path / "checkpoints" / "epoch=0-step=12.ckpt"
    trainer(later, enable_checkpointing=True).fit(Lit(), loader(), ckpt_path=saved)
    assert later.probe is not None
    assert later.probe.estimates.steps == [16, 20, 24]  # that of step 15 once there are 64 rows


def test_settings_of_another_measurement_are_refused_before_training_goes_on(tmp_path: Path) -> None:
    _, saved = crashed(tmp_path)
    with pytest.raises(BadInput, match=r"sigma=0.25, this probe has sigma=0.5"):
        fit(callback(sigma=0.5), ckpt_path=saved)


def test_a_trainer_that_is_asked_for_more_epochs_goes_on_with_the_same_records() -> None:
    watching, model = callback(), Lit()
    of = trainer(watching, max_epochs=1)
    of.fit(model, loader())
    first = watching.probe
    of.fit_loop.max_epochs = 2
    of.fit(model, loader())
    assert watching.probe is first
    assert first is not None
    assert first.estimates.steps == [4, 5, 10, 12, 15, 20, 24]
    assert load_run(first.run_dir).steps == first.estimates.steps


def test_another_fit_with_the_same_callback_is_another_run() -> None:
    watching = callback()
    trainer(watching, max_epochs=1).fit(Lit(), loader())
    first = watching.probe
    trainer(watching, max_epochs=1).fit(Lit(), loader())
    assert first is not None
    assert watching.probe is not None
    assert watching.probe.run_dir != first.run_dir
    assert load_run(first.run_dir).steps == load_run(watching.probe.run_dir).steps == [4, 5, 10, 12]


def test_a_checkpoint_that_was_only_validated_is_not_resumed(tmp_path: Path) -> None:
    _, saved = crashed(tmp_path)
    watching, model = callback(), Lit(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)))
    of = trainer(watching, enable_checkpointing=True, max_epochs=1)
    of.validate(model, loader(shuffle=False), ckpt_path=saved, verbose=False, weights_only=True)
    of.fit(model, loader())
    assert watching.probe is not None
    assert watching.probe.estimates.steps == [4, 5, 10, 12]

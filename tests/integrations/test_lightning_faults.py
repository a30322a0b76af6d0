"""What fails in the callback or in a fit stops no training and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import hook_tables, same
from lightning.pytorch import Callback, seed_everything
from lightning.pytorch.loggers import CSVLogger
from lightning_runs import Lit, callback, fit, loader, probe_of, told, trainer
from torch import Tensor

from ibprobe import IBProbe, load_run


def test_a_target_that_fails_is_told_once_and_training_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    probe = fit(callback(labels=lambda batch: batch["labels"]))
    assert [text for text in told(caplog) if "labels= failed and is left out" in text] == [told(caplog)[0]]
    assert probe.estimates.steps[-1] == 24
    assert probe.estimates.select(quantity="I_XT")
    assert not probe.estimates.select(quantity="I_TY")


def test_a_batch_without_labels_is_told_with_what_to_type(caplog: pytest.LogCaptureFixture) -> None:
    class Triple(Lit):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return super().training_step(batch[:2], index)

    data = [(x, y, y) for x, y in loader().dataset]
    trainer(callback()).fit(Triple(), torch.utils.data.DataLoader(data, 16))
    assert "in a batch that is a list of 3: pass labels=" in told(caplog)[0]


def test_whatever_fails_at_the_start_is_told_and_training_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no hooks today")

    monkeypatch.setattr(IBProbe, "attach", fail)
    watching, model = callback(), Lit()
    before = hook_tables(model)
    of = trainer(watching)
    of.fit(model, loader())
    assert of.global_step == 24
    assert any("no hooks today" in text for text in told(caplog))
    assert hook_tables(model) == before


def test_a_disarmed_probe_leaves_training_alone(caplog: pytest.LogCaptureFixture) -> None:
    def schedule(step: int) -> bool:
        raise RuntimeError("no schedule today")

    watching = callback(every=schedule, report=True)
    of = trainer(watching)
    of.fit(Lit(), loader())
    assert of.global_step == 24
    assert any("disarmed" in text for text in told(caplog))
    assert not (probe_of(watching).run_dir / "report.html").exists()


class Break(Callback):
    """Ends a fit at a step."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        if trainer.global_step == 10:
            raise self.error


@pytest.mark.parametrize("mode", ["replay", "stream"])
@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_every_hook_is_gone_after_a_fit(error: type[BaseException] | None, mode: str) -> None:
    model, watching = Lit(), callback(mode=mode)
    model.net[0].register_forward_hook(lambda *_: None)
    before = hook_tables(model)
    if error is None:
        fit(watching, model)
    else:
        with pytest.raises((RuntimeError, SystemExit)):
            fit(watching, model, Break(error))
    assert hook_tables(model) == before
    steps = probe_of(watching).estimates.steps
    assert steps[-1] >= 20 if error is None else steps[-1] <= 10
    assert load_run(probe_of(watching).run_dir).steps == steps


def test_nothing_to_train_on_leaves_nothing_behind() -> None:
    model, watching = Lit(), callback()
    before = hook_tables(model)
    fit(watching, model, limit_train_batches=0)
    assert hook_tables(model) == before


def test_without_the_reports_packages_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    probe = fit(callback(report=True))
    assert [text for text in told(caplog) if "pip install 'ibprobe[report]'; for none: report=False" in text]
    assert not (probe.run_dir / "report.html").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Lightning and torch about processes on a CPU
@pytest.mark.parametrize("distribute", ["auto", "layers"])
def test_of_two_processes_the_first_records_or_both_do(distribute: str, tmp_path: Path) -> None:
    options = {"strategy": "ddp_fork", "devices": 2, "logger": CSVLogger(str(tmp_path))}
    models = [Lit(), Lit()]
    models[1].load_state_dict(models[0].state_dict())
    watching = callback(distribute=distribute, sinks="auto", run_dir=tmp_path / "run")
    for model, callbacks in zip(models, ([], [watching]), strict=True):
        seed_everything(0)
        trainer(*callbacks, **options).fit(model, loader(), loader(shuffle=False, n=32))
    assert same(models[0].state_dict(), models[1].state_dict())
    records = load_run(tmp_path / "run")
    assert records.layers == ["2", "4"]
    assert records.steps[-1] == 12
    assert {e.rank for e in records} == ({0, 1} if distribute == "layers" else {0})


def test_without_lightning_the_import_says_what_to_install() -> None:
    program = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("lightning", "pytorch_lightning"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import ibprobe_lightning
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "IBProbeCallback needs lightning, which is not installed: pip install 'ibprobe[lightning]'"
    )

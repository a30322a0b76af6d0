"""What the callback probes, and what it shows the probe."""

from pathlib import Path
from typing import Any

import pytest
import torch
from ibprobe_lightning import IBProbeCallback
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.callbacks import LearningRateFinder
from lightning_runs import Lit, LitForward, callback, fit, loader, probe_of, trainer
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from ibprobe import BadInput, UnknownName


class LitPair(Lit):
    """Has a second network."""

    def __init__(self) -> None:
        super().__init__()
        self.teacher = nn.Linear(4, 2)


class LitMetrics(Lit):
    """Has a loss and metrics beside its network."""

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(2)
        self.metrics = MetricCollection([MulticlassAccuracy(2)])


@pytest.mark.parametrize(
    ("model", "layers"),
    [(Lit, ["2", "4"]), (LitForward, ["net.2", "net.4"]), (LitMetrics, ["2", "4"])],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_network_is_found(model: type[Lit], layers: list[str]) -> None:
    assert fit(callback(), model()).estimates.layers == layers


def test_of_several_networks_one_is_to_be_named() -> None:
    with pytest.raises(BadInput, match=r'IBProbeCallback\(module="net"\) or IBProbeCallback\(module="teacher"\)'):
        fit(callback(), LitPair())
    assert fit(callback(module="net"), LitPair()).estimates.layers == ["2", "4"]


def test_a_name_that_is_no_module() -> None:
    with pytest.raises(UnknownName, match="no module of Lit named 'nte'; did you mean: net"):
        fit(callback(module="nte"))


def test_a_module_without_a_network() -> None:
    class Bare(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(4, 2)])

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return nn.functional.cross_entropy(self.layers[0](batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    with pytest.raises(BadInput, match="none of its children is a network"):
        trainer(callback()).fit(Bare(), loader())


@pytest.mark.parametrize(
    ("options", "words"),
    [({"evry": 5}, "did you mean: every"), ({"optimizer": None}, "seen by themselves"), ({"modul": ""}, "module")],
)
def test_a_wrong_option_is_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UnknownName, match=words):
        IBProbeCallback(**options)


@pytest.mark.slow
def test_two_callbacks_probe_two_networks() -> None:
    class LitBoth(LitPair):
        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            return super().training_step(batch, index) + self.loss(self.teacher(batch[0]), batch[1])

    net, teacher = callback(module="net"), callback(module="teacher", layers="auto")
    trainer(net, teacher).fit(LitBoth(), loader())
    assert probe_of(net).estimates.layers == ["2", "4"]
    assert probe_of(teacher).estimates.layers == ["model"]
    assert probe_of(net).run_dir != probe_of(teacher).run_dir


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_nothing_of_the_sanity_check_is_in_the_records(mode: str) -> None:
    watching, checked = callback(mode=mode, rows=192, every=1), []

    class Look(Callback):
        def on_sanity_check_end(self, trainer: Any, pl_module: Any) -> None:
            probe = probe_of(watching)
            checked.append((len(probe.estimates), probe.estimates.logged, probe.state_dict()["rows"]["step"]))

    rows = torch.randn(48, 4)
    of = trainer(watching, Look())
    of.fit(Lit(), loader(), torch.utils.data.DataLoader(list(zip(rows, torch.zeros(48).long(), strict=True)), 16))
    assert checked == [(0, (), 0)]
    first = probe_of(watching).estimates
    # 192 rows are complete with the 12th batch, which comes after step 11; rows of the sanity check make it earlier.
    assert first.steps[0] == {"replay": 12, "stream": 11}[mode]
    assert {e.rows for e in first} == {192}
    assert probe_of(watching).estimates.select(quantity="I_TY")


def test_steps_are_those_of_the_optimizer() -> None:
    probe = fit(callback(every=1), accumulate_grad_batches=3)
    assert probe.estimates.steps == [2, 3, 4, 5, 6, 7, 8]  # with 64 rows after four batches of 16


def test_several_optimizers_count_as_lightning_counts() -> None:
    class Manual(Lit):
        def __init__(self) -> None:
            super().__init__()
            self.automatic_optimization = False

        def training_step(self, batch: list[Tensor], index: int) -> None:
            for optimizer in self.optimizers():
                optimizer.zero_grad()
                self.manual_backward(self.loss(self.net(batch[0]), batch[1]))
                optimizer.step()

        def configure_optimizers(self) -> Any:
            return [torch.optim.SGD(self.parameters(), 0.1), torch.optim.SGD(self.parameters(), 0.01)]

    watching = callback()
    of = trainer(watching)
    of.fit(Manual(), loader())
    assert of.global_step == 48
    assert probe_of(watching).estimates.steps[-1] == 48


@pytest.mark.parametrize("key", ["labels", "label", "y", "target", "targets"])
def test_labels_of_a_mapping_are_found(key: str) -> None:
    class Mapped(Lit):
        def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:  # type: ignore[override]
            return super().training_step([batch["x"], batch[key]], index)

    data = [{"x": x, key: y} for x, y in loader().dataset]
    watching = callback()
    trainer(watching).fit(Mapped(), torch.utils.data.DataLoader(data, 16))
    assert probe_of(watching).estimates.select(quantity="I_TY")


def test_a_function_says_where_the_labels_are() -> None:
    probe = fit(callback(labels=lambda batch: 1 - batch[1]))
    assert probe.estimates.select(quantity="I_TY")


def test_a_probe_set_brings_its_own_labels() -> None:
    def never(batch: Any) -> Tensor:
        raise AssertionError

    x, y = next(iter(loader(n=64)))
    probe = fit(callback(labels=never, probe_set=(x, y), rows=16))
    assert probe.estimates.steps[0] == 0
    assert probe.estimates.select(quantity="I_TY")


def test_a_probe_set_may_be_all_inputs_that_there_are() -> None:
    x, y = next(iter(loader(n=64)))
    probe = fit(callback(probe_set=(x, y), target="probe_set", rows=64))
    assert {e.target for e in probe.estimates} == {"probe_set"}


def test_validation_alone_needs_no_probe() -> None:
    watching = callback()
    trainer(watching).validate(Lit(), loader(shuffle=False, n=32), verbose=False)
    assert watching.probe is None


@pytest.mark.parametrize("first", [True, False])
def test_the_trial_steps_of_a_tuner_are_not_counted(first: bool) -> None:
    class Tuned(Lit):
        lr = 0.01

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), self.lr)

    watching, finder = callback(every=1), LearningRateFinder(num_training_steps=12)
    of = trainer(*((watching, finder) if first else (finder, watching)), enable_checkpointing=True)
    of.fit(Tuned(), loader())
    assert of.global_step == 24
    assert probe_of(watching).estimates.steps[-1] == 24


@pytest.mark.parametrize("sinks", ["auto", []])
def test_the_report_is_written_beside_the_records_and_a_terminal_says_where(
    sinks: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = fit(callback(report=True, sinks=sinks))
    said = f"ibprobe: report in {probe.run_dir / 'report.html'}\n"
    assert (said in capsys.readouterr().out) == bool(sinks)
    assert probe.run_dir.parent == tmp_path / "ibprobe"
    assert "<html" in (probe.run_dir / "report.html").read_text(encoding="utf-8")


def test_a_run_dir_of_ones_own_takes_one_run(tmp_path: Path) -> None:
    assert fit(callback(run_dir=tmp_path / "mine")).run_dir == tmp_path / "mine"


def test_where_the_trainers_root_is_no_local_path_the_probes_default_stands(tmp_path: Path) -> None:
    probe = fit(callback(), default_root_dir="memory://runs")
    assert probe.run_dir.parts[:2] == ("runs", "ib")


def test_off_in_the_environment_it_is_inert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IBPROBE", "off")
    probe = fit(callback(report=True), enable_checkpointing=True)
    assert not probe.estimates
    assert not probe.run_dir.exists()

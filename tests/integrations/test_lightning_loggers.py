"""Values reach every logger of a Trainer, and its metrics reach the records."""

import csv
import logging
from pathlib import Path
from typing import Any

import pytest
import wandb
from ibprobe_lightning import IBProbeCallback
from lightning.pytorch import Callback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from lightning_runs import Lit, callback, loader, trainer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from wandb_offline import finish_and_read, offline_run

from ibprobe import Estimate
from ibprobe.show import page


@pytest.fixture(autouse=True)
def _quick_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page takes two seconds to make; here it is about rows."""
    monkeypatch.setattr(page, "plane_html", lambda records: "<p>plane</p>")


def fit(*loggers: Any, **options: Any) -> IBProbeCallback:
    watching = callback(**{"sinks": "auto", **options})
    trainer(watching, logger=list(loggers)).fit(Lit(), loader(), loader(shuffle=False, n=32))
    return watching


def headlines(watching: IBProbeCallback, quantity: str = "I_XT") -> list[Estimate]:
    assert watching.probe is not None
    return list(watching.probe.estimates.select(layer="4", quantity=quantity))


@pytest.mark.parametrize("active", [True, False], ids=["its own run", "a run that is not the active one"])
def test_a_wandb_logger_gets_the_probes_own_axis_and_loses_no_row(active: bool, tmp_path: Path) -> None:
    run = offline_run(tmp_path, reinit="finish_previous" if active else "create_new")
    watching = fit(WandbLogger(experiment=run))
    written = finish_and_read(run)
    ours = [row for row in written.ours() if "ib_I_XT/4" in row]
    expected = [(e.step, e.nats) for e in headlines(watching)]
    assert [(row["ib/step"], row["ib_I_XT/4"]) for row in ours] == expected
    assert len(expected) >= 4
    assert written.metrics["ib_I_TY/4"]["step_metric"] == "ib/step"
    assert written.column("trainer/global_step")
    assert len(written.column("loss")) == 6
    assert len(written.column("val_loss")) == 2


def test_a_wandb_logger_that_begins_its_run_itself(tmp_path: Path) -> None:
    quiet = wandb.Settings(console="off", x_disable_stats=True, x_disable_meta=True, disable_git=True, silent=True)
    logger = WandbLogger(project="tests", save_dir=str(tmp_path), mode="offline", settings=quiet)
    watching = fit(logger)
    written = finish_and_read(logger.experiment)
    assert written.column("ib_I_XT/4") == [e.nats for e in headlines(watching)]
    assert written.metrics["ib_I_XT/4"]["step_metric"] == "ib/step"
    assert len(written.column("loss")) == 6


def test_tensorboard_gets_headline_values_at_their_steps(tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path)
    watching = fit(logger)
    events = EventAccumulator(logger.log_dir).Reload()
    for quantity in ("I_XT", "I_TY"):
        scalars = [(s.step, s.value) for s in events.Scalars(f"ib_{quantity}/4")]
        assert scalars == [(e.step, pytest.approx(e.nats)) for e in headlines(watching, quantity)]


def test_a_csv_file_gets_the_last_snapshot_too(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    watching = fit(logger)
    with Path(logger.log_dir, "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["ib_I_XT/4"]]
    assert [(int(row["step"]), float(row["ib_I_XT/4"])) for row in rows] == [
        (e.step, e.nats) for e in headlines(watching)
    ]
    assert rows[-1]["step"] == "24"


def test_several_loggers_and_a_sink_of_ones_own(tmp_path: Path) -> None:
    values: list[dict[str, float]] = []
    logger = CSVLogger(tmp_path)
    fit(logger, sinks=["auto", lambda of_step, step: values.append(of_step)])
    assert "ib_I_XT/4" in Path(logger.log_dir, "metrics.csv").read_text()
    assert values[-1].keys() >= {"ib_I_XT/4", "ib_I_TY/4"}


def test_sinks_without_auto_are_what_they_are(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    fit(logger, sinks=[])
    assert "ib_I_XT" not in Path(logger.log_dir, "metrics.csv").read_text()


def test_a_logger_that_fails_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(CSVLogger):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            if any(name.startswith("ib_") for name in metrics):
                raise OSError("disk full")
            super().log_metrics(metrics, step)

    logger = Failing(tmp_path)
    watching = fit(logger)
    assert headlines(watching)
    assert [r.message for r in caplog.records if "disk full" in r.message]
    assert "val_loss" in Path(logger.log_dir, "metrics.csv").read_text()


def test_logged_metrics_are_kept_once_each_at_the_steps_of_lightnings_logging() -> None:
    watching = callback()
    trainer(watching).fit(Lit(), loader(), loader(shuffle=False, n=32))
    assert watching.probe is not None
    kept = [(entry.step, *entry.values) for entry in watching.probe.estimates.logged]
    assert kept == [
        (4, "loss"), (8, "loss"), (12, "loss"), (12, "val_loss"), (16, "loss"), (20, "loss"), (24, "loss"),
        (24, "val_loss"),
    ]  # fmt: skip


def test_metrics_with_the_names_of_arguments_do_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    class Named(Callback):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
            pl_module.log_dict({"self": 1.0, "step": 2.0, "net.0/lr": 0.1})

    watching = callback()
    with caplog.at_level(logging.WARNING, "ibprobe"):
        trainer(Named(), watching).fit(Lit(), loader())
    assert watching.probe is not None
    assert watching.probe.estimates.logged[0].values.keys() == {"loss", "net.0/lr"}
    assert not [r for r in caplog.records if r.name == "ibprobe" and "failed" in r.message]

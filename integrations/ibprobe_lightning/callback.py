"""The callback: which probe there is, and when Lightning's hooks begin, feed and end it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from ibprobe import IBProbe, ProbeError
from ibprobe_lightning.fit import Fit
from ibprobe_lightning.labels import labels_of
from ibprobe_lightning.loggers import with_loggers
from ibprobe_lightning.modules import probed_module
from ibprobe_lightning.options import check_names
from ibprobe_lightning.rundir import run_dir_for

log = logging.getLogger("ibprobe")


class IBProbeCallback(Callback):
    """Shows, while a LightningModule trains, what each layer keeps of its input and of its target.

    ``Trainer(callbacks=[IBProbeCallback()])``. It changes nothing in training, and nothing that fails in it stops
    training; settings that cannot work are said before the first step. Checkpoints carry its state.

    Args:
        module: name of the submodule to probe, ``"net"`` for ``self.net``; by default the LightningModule itself where
            it defines ``forward``, else its only child that is a network.
        labels: function from a batch to its labels; by default the second of a pair, or what a mapping names
            ``labels``, ``label``, ``y``, ``target`` or ``targets``.
        report: write ``report.html`` beside the records at the end.
        **options: of :class:`ibprobe.IBProbe`: ``layers``, ``every``, ``rows``, ``probe_set``, ``budget`` and so on.
            ``sinks="auto"`` brings the values to every logger of the Trainer, too; ``run_dir`` is by default
            ``<default_root_dir>/ibprobe/<UTC time>-<id>``.

    Raises:
        UnknownName: an option that there is not.
    """

    def __init__(
        self,
        *,
        module: str | None = None,
        labels: Callable[[Any], Tensor] | None = None,
        report: bool = True,
        **options: Any,
    ) -> None:
        check_names(options)
        self._module, self._report, self._options = module, report, options
        # A probe set brings its own labels.
        self._labels = (labels or labels_of) if options.get("probe_set") is None else None
        self._fit: Fit | None = None
        self._resumed: Mapping[str, Any] = {}
        self._resumed_step: int | None = None

    @property
    def probe(self) -> IBProbe | None:
        """The probe of the last fit; None before the first."""
        return None if self._fit is None else self._fit.probe

    @property
    def state_key(self) -> str:
        """Two callbacks in one Trainer differ in what they probe."""
        return self._generate_state_key(module=self._module)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget what an earlier call of the Trainer loaded."""
        self._resumed, self._resumed_step = {}, None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the step of a checkpoint, for the Trainer only has it after ``on_fit_start``."""
        self._resumed_step = checkpoint.get("global_step")

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Have the fit that begins go on after that state."""
        self._resumed = state_dict

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed fit needs to go on with the same rows and records."""
        return dict(self._resumed) if self._fit is None else self._fit.state()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin, before the sanity check: what is compiled needs its hooks before its first call.

        Raises:
            ProbeError: a setting that cannot work.
        """
        try:
            self._begin(trainer, pl_module)
        except ProbeError:
            raise
        except Exception as e:
            log.warning("ibprobe: nothing is measured, training goes on: %s: %s", type(e).__name__, e)

    def _begin(self, trainer: Trainer, pl_module: LightningModule) -> None:
        step = trainer.global_step if self._resumed_step is None else self._resumed_step
        if self._fit is None or self._resumed_step is not None or not self._fit.is_of(pl_module, step):
            self._fit = None
            self._fit = Fit(pl_module, self._made_for(trainer, pl_module), self._labels)
        self._resumed = {}  # it may hold many inputs
        self._fit.begin(step)

    def _made_for(self, trainer: Trainer, pl_module: LightningModule) -> IBProbe:
        options = dict(self._options)
        # On other ranks loggers are dummies, and the probe writes nowhere but into its own files.
        loggers = with_loggers(options.get("sinks", "auto"), trainer.loggers) if trainer.is_global_zero else []
        options["sinks"] = loggers
        options["run_dir"] = options.get("run_dir") or run_dir_for(trainer.default_root_dir, self._resumed)
        probe = IBProbe(probed_module(pl_module, self._module), **options)
        if self._resumed:
            probe.load_state_dict(self._resumed["probe"])
        return probe

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Show the labels and the optimizer steps; metrics are read at the steps at which Lightning reads them, too."""
        if self._fit is not None and self._fit.at_work:
            self._fit.observe(batch)
            every = getattr(trainer, "log_every_n_steps", 0)  # set by one of its connectors, and 0 for never
            if self._fit.count(trainer.global_step) and every and trainer.global_step % every == 0:
                self._keep_metrics(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the metrics of the epoch."""
        self._keep_metrics(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the metrics of the validation."""
        if not trainer.sanity_checking:
            self._keep_metrics(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure a last time, while the model is on its device, and write the report."""
        if self._fit is not None and self._fit.at_work:
            self._fit.end(measure=True)
            if self._report:
                self._fit.report(say=trainer.is_global_zero and self._options.get("sinks", "auto") == "auto")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave nothing behind when training breaks off."""
        self._break_off()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Leave nothing behind when there was nothing to train."""
        self._break_off()

    def _keep_metrics(self, trainer: Trainer) -> None:
        if self._fit is not None and self._fit.at_work:
            self._fit.keep(lambda: trainer.logged_metrics)

    def _break_off(self) -> None:
        if self._fit is not None:
            self._fit.end(measure=False)

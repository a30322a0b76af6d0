"""The probe of a fit: what Lightning shows goes to it, and nothing that fails here reaches Lightning."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from ibprobe import IBProbe, MissingExtra, TerminalSink
from ibprobe_lightning.curves import Curves

log = logging.getLogger("ibprobe")


class Fit:
    """Feeds and ends a probe.

    Args:
        trained: what Lightning trains.
        probe: made for it or for a part of it.
        labels: function from a batch to its labels; None where none are asked for.
    """

    def __init__(self, trained: nn.Module, probe: IBProbe, labels: Callable[[Any], Tensor] | None) -> None:
        self.probe = probe
        self.step = 0
        """Optimizer steps, as Lightning counts them."""
        self.at_work = False
        """Whether it has begun and not ended."""
        self._trained, self._labels = weakref.ref(trained), labels
        self._curves, self._failed = Curves(), set[str]()

    def is_of(self, trained: nn.Module, step: int) -> bool:
        """Whether this is the fit that goes on where that module is trained on after so many steps."""
        return self._trained() is trained and 0 < step == self.step

    def begin(self, step: int) -> None:
        """Register the hooks.

        Raises:
            BadRun: the run directory holds another run.
        """
        self.step = step
        self.probe.attach(step=step)
        self.at_work = True

    def observe(self, batch: Any) -> None:
        """Show the labels of a batch that was trained on."""
        if self._labels is not None:
            self._isolated("labels=", self._show, self._labels, batch)

    def _show(self, labels: Callable[[Any], Tensor], batch: Any) -> None:
        self.probe.observe(y=labels(batch))

    def count(self, step: int) -> bool:
        """Show the optimizer steps that were taken, several where there are several optimizers; whether any was."""
        before, self.step = self.step, step
        for _ in range(before, step):
            self.probe.step()
        return step > before

    def keep(self, metrics: Callable[[], Mapping[str, Tensor]]) -> None:
        """Keep the logged values that are new."""
        self._isolated("keeping metrics", lambda: self.probe.log(None, **self._curves.new(metrics())))

    def end(self, *, measure: bool) -> None:
        """Measure a last time, unless the fit was broken off, and remove the hooks."""
        if self.at_work:
            self.at_work = False
            self._isolated("the end", lambda: self.probe.detach(measure=measure))

    def report(self, *, say: bool) -> None:
        """Write the report beside the records, if anything was measured, and ``say`` where."""
        if len(self.probe.estimates):
            self._isolated("report.html", self._write_report, say)

    def _write_report(self, say: bool) -> None:
        try:
            path = self.probe.report(self.probe.run_dir / "report.html")
            if say:
                TerminalSink(live=False).close(f"report in {path}")
        except MissingExtra as e:
            log.warning("ibprobe: %s; for none: report=False", e)

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it, as plain types and tensors."""
        found: dict[str, Any] = {}
        self._isolated("the state for a checkpoint", lambda: found.update(self._state()))
        return found

    def _state(self) -> dict[str, Any]:
        run = self.probe.estimates.meta["run"]
        return {"run": run, "run_dir": str(self.probe.run_dir), "probe": self.probe.state_dict()}

    def _isolated(self, what: str, call: Callable[..., None], *args: Any) -> None:
        """What fails is told once and left out from there; training goes on."""
        if what in self._failed:
            return
        try:
            call(*args)
        except Exception as e:
            self._failed.add(what)
            log.warning("ibprobe: %s failed and is left out, training goes on: %s: %s", what, type(e).__name__, e)

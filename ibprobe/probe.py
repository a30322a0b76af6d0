"""IBProbe: it wires everything together and is the only module that knows every other."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Optimizer

from ibprobe.capture.layers import LayerSpec, select_layers, unwrap
from ibprobe.capture.loop import Loop
from ibprobe.capture.passes import Draws
from ibprobe.capture.rows import RowSet
from ibprobe.capture.sources import ReplaySource, Source
from ibprobe.capture.stream import StreamSource
from ibprobe.capture.views import View
from ibprobe.capture.watch import Watch
from ibprobe.checkpoint import check_options, versions
from ibprobe.errors import BadInput
from ibprobe.estimate.channel import Channel, Noise, Target
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.plugins import beside_brackets
from ibprobe.record.alerts import AlertCallback, checked
from ibprobe.record.records import Event, Records
from ibprobe.record.rundir import RunDir, new_run_dir
from ibprobe.runtime import InlineRuntime
from ibprobe.schedule import Budget, Every, due_when
from ibprobe.sinks.fanout import Fanout, SinkSpec, make_sinks

log = logging.getLogger("ibprobe")


class IBProbe:
    """Watches a model while it trains and measures what its layers keep of input and target.

    Use it as a context manager, or call :meth:`attach` and :meth:`detach`. It never changes weights, optimizer state
    or random states; whatever fails inside disarms it with one line, and training goes on. ``IBPROBE=off`` in the
    environment makes it inert.

    Args:
        model: the module that the training loop calls.
        layers: ``"auto"``, or names, glob patterns and module classes.
        loss: the criterion *module*; labels are then seen by themselves.
        optimizer: the optimizer; steps are then counted by themselves. Else call :meth:`step` after each.
        probe_set: rows to measure instead of training inputs: ``(x, y)``, a loader, or
            ``{"train": …, "held_out": …}``. Without it, the first ``rows`` distinct training inputs are kept.
        mode: ``replay`` runs kept inputs through the model in eval mode; ``stream`` copies rows out of training
            forwards.
        every: ``"log"``, a number of optimizer steps, or ``step -> bool``.
        rows: distinct inputs to measure on.
        noise: ``relative``, ``per_unit`` or ``absolute``; with ``sigma`` it defines T̃ = view(T) + std·ε.
        sigma: noise size.
        target: ``population``, or ``probe_set`` when the probe set is all inputs there are.
        view: ``auto``, ``flatten``, ``first``, or a function from an output tensor to rows ``(n, d)``.
        estimator: ``auto`` (brackets, critics at some snapshots), ``channel`` (brackets only), or what runs beside the
            brackets at every snapshot: a name that ``ibprobe plugins`` lists.
        passes: forward passes of layers that draw random numbers, 16 for example; with 1 their I(X;T̃) has an upper
            end only. For ``mode="replay"``, as the next one.
        train_mode: let dropout draw as in training; normalisation keeps to its running statistics.
        budget: share of the run's time that measuring may take, or None for every scheduled step.
        sinks: ``"auto"``, names, sink objects or a list of them. The run directory is always written.
        run_dir: where; ``runs/ib/<UTC time>-<id>`` by default.
        config: the run's own settings, kept with the records.
        on_flag: called with an :class:`ibprobe.Alert`, once, when a layer collapses, memorises or cannot be trusted, or
            when the probe is disarmed.
        seed: of noise, critics, and what the model draws while it is replayed.

    Raises:
        ProbeError: a setting that cannot work, always from the constructor and never from within training.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: LayerSpec = "auto",
        *,
        loss: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        probe_set: Any = None,
        mode: Literal["replay", "stream"] = "replay",
        every: Every = "log",
        rows: int = 2048,
        noise: Noise = "relative",
        sigma: float = 0.25,
        target: Target = "population",
        view: View = "auto",
        estimator: str = "auto",
        passes: int = 1,
        train_mode: bool = False,
        budget: float | None = 0.05,
        sinks: SinkSpec = "auto",
        run_dir: str | Path | None = None,
        config: Mapping[str, Any] | None = None,
        on_flag: AlertCallback | None = None,
        seed: int = 0,
    ) -> None:
        check_options(model, mode, rows, view)
        draws = Draws(passes, train_mode, seed)
        beside = beside_brackets(estimator)
        channel, core = Channel(noise, sigma, seed, target=target), unwrap(model)
        found = select_layers(core, layers)
        self._watch = Watch(model, loss, optimizer)
        self.run_dir = Path(run_dir) if run_dir is not None else new_run_dir()
        """Where the records are written."""
        self._sinks = (RunDir(self.run_dir), make_sinks(sinks))
        self._due, self._budget = due_when(every), Budget(budget)
        meta = {
            **versions(), "model": type(core).__name__, "layers": list(found), "mode": mode, "rows": rows,
            "noise": noise, "sigma": sigma, "draws": channel.draws, "target": target, "seed": seed,
            "view": view if isinstance(view, str) else getattr(view, "__name__", "custom"), "estimator": estimator,
            "every": "custom" if callable(every) else every, "budget": budget, "config": dict(config or {}),
            **draws.meta,
        }  # fmt: skip
        by_layer = LayerEstimator(channel, beside, "mine" if estimator == "auto" else estimator)
        self._runtime = InlineRuntime(by_layer, estimator, self._budget, meta, checked(on_flag))
        self._source = _make_source(mode, model, found, rows, view, probe_set, target, draws)
        self._attached = self._armed = self._pending = False
        self._loop = Loop(expects_labels=probe_set is None)

    def attach(self) -> IBProbe:
        """Register the hooks and begin the run; a second call does nothing, after :meth:`detach` the run goes on."""
        if self._source is None or self._attached:
            return self
        try:
            self._source.open()
            self._watch.start(on_inputs=self._on_inputs, on_labels=self._on_labels, on_step=self._on_step)
        except BaseException:
            self._release()
            raise
        self._attached = self._armed = True
        self._runtime.begin(Fanout(*self._sinks))
        self._isolated(self._measure_if_due)
        return self

    def detach(self, *, measure: bool = True) -> None:
        """Measure a last time, remove every hook, close the sinks; a second call does nothing.

        Args:
            measure: whether to take the last snapshot, which the budget does not limit.
        """
        if not self._attached:
            return
        self._loop.ended()
        try:
            if measure and self._loop.step not in self.estimates.steps:
                self._isolated(self._runtime.last, self._take, self._loop.step)
        finally:
            self._release()
            self._attached = False
            self._runtime.end(self._loop.step, self.run_dir)

    def __enter__(self) -> IBProbe:
        return self.attach()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach(measure=kind is None)

    def _release(self) -> None:
        self._armed = False
        self._watch.stop()
        if self._source is not None:
            self._source.close()

    def observe(self, *, y: Tensor) -> None:
        """Give the targets of the last forward pass, one a row, where no criterion module shows them."""
        self._isolated(self._see_labels, y, True)

    def step(self) -> None:
        """Say that an optimizer step was taken; with ``optimizer=`` they are counted already and this does nothing."""
        if not self._watch.counts_steps:
            self._on_step()

    def measure(self) -> Records:
        """Take a snapshot now, whatever schedule and budget say.

        Returns:
            The new estimates; empty when the probe is inert, detached or disarmed.
        """
        before = len(self.estimates)
        self._isolated(self._runtime.demanded, self._take, self._loop.step)
        return Records(self.estimates.estimates[before:], meta=self.estimates.meta)

    def log(self, step: int | None = None, **values: Any) -> None:
        """Keep curves of your own, such as ``loss=0.3``, to be shown beside ours.

        Args:
            step: optimizer step; by default, those counted so far.
            **values: numbers; a tensor of one element is read, which waits for its device. What is no number is left
                out, with one warning.
        """
        self._isolated(self._runtime.log, self._loop.step if step is None else step, values)

    def report(self, path: str | Path = "report.html") -> Path:
        """Write what was measured so far as one HTML page, as ``ibprobe report`` does.

        Raises:
            BadInput: nothing was measured, or the page cannot be written.
            MissingExtra: the packages of the ``report`` extra are not installed.
        """
        from ibprobe.show.report import write_report

        return write_report([(self.run_dir.name, self.estimates)], path)

    @property
    def estimates(self) -> Records:
        """Everything measured so far."""
        return self._runtime.records

    def _on_step(self) -> None:
        if not self._armed:
            return
        self._loop.stepped()
        self._isolated(self._measure_if_due)
        self._runtime.tick()

    def _on_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._isolated(self._see_inputs, args, kwargs)

    def _on_labels(self, y: Tensor) -> None:
        self._isolated(self._see_labels, y, False)

    def _see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert self._source is not None
        self._loop.forward(args, kwargs)
        with self._budget.paying("collecting"):
            self._source.see_inputs(args, kwargs, self._loop.step)

    def _see_labels(self, y: Tensor, observed: bool) -> None:
        assert self._source is not None
        self._source.see_labels(self._loop.targets(y, observed=observed))

    def _measure_if_due(self) -> None:
        self._measure_if_ready()
        if self._due(self._loop.step) and not self._runtime.has(self._loop.step):
            self._budget.early += self._pending
            self._pending = self._pending or self._runtime.accepts()
            self._measure_if_ready()

    def _measure_if_ready(self) -> None:
        assert self._source is not None
        if self._pending and self._source.want():
            self._pending = False
            self._runtime.scheduled(self._take)

    def _take(self) -> list[RowSet]:
        assert self._source is not None
        self._watch.paused = True
        try:
            return self._source.take(self._loop.step)
        finally:
            self._watch.paused = False

    def _isolated(self, call: Callable[..., None], *args: Any) -> None:
        """Run our own code so that nothing it does can stop the training that called it."""
        if not self._armed:
            return
        try:
            call(*args)
        except Exception as e:
            self._disarm(e)

    def _disarm(self, error: Exception) -> None:
        self._release()
        why = f"{type(error).__name__}: {error}"
        log.warning("ibprobe: disarmed at step %d, training goes on: %s", self._loop.step, why)
        self._runtime.keep(events=[Event(step=self._loop.step, kind="disarmed", why=why)])


def _make_source(
    mode: str,
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    rows: int,
    view: View,
    probe_set: Any,
    target: Target,
    draws: Draws,
) -> Source | None:
    """Where rows come from; None where the environment switches probes off."""
    if mode == "stream" and probe_set is not None:
        raise BadInput('probe_set= belongs to mode="replay"; mode="stream" copies rows out of training forwards')
    if mode == "stream" and (draws.passes > 1 or draws.train_mode):
        raise BadInput('passes= and train_mode= belong to mode="replay"; mode="stream" sees forwards as they are')
    if target == "probe_set" and probe_set is None:
        raise BadInput('target="probe_set" needs probe_set=, all inputs that there are; training inputs are a sample')
    if os.environ.get("IBPROBE") == "off":
        return None
    if mode == "stream":
        return StreamSource(unwrap(model), layers, rows=rows, view=view, called=model)
    core, whole = unwrap(model), target == "probe_set"
    return ReplaySource(core, layers, rows=rows, view=view, probe_set=probe_set, all_there_is=whole, draws=draws)

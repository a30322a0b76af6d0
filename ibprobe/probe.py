"""IBProbe: it wires everything together and is the only module that knows every other."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from torch import Tensor, nn
from torch.optim import Optimizer

from ibprobe.capture.gathering import Gathering
from ibprobe.capture.layers import LayerSpec, select_layers, unwrap
from ibprobe.capture.modes import make_source
from ibprobe.capture.passes import Draws
from ibprobe.capture.replay import device_of
from ibprobe.capture.sharded import class_name
from ibprobe.capture.views import ViewSpec, check_view, named
from ibprobe.capture.watch import Watch
from ibprobe.checkpoint import check_options, versions
from ibprobe.doctor import Diagnosis, diagnosis
from ibprobe.errors import BadInput
from ibprobe.estimate.channel import Channel, Noise, Target
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.plugins import Plugins
from ibprobe.record.alerts import AlertCallback, checked
from ibprobe.record.records import Event, Records
from ibprobe.record.rundir import RunDir, new_run_dir
from ibprobe.runtime.guard import Guard
from ibprobe.runtime.identity import agreed, resumed, state_of
from ibprobe.runtime.journal import Journal
from ibprobe.runtime.places import PlaceName, make_place
from ibprobe.runtime.snapshots import Snapshots
from ibprobe.runtime.team import Distribute, Team
from ibprobe.schedule import Budget, Every, StepTimes, due_when
from ibprobe.sinks.fanout import Fanout, SinkSpec

log = logging.getLogger("ibprobe")


class IBProbe:
    """Watches a model while it trains and measures what its layers keep of input and target.

    Use it as a context manager, or call ``attach()`` and ``detach()``. It never changes weights, optimizer state
    or random states; whatever fails inside disarms it with one line, and training goes on. ``IBPROBE=off`` in the
    environment makes it inert.

    Args:
        model: the module that the training loop calls.
        layers: ``"auto"``, or names, glob patterns and module classes.
        loss: the criterion *module*; labels are then seen by themselves.
        optimizer: the optimizer; steps are then counted by themselves. Else call ``step()`` after each.
        probe_set: rows to measure instead of training inputs: ``(x, y)``, a loader, or
            ``{"train": …, "held_out": …}``. Without it, the first ``rows`` distinct training inputs are kept.
        mode: ``replay`` runs kept inputs through the model in eval mode; ``stream`` copies rows out of training
            forwards.
        every: ``"log"``, a number of optimizer steps, or ``step -> bool``.
        rows: distinct inputs to measure on.
        noise: ``relative``, ``per_unit`` or ``absolute``: T̃ = view(T) + std·ε.
        sigma: noise size.
        target: ``population``, or ``probe_set`` when the probe set is all inputs there are.
        view: ``auto``, ``flatten``, another name of ``ibprobe plugins``, a function from an output tensor to rows
            ``(n, d)``, or a mapping from patterns of layers' names to such.
        estimator: ``auto`` (brackets, critics at some snapshots), ``channel`` (brackets only), or a name of ``ibprobe
            plugins``: what runs beside the brackets at every snapshot.
        passes: forward passes of layers that draw random numbers; with 1 their I(X;T̃) has an upper end only.
        train_mode: let dropout draw as in training; normalisation keeps to its running statistics.
        budget: how much longer a watched run may take, as a share of the training's own time; None for no limit.
        runtime: where it is worked on: ``inline``, while training waits; ``thread``, beside training on one processor;
            ``cuda-stream``, that thread on its own stream. A step that is due while another is worked on is left out
            and counted. ``auto`` is ``inline``.
        sinks: ``auto``, names of ``ibprobe plugins``, objects, functions ``(values, step)``; the run directory always.
        run_dir: where; ``runs/ib/<UTC time>-<id>`` by default.
        config: the run's own settings, kept with the records.
        on_flag: called with an :class:`ibprobe.Alert`, once for each thing that a person should look at.
        distribute: over several processes: with ``auto`` the first one measures, with ``layers`` each some layers.
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
        view: ViewSpec = "auto",
        estimator: str = "auto",
        passes: int = 1,
        train_mode: bool = False,
        budget: float | None = 0.05,
        runtime: PlaceName = "auto",
        sinks: SinkSpec = "auto",
        run_dir: str | Path | None = None,
        config: Mapping[str, Any] | None = None,
        on_flag: AlertCallback | None = None,
        distribute: Distribute = "auto",
        seed: int = 0,
    ) -> None:
        check_options(model, mode, rows)
        draws, core, whole = Draws(passes, train_mode, seed), unwrap(model), target == "probe_set"
        plugins, channel = Plugins(), Channel(noise, sigma, seed, target=target)
        beside, views = plugins.beside_brackets(estimator), plugins.views(view)
        found, device, team = select_layers(core, layers), device_of(core), Team(core, distribute, mode)
        check_view(views, found)
        meta = {
            **versions(), "run": uuid4().hex, "model": class_name(core), "layers": list(found), "mode": mode,
            "rows": rows, "noise": noise, "sigma": sigma, "draws": channel.draws, "target": target, "seed": seed,
            "view": named(view), "estimator": estimator, "every": "custom" if callable(every) else every,
            "budget": budget, "runtime": runtime, "config": dict(config or {}), **draws.meta, **team.meta,
        }  # fmt: skip
        watch = Watch(model, loss, optimizer)
        self._team, self._given_dir, self._sinks = team, run_dir is not None, plugins.sinks(sinks)
        self._files = RunDir(Path(run_dir) if run_dir is not None else new_run_dir(), team.ranks.rank)
        self._budget, self._attached = Budget(budget), False
        self._journal = journal = Journal(meta, checked(on_flag), team.rank)
        self._isolated = Guard(self._budget, self._disarm)
        by_layer = LayerEstimator(channel, beside, "mine" if estimator == "auto" else estimator)
        place, times = make_place(runtime, device), StepTimes() if runtime == "cuda-stream" else None
        due, pace = due_when(every), team.pace
        self._snapshots = Snapshots(due, by_layer, estimator, self._budget, journal, place, times, pace)
        self._rows: Gathering | None = None
        self._off = "switched off by IBPROBE=off" if os.environ.get("IBPROBE") == "off" else team.rests
        if not self._off:
            given = {"rows": rows, "view": views, "probe_set": probe_set, "all_there_is": whole, "draws": draws}
            source = team.source(core, found, partial(make_source, mode, model, **given))
            self._rows = Gathering(watch, source, expects_labels=probe_set is None and team.writes)

    @property
    def run_dir(self) -> Path:
        """Where the records are written, by other processes too; those that rest know what they were given."""
        return self._files.path

    def attach(self, *, step: int | None = None) -> IBProbe:
        """Register the hooks and begin the run; a second call does nothing, after ``detach()`` the run goes on.

        Args:
            step: optimizer steps that the loop has taken already; by default, those counted so far.

        Raises:
            BadRun: the run directory holds another run.
        """
        rows = self._rows
        if rows is None or self._attached:
            return self
        self._team.open(lambda: self._files.check(self._journal.meta["run"]))
        rows.open(
            step,
            on_inputs=lambda args, kwargs: self._isolated(rows.see_inputs, args, kwargs),
            on_labels=lambda y: self._isolated(rows.see_labels, y, False),
            on_step=partial(self._snapshots.counted, rows, self._isolated),
        )
        self._attached = self._isolated.armed = True
        self._budget.start()
        if self._team.first:  # before others look there
            self._journal.open(Fanout(self._files, self._sinks))
        self._isolated(self._meet, rows)
        self._isolated(self._snapshots.passed, rows)
        return self

    def detach(self, *, measure: bool = True) -> None:
        """Measure a last time, remove every hook, close the sinks; a second call does nothing.

        Args:
            measure: whether to finish the snapshot that is under way and to take a last one, which the budget does not
                limit.
        """
        if self._rows is None or not self._attached:
            return
        self._rows.ended()
        try:
            if measure:
                self._isolated(self._snapshots.last, self._rows)
        finally:
            self._release()
            self._attached = False
            self._journal.close(f"{self._snapshots.end(self._rows.step)}; records in {self.run_dir}")
            self._budget.stop()

    def __enter__(self) -> IBProbe:
        return self.attach()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.detach(measure=kind is None)

    def observe(self, *, y: Tensor) -> None:
        """Give the targets ``y`` of the last forward pass, one a row, where no criterion module shows them."""
        if self._rows is not None:
            self._isolated(self._rows.see_labels, y, True)

    def step(self) -> None:
        """Say that an optimizer step was taken; with ``optimizer=`` they are counted already and this does nothing."""
        if self._rows is not None and not self._rows.counts_steps:
            self._snapshots.counted(self._rows, self._isolated)

    def measure(self) -> Records:
        """Take a snapshot now, whatever schedule and budget say.

        Returns:
            The new estimates; empty when the probe is inert, detached or disarmed.
        """
        before = len(self.estimates)
        if self._rows is not None:
            self._isolated(self._snapshots.demanded, self._rows)
        return Records(self.estimates.estimates[before:], meta=self.estimates.meta)

    def log(self, step: int | None = None, **values: Any) -> None:
        """Keep curves of your own, such as ``loss=0.3``, to be shown beside ours.

        Args:
            step: optimizer step; by default, those counted so far.
            **values: numbers; a tensor of one element is read, which waits for its device. What is no number is left
                out, with one warning.
        """
        if self._rows is not None and self._attached and self._team.first:  # a probe that is disarmed keeps them, too
            with suppress(Exception), self._budget.paying("all"):
                self._journal.log(self._rows.step if step is None else step, values)

    def report(self, path: str | Path = "report.html", *, sections: str | Sequence[str] = "auto") -> Path:
        """Write what was measured so far as one HTML page, as ``ibprobe report`` does.

        Raises:
            BadInput: nothing was measured, or ``path`` cannot be written (of several processes, the first one writes).
            UnknownName: one of ``sections`` is not what ``ibprobe plugins`` lists; ``auto`` stands for ours.
            MissingExtra: the packages of the ``report`` extra are not installed.
        """
        from ibprobe.show.report import write_report

        if not self._team.first:
            return Path(path)
        return write_report([(self.run_dir.name, self.estimates)], path, sections=Plugins().sections(sections))

    @property
    def estimates(self) -> Records:
        """Everything measured so far."""
        return self._journal.records

    def doctor(self) -> Diagnosis:
        """What the probe sees of each layer, what it holds, and whether it is at work; ``print`` it.

        With rows at hand and nothing measured yet, they are run through the model once.
        """
        source = None if self._rows is None else self._rows.looked_at()
        return diagnosis(source, self._journal, self._budget, armed=self._isolated.armed, off=self._off)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs to go on with the same rows and records, loadable with ``weights_only=True``.

        Brackets under way are finished first, critics given up. The size is that of the collected inputs (at most
        256 MiB, none with ``probe_set=``), 300 bytes a record, and what critics have learned; ``doctor()`` states it.
        """
        if self._rows is None or not self._team.writes:
            return {}
        self._isolated(self._snapshots.finish)
        return state_of(self._journal, self._files, self._rows, self._snapshots)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from the ``state`` of ``state_dict()``, before ``attach()``; in the same run directory if it is there.

        Raises:
            BadInput: the probe is attached, or the state is of a probe that measures something else.
        """
        if self._rows is None or not state or not self._team.writes:
            return
        if self._attached:
            raise BadInput("load_state_dict() comes before attach() or the with statement")
        self._files = resumed(state, self._journal, self._files, self._rows, self._snapshots, given=self._given_dir)

    def _meet(self, rows: Gathering) -> None:
        self._files = agreed(self._team, self._journal, self._files, rows, self._snapshots)
        if self._team.writes and not self._team.first:
            self._journal.open(Fanout(self._files, []))

    def _disarm(self, error: Exception) -> None:
        assert self._rows is not None
        self._release()
        why = f"{type(error).__name__}: {error}"
        log.warning("ibprobe: disarmed at step %d, training goes on: %s", self._rows.step, why)
        self._journal.keep(events=[Event(step=self._rows.step, kind="disarmed", why=why)])

    def _release(self) -> None:
        self._isolated.armed = False
        self._team.part()
        if self._rows is not None:
            self._rows.close()

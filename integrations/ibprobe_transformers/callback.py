"""The callback: the Trainer's events become the probe's calls."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from time import gmtime, strftime
from typing import Any, ParamSpec
from uuid import uuid4

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ibprobe import BadInput, IBProbe, MissingExtra, TerminalSink, UnknownName
from ibprobe_transformers.checkpoints import name_of, saved_state, unusable
from ibprobe_transformers.trainer import Calling, SeenBatches, reporting
from ibprobe_transformers.views import proposed_layers, proposed_view

log = logging.getLogger("ibprobe")

_P = ParamSpec("_P")


def isolated(call: Callable[_P, None]) -> Callable[_P, None]:
    """Whatever fails in our own code takes the probe off, with one line; training goes on."""

    @wraps(call)
    def guarded(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            call(*args, **kwargs)
        except Exception as e:
            log.warning("ibprobe: %s failed and the probe is taken off: %s: %s", call.__name__, type(e).__name__, e)
            callback = args[0]
            assert isinstance(callback, IBProbeCallback)
            callback.detach(measure=False)

    return guarded


class IBProbeCallback(TrainerCallback):
    """Measures what each block of the Trainer's model keeps of its input and of its target, while it trains.

    Inputs and labels are the training batches'; steps are the Trainer's; a run directory is written under
    ``args.output_dir/ibprobe``, and each checkpoint holds the probe's state.

    Args:
        labels: what of a batch is the target, ``batch -> labels``, one a row or one a token; by default ``labels``, or
            what the model's only label is called.
        resume_from: the checkpoint folder to go on from, where the Trainer does not say it.
        report: whether ``report.html`` is written beside the records at the end.
        **options: of :class:`ibprobe.IBProbe`. Where they do not say otherwise, ``layers`` are the blocks and the head,
            and ``view`` is chosen by the model's task and stated in the records.

    Raises:
        UnknownName: an option that is none.
        BadInput: an option that the Trainer sees to.
    """

    def __init__(
        self,
        *,
        labels: Callable[[Mapping[str, Any]], Tensor] | None = None,
        resume_from: str | Path | None = None,
        report: bool = True,
        **options: Any,
    ) -> None:
        known = set(inspect.signature(IBProbe).parameters)
        for name in options:
            if name not in known:
                raise UnknownName("option", name, known)
            if name in ("model", "optimizer", "loss"):
                raise BadInput(f"{name}= comes from the Trainer: leave it out")
        self.probe: IBProbe | None = None
        """The probe of the last training; its ``estimates`` and ``doctor()`` are those of any probe."""
        self._labels, self._report, self._options = labels, report, options
        self._resume_from = None if resume_from is None else Path(resume_from)
        self._batches: SeenBatches | None = None
        self._label = "labels"

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Attach; a setting that cannot work raises here, before the first step."""
        self.detach(measure=False)
        caller, saved = Calling(), None
        if state.global_step:
            saved = saved_state(
                self._resume_from, caller.resumed_from, Path(str(args.output_dir), f"checkpoint-{state.global_step}"),
                rank=args.process_index,
            )  # fmt: skip
        self.probe = self._made(kwargs["model"], args, caller, saved)
        self.probe.attach(step=state.global_step)
        if caller.trainer is not None:
            names = caller.trainer.label_names
            self._label = names[0] if len(names) == 1 else "labels"
            self._batches = SeenBatches(caller.trainer, self._see, lambda: self.detach(measure=False))

    def _made(
        self, model: nn.Module, args: TrainingArguments, caller: Calling, saved: Mapping[str, Any] | None
    ) -> IBProbe:
        options = dict(self._options)
        if "layers" not in options:
            options["layers"] = proposed_layers(model)
        if "view" not in options:
            view = proposed_view(model)  # the user's own layers may all be of the encoder, which no pattern would fit
            options["view"] = "".join(view.values()) if isinstance(view, dict) and "layers" in self._options else view
        report = None if caller.trainer is None else reporting(caller.trainer)
        if report is not None and options.get("sinks", "auto") == "auto":
            options["sinks"] = ["auto", report]
        fresh = Path(str(args.output_dir), "ibprobe", f"{strftime('%Y%m%dT%H%M%SZ', gmtime())}-{uuid4().hex[:6]}")
        given = options.pop("run_dir", None)
        if saved is not None:
            earlier = Path(str(saved.get("run_dir", fresh)))
            probe = IBProbe(model, run_dir=given or (earlier if earlier.exists() else fresh), **options)
            try:
                probe.load_state_dict(saved)
                return probe
            except Exception as e:
                log.warning("ibprobe: a new run begins: %s", e if isinstance(e, BadInput) else unusable(e))
        return IBProbe(model, run_dir=given or fresh, **options)

    @isolated
    def _see(self, batch: dict[str, Any]) -> None:
        y = batch.get(self._label) if self._labels is None else self._labels(batch)
        if self._labels is not None and not isinstance(y, Tensor):
            raise BadInput(f"labels= gave a {type(y).__name__}; expected a tensor, one label a row or one a token")
        if self.probe is not None and isinstance(y, Tensor):
            self.probe.observe(y=y)

    @isolated
    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """An optimizer step was taken."""
        if self.probe is not None:
            self.probe.step()

    @isolated
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the Trainer's curves beside ours."""
        values = {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
        if self.probe is not None:
            self.probe.log(state.global_step, **values)
        if args.load_best_model_at_end and "train_runtime" in values:
            self.detach()  # training is over, and the weights of another step are loaded next

    @isolated
    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Put the probe's state into the checkpoint."""
        folder = Path(str(args.output_dir), f"checkpoint-{state.global_step}")
        kept = {} if self.probe is None else self.probe.state_dict()
        if folder.is_dir() and (kept or args.process_index == 0) and self.probe is not None:
            torch.save(kept, folder / name_of(args.process_index))

    @isolated
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure a last time, write the report, leave no trace."""
        self.detach()
        if self.probe is None or not self._report or not self.probe.estimates.estimates:
            return
        try:
            path = self.probe.report(self.probe.run_dir / "report.html")
            if state.is_world_process_zero and self._options.get("sinks", "auto") == "auto":
                TerminalSink(live=False).close(f"report in {path}")
        except MissingExtra as e:
            log.info("ibprobe: no report: %s", e)

    def detach(self, *, measure: bool = True) -> None:
        """Take the probe off, also before training ends; a second call does nothing.

        Args:
            measure: whether to measure a last time.
        """
        batches, self._batches = self._batches, None
        if batches is not None:
            batches.stop()
        if self.probe is not None:
            self.probe.detach(measure=measure)

"""Run kept inputs through the model as it is now, and leave no trace of having done so."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ibprobe.capture.autocast import autocast_here
from ibprobe.capture.bystanders import Bystanders
from ibprobe.capture.company import Alone, Company
from ibprobe.capture.conditions import Conditions
from ibprobe.capture.encoders import VIEW, Moments
from ibprobe.capture.layouts import layouts
from ibprobe.capture.passes import Draws, draw_as_in_training, with_passes
from ibprobe.capture.randomness import Randomness
from ibprobe.capture.recorder import Recorder
from ibprobe.capture.rows import ROWS_BYTES, Batch, LayerRows, RowSet, chunks, first_rows, input_matrix, join, map_parts
from ibprobe.capture.taps import install, remove
from ibprobe.capture.tokens import common, one_token_each, token_view
from ibprobe.capture.untouched import untouched
from ibprobe.capture.views import Views
from ibprobe.errors import ReplayFailed

log = logging.getLogger("ibprobe")

# Two runs of a layer that differ by more than this share of its spread are two samples, not two roundings.
_SAME = 1e-3


@dataclass(slots=True)
class Known:
    """What earlier forward passes have shown of a model."""

    conditions: Conditions = field(default_factory=Conditions)
    bystanders: Bystanders = field(default_factory=Bystanders)
    told_of_memory: bool = False

    @classmethod
    def here(cls) -> Known:
        """Nothing but the context that the caller has set up."""
        return cls(Conditions(autocast=autocast_here()))


def device_of(model: nn.Module) -> torch.device:
    """Where the model's inputs have to be."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def couples_rows(model: nn.Module) -> bool:
    """Whether batch statistics make a row's activations depend on the other rows of its batch."""
    norms = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return any(m.training or m.running_mean is None for m in norms)


def replay(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Sequence[Batch],
    *,
    view: Views = "auto",
    split: str = "all",
    mode: str = "measure",
    step: int = 0,
    dropped: int = 0,
    draws: Draws = Draws(),  # noqa: B008 (it is frozen)
    known: Known | None = None,
    room: int = ROWS_BYTES,
    company: Company | None = None,
) -> RowSet:
    """Run the batches, in eval mode unless ``draws`` says otherwise, and collect each layer's rows.

    Weights, buffers, training flags and all random states are afterwards what they were before. The first rows run
    twice: layers that answer differently draw random numbers. Other people's hooks that only look see them once, and
    nothing of the others; the first time, the rows run without hooks as well.

    Args:
        model: unwrapped model.
        layers: modules to record, by name.
        batches: inputs of distinct rows.
        view: how outputs become rows.
        split: label of these rows.
        mode: ``measure`` or ``replay``.
        step: optimizer steps taken.
        dropped: repeated inputs that were left out.
        draws: what layers that draw random numbers do.
        known: of this model, to be used and completed; None for a model that is met once, in the caller's context.
        room: bytes that the rows of all layers may take; beyond it, only the first rows are replayed.
        company: who runs the model, gathered already; by default this process alone.

    Raises:
        ReplayFailed: the model raised.
    """
    device, tokens = device_of(model), token_view(view)
    if tokens is not None:
        decoder = getattr(getattr(model, "config", None), "is_encoder_decoder", False)
        batches = one_token_each(batches, tokens, decoder=decoder)
    known = Known.here() if known is None else known
    run = _Run(model, layers, view, draws, known, device, company or Alone())
    with run.generators.preserved(), untouched(model), known.conditions.reproduced(device):
        if draws.train_mode:
            draw_as_in_training(model)
        coupled = couples_rows(model)
        first = next(chunks(batches, known.conditions.chunk))
        again = run.meet(first)
        kept = first_rows(batches, _fitting(batches, again, room // (1 + (draws.passes > 1)), known))
        with known.bystanders.spared(model):
            recorder = run.record(layers, kept)
            found = _found(recorder, again, coupled, dropped)
            # Where rows share batch statistics, the same batches would give the same rows once more.
            if draws.passes > 1 and not coupled:
                found = with_passes(found, layers, draws.passes, lambda some: run.record(some, kept).rows)
    y, keys = join([b.y for b in kept]), torch.cat([b.keys for b in kept])
    y = y if y is None or tokens is None else common(y)
    sightings = tuple(replace(seen, split=split) for seen in recorder.sightings(layers))
    return RowSet(tuple(found), y, input_matrix(kept), keys, split, mode, (step, step), sightings)


class _Run:
    """Forward passes of one replay."""

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        view: Views,
        draws: Draws,
        known: Known,
        device: torch.device,
        company: Company,
    ) -> None:
        self._company = company
        self._model, self._layers, self._view, self._draws, self._known = model, layers, view, draws, known
        self._axes, self._device = layouts(model, layers), device
        self.generators = Randomness(model.modules(), device)
        parameters = inspect.signature(model.forward).parameters
        self._takes_labels = "labels" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    def record(self, layers: Mapping[str, nn.Module], batches: Sequence[Batch]) -> Recorder:
        """Run all rows once, as many at a time as training does."""
        recorder = Recorder(sum(b.n for b in batches), self._view, self._axes)
        self._into(recorder, layers, chunks(batches, self._known.conditions.chunk))
        return recorder

    def meet(self, first: Batch) -> Recorder:
        """Run the first rows ahead of all: how wide layers are, which of them draw, which hooks only look."""
        hooks = self._known.bystanders
        if not hooks.on_trial(self._model):
            return self._once(first, hooks.spared(self._model))
        try:
            without = self._once(first, hooks.without_any(self._model)).rows
        except ReplayFailed:  # it needs what a hook keeps
            without = {}
        again = self._once(first, hooks.judged(self._model))
        rows = again.rows
        if rows.keys() == without.keys() and not any(_differs(t, without[name]) for name, t in rows.items()):
            hooks.spare(self._model)
        return again

    def _once(self, first: Batch, hooks: AbstractContextManager[None]) -> Recorder:
        self.generators.restart(self._draws.seed)
        recorder = Recorder(first.n, self._view, self._axes)
        with hooks:
            self._into(recorder, self._layers, [first.rows(0, first.n)])
        return recorder

    def _into(self, recorder: Recorder, layers: Mapping[str, nn.Module], batches: Iterable[Batch]) -> None:
        handles = install(layers, recorder)
        try:
            for batch in batches:
                recorder.begin(batch)
                self._forward(batch, recorder)
        finally:
            remove(handles)

    def _forward(self, batch: Batch, recorder: Recorder) -> None:
        args, kwargs = map_parts(lambda t: t.to(self._device), (batch.args, batch.kwargs))
        if not self._takes_labels:
            kwargs.pop("labels", None)
        try:
            self._company.forward(self._model, args, kwargs)
            recorder.end()
        except Exception as e:
            how = "with dropout as in training" if self._draws.train_mode else "in eval mode"
            raise ReplayFailed(
                f"the model failed when it was run again {how} on {batch.n} kept rows: {type(e).__name__}: {e}; "
                "mode='stream' copies rows from training forwards instead"
            ) from e


def _fitting(batches: Sequence[Batch], first: Recorder, room: int, known: Known) -> int:
    """Rows whose layers fit, at least two; said once when they are not all."""
    there = sum(b.n for b in batches)
    fits = max(room // max(first.bytes_a_row, 1), 2)
    if fits < there and not known.told_of_memory:
        known.told_of_memory = True
        log.warning(
            "ibprobe: expected layers whose rows fit into %d MiB, but %d layers of %d rows take %d MiB, so %d rows are "
            "measured: pass rows=%d, fewer layers=, or a view= that pools",
            room >> 20, len(first.rows), there, (there * first.bytes_a_row) >> 20, fits, fits,
        )  # fmt: skip
    return min(fits, there)


def _found(recorder: Recorder, again: Recorder, coupled: bool, dropped: int) -> list[LayerRows]:
    """Rows of the layers that have them."""
    first = again.rows
    return [
        _layer_rows(t, name, recorder.seen[name].view, coupled or _differs(t, first.get(name)), dropped)
        for name, t in recorder.rows.items()
    ]


def _layer_rows(t: Tensor, name: str, view: str, stochastic: bool, dropped: int) -> LayerRows:
    if view != VIEW:
        return LayerRows(t, name, view, stochastic, dropped=dropped)
    own = Moments.of(t)
    return LayerRows(own.mean, name, view, stochastic, dropped=dropped, scale=own.scale, rate=own.rate)


def _differs(rows: Tensor, again: Tensor | None) -> bool:
    """Whether a second run of the first of these rows gave others, or none."""
    n = 0 if again is None else min(len(rows), len(again))
    if again is None or rows.shape[1] != again.shape[1]:
        return True
    a, b = (torch.nan_to_num(t[:n].float(), 0.0, 0.0, 0.0) for t in (rows, again))
    spread = (a - a.mean(0)).square().sum(1).mean().sqrt()
    return bool((a - b).square().sum(1).mean().sqrt() > _SAME * spread)

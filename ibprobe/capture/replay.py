"""Run kept inputs through the model as it is now, and leave no trace of having done so."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ibprobe.capture.passes import Draws, draw_as_in_training, with_passes
from ibprobe.capture.randomness import Randomness
from ibprobe.capture.rows import Batch, LayerRows, RowSet, input_matrix, join, map_tensors, stacked
from ibprobe.capture.taps import CallCounter, install, remove
from ibprobe.capture.views import Layout, View, layouts, to_rows, token_mask
from ibprobe.errors import BadInput

# Two runs of a layer that differ by more than this share of its spread are two samples, not two roundings.
_SAME = 1e-3


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients or compilation; flags, attributes and buffers are left as they were found.

    An attribute that a forward pass binds anew, such as a kept hidden state, comes back. A list or dictionary that it
    changes in place does not.
    """
    modules = [(m, dict(vars(m)), dict(m._buffers)) for m in model.modules()]
    written = [(t, t.detach().clone()) for t in _written_in_place(model)]
    fast_path = torch.backends.mha.get_fastpath_enabled()
    try:
        model.eval()
        torch.backends.mha.set_fastpath_enabled(False)  # it bypasses modules and hands nested tensors on
        for module in model.modules():
            if module._compiled_call_impl is not None:  # hooks added after compiling would not run
                module._compiled_call_impl = None
        with torch.no_grad():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for module, attributes, buffers in modules:
            now = vars(module)
            for name in now.keys() - attributes.keys():
                del now[name]
            now.update(attributes)
            module._buffers.update(buffers)
        for tensor, before in written:
            if not torch.equal(tensor, before):
                with torch.no_grad():
                    tensor.copy_(before)


def _written_in_place(model: nn.Module) -> list[Tensor]:
    """What a forward pass may write to, even in eval mode: buffers, and embeddings that keep a largest norm."""
    limited = (m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag) and m.max_norm is not None)
    return [*model.buffers(), *(m.weight for m in limited)]


def couples_rows(model: nn.Module) -> bool:
    """Whether batch statistics make a row's activations depend on the other rows of its batch."""
    norms = (m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm))
    return any(m.training or m.running_mean is None for m in norms)


class _Recorder:
    """Receives the layers of one pass after another."""

    def __init__(self, view: View, axes: Mapping[str, Layout]) -> None:
        self.rows: dict[str, list[Tensor]] = defaultdict(list)
        self.views: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self._calls = CallCounter()
        self._view, self._axes = view, axes
        self.total = 0
        """Rows of all passes."""
        self._n = 0
        self._mask: Tensor | None = None

    def begin(self, batch: Batch) -> None:
        self._calls.restart()
        self._n, self._mask = batch.n, token_mask(batch.kwargs)
        self.total += batch.n

    def receive(self, layer: str, kwargs: Mapping[str, Any], output: Any) -> None:
        name = self._calls.name(layer)
        own = token_mask(kwargs)
        mask = self._mask if own is None else own
        try:
            rows, self.views[name] = to_rows(output, n=self._n, mask=mask, view=self._view, layout=self._axes[layer])
        except BadInput as e:
            self.failed[name] = str(e)
        else:
            self.rows[name].append(rows.clone())


def replay(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Sequence[Batch],
    *,
    view: View = "auto",
    split: str = "all",
    mode: str = "measure",
    step: int = 0,
    dropped: int = 0,
    draws: Draws = Draws(),  # noqa: B008 (it is frozen)
) -> RowSet:
    """Run the batches, in eval mode unless ``draws`` says otherwise, and collect each layer's rows.

    Weights, buffers, training flags and all random states are afterwards what they were before. The first batch runs
    twice: layers that answer differently draw random numbers.

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
    """
    axes = layouts(model, layers)
    recorder, again = _Recorder(view, axes), _Recorder(view, axes)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    generators = Randomness(model.modules(), device)

    def once_more(some: Mapping[str, nn.Module]) -> Mapping[str, Sequence[Tensor]]:
        further = _Recorder(view, axes)
        _run(model, some, batches, further, device)
        return further.rows

    with generators.preserved(), untouched(model):
        generators.restart(draws.seed)
        if draws.train_mode:
            draw_as_in_training(model)
        coupled = couples_rows(model)
        _run(model, layers, batches[:1], again, device)
        _run(model, layers, batches, recorder, device)
        found, silent = _found(recorder, again, layers, coupled, dropped)
        # Where rows share batch statistics, the same batches would give the same rows once more.
        if draws.passes > 1 and not coupled:
            found = with_passes(found, layers, draws.passes, once_more)
    y, keys = join([b.y for b in batches]), torch.cat([b.keys for b in batches])
    return RowSet(tuple(found), y, input_matrix(batches), keys, split, mode, (step, step), tuple(silent))


def _found(
    recorder: _Recorder, again: _Recorder, layers: Mapping[str, nn.Module], coupled: bool, dropped: int
) -> tuple[list[LayerRows], list[str]]:
    """Rows of the layers that have them, and the other layers with the reason."""
    silent = [f"{name}: {why}" for name, why in recorder.failed.items()]
    silent += [f"{name}: its forward did not run" for name in layers if name not in recorder.views | recorder.failed]
    found = []
    for name, parts in recorder.rows.items():
        t = stacked(parts, recorder.total)
        if isinstance(t, Tensor):
            stochastic = coupled or _differs(parts[0], again.rows[name])
            found.append(LayerRows(t, name, recorder.views[name], stochastic, dropped=dropped))
        elif name not in recorder.failed:
            silent.append(f"{name}: {t}")
    return found, silent


def _run(
    model: nn.Module,
    layers: Mapping[str, nn.Module],
    batches: Sequence[Batch],
    recorder: _Recorder,
    device: torch.device,
) -> None:
    handles = install(layers, recorder)
    known = inspect.signature(model.forward).parameters
    takes_labels = "labels" in known or any(p.kind is p.VAR_KEYWORD for p in known.values())
    try:
        for batch in batches:
            recorder.begin(batch)
            args, kwargs = map_tensors(lambda t: t.to(device), (batch.args, batch.kwargs))
            model(*args, **(kwargs if takes_labels else {k: v for k, v in kwargs.items() if k != "labels"}))
    finally:
        remove(handles)


def _differs(first: Tensor, again: Sequence[Tensor]) -> bool:
    """Whether a second run of the same inputs gave other rows, or none."""
    if not again or again[0].shape != first.shape:
        return True
    a, b = (torch.nan_to_num(t.float(), 0.0, 0.0, 0.0) for t in (first, again[0]))
    spread = (a - a.mean(0)).square().sum(1).mean().sqrt()
    return bool((a - b).square().sum(1).mean().sqrt() > _SAME * spread)

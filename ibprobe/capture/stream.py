"""Rows from the training forwards themselves, for models that cannot be run again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from weakref import ref

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ibprobe.capture.layers import why_not_run
from ibprobe.capture.layouts import layouts
from ibprobe.capture.randomness import Randomness
from ibprobe.capture.replay import couples_rows
from ibprobe.capture.rows import ROWS_BYTES, RowSet, Sighting, row_count
from ibprobe.capture.streamed import Pass, gathered
from ibprobe.capture.taps import CallCounter, Switch, install, remove
from ibprobe.capture.views import Views, to_rows, token_mask, view_of
from ibprobe.errors import BadInput, NoRows

log = logging.getLogger("ibprobe")

_END = ""
"""The tap on what is called, which runs last; no layer has this name."""

_TOO_LATE = (
    "the model was compiled before the probe was attached, so no layer is seen: attach before the first call, or "
    "torch.compiler.reset()"
)

_HALF = ("bfloat16", "float16")
_ROUNDED = (
    "ibprobe: in a compiled graph, half-precision values that a tap reads are rounded where they would otherwise be "
    'fused away: the last bits of training can differ from those without a probe; mode="replay" changes none'
)


class StreamSource:
    """Copies rows out of training forwards, from the moment they are wanted until there are enough.

    Args:
        model: unwrapped model, which is held weakly.
        layers: modules to record, by name.
        rows: distinct inputs wanted.
        view: how outputs become rows.
        called: what the training loop calls, if the model is wrapped: it ends a pass.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        *,
        rows: int,
        view: Views,
        called: nn.Module | None = None,
    ) -> None:
        self._model, self._called = ref(model), ref(model if called is None else called)
        # Names are enough between opening and closing; a layer may be the model itself.
        self._layers = {name: ref(layer) for name, layer in layers.items()}
        self._rows, self._view = rows, view
        self._axes = layouts(model, layers)
        self._randomness = Randomness(model.modules(), next((p.device for p in model.parameters()), None))
        self._handles: list[RemovableHandle] = []
        self._calls, self._switch = CallCounter(), Switch(on=False)
        self._ran: dict[str, int] = {}
        self._copying = 0.0
        self._compiled = self._told = False
        self.sightings: tuple[Sighting, ...] = ()
        """What the last snapshot saw of each layer."""
        self._clear()

    def _clear(self) -> None:
        self._armed = self._switch.on = self._blind = False
        self._passes: list[Pass] = []
        self._failed: dict[str, str] = {}
        self._open: Pass | None = None
        self._last: Pass | None = None

    def open(self) -> None:
        """Put a tap on each layer, and one on what is called."""
        called = self._called()
        layers = {name: layer for name, r in self._layers.items() if (layer := r()) is not None}
        if called is None or len(layers) < len(self._layers):
            raise BadInput("the model that the probe was made for is gone: keep a reference to it while it is probed")
        self._compiled = any(_is_compiled(m) for m in called.modules())
        self._handles = install({**layers, _END: called}, self, self._switch)

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any], step: int) -> None:
        """Open a pass; the taps fill it."""
        if not self._armed:
            return
        self._open = self._last = None
        self._switch.on = False
        model, room = self._model(), self._rows - self._gathered()
        if room <= 0 or model is None or not row_count(args, kwargs):
            return
        self._calls.restart()
        began, coupled = self._randomness.state(), couples_rows(model)
        self._open = self._last = Pass(args, kwargs, room=room, step=step, randomness=began, coupled=coupled)
        self._switch.on = True

    def receive(self, layer: str, kwargs: Mapping[str, Any], output: Any) -> None:
        """Copy a layer's rows of the open pass. This runs inside the model's forward and raises nothing."""
        into = self._open
        if into is None:
            return
        if layer == _END:  # an interrupted pass never gets here, and a forward in eval mode finds none open
            self._ended(into)
            return
        name, began = self._calls.name(layer), time.perf_counter()
        try:
            drew = into.coupled or self._randomness.moved_since(into.randomness)
            view, own = view_of(self._view, layer), token_mask(kwargs)
            with self._randomness.preserved() if callable(view) else nullcontext():
                mask, axes = into.mask if own is None else own, self._axes[layer]
                rows, how = to_rows(output, n=into.n, mask=mask, view=view, layout=axes)
            into.add(name, rows, how, drew, output, ROWS_BYTES)
        except BadInput as e:
            self._failed[name] = str(e)
        except Exception as e:
            self._failed[name] = f"its rows could not be copied: {type(e).__name__}: {e}"
        self._copying += time.perf_counter() - began

    def copying(self) -> float:
        """Seconds that it took since the last call."""
        seconds, self._copying = self._copying, 0.0
        return seconds

    def _ended(self, done: Pass) -> None:
        self._open, self._switch.on = None, False
        self._ran = self._calls.counts()
        self._passes.append(done)
        self._blind = self._compiled and not self._ran
        if self._switch.in_graph and not self._told and any(c.dtype in _HALF for c in done.layers.values()):
            self._told = True
            log.warning(_ROUNDED)
        fits = max(ROWS_BYTES * len(done.keys) // max(done.bytes_held, 1), 2)
        if fits < self._rows:
            log.warning(
                "ibprobe: %d rows instead of %d: those of %d layers take at most %d MB",
                fits, self._rows, len(done.layers), ROWS_BYTES // 2**20,
            )  # fmt: skip
            self._rows = fits

    def gathering(self) -> bool:
        """While copying."""
        return self._armed

    def wants_labels(self) -> bool:
        """Whether the last forward's rows are being kept."""
        return self._last is not None

    def see_labels(self, y: Tensor | None) -> None:
        """Keep the labels of the last pass."""
        if self._last is not None:
            self._last.label(y)

    def want(self) -> bool:
        """Start copying; ready once enough rows are there.

        Raises:
            BadInput: forwards run in graphs that were compiled before the taps were there.
        """
        self._check()
        self._armed = True
        return self._gathered() >= self._rows

    def _check(self) -> None:
        if self._blind:
            raise BadInput(_TOO_LATE)

    def _gathered(self) -> int:
        return sum(len(p.keys) for p in self._passes)

    def bytes_held(self) -> int:
        """Memory of the rows gathered so far."""
        return sum(p.bytes_held for p in self._passes) + (self._open.bytes_held if self._open else 0)

    def take(self, step: int) -> list[RowSet]:
        """Hand out what was copied and stop copying."""
        self._check()
        passes, failed = self._passes, self._failed
        self._clear()
        if not passes:
            raise NoRows(
                "no rows were copied from training forwards yet; mode='stream' copies from steps that every= selects, "
                "and a model that was compiled before the probe was attached runs no hooks"
            )
        asked = {name: why_not_run(layer) for name, r in self._layers.items() if (layer := r()) is not None}
        rows = gathered(passes, asked, failed, self._ran, self._rows)
        self.sightings = rows.sightings
        return [rows]

    def state_dict(self) -> dict[str, Any]:
        """What was gathered so far."""
        return {"armed": self._armed, "rows": self._rows, "passes": [p.state_dict() for p in self._passes]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on gathering from there."""
        self._armed, self._rows = state["armed"], state["rows"]
        self._passes = [Pass.restored(of_pass) for of_pass in state["passes"]]

    def close(self) -> None:
        """Remove the taps."""
        remove(self._handles)
        self._clear()


def _is_compiled(module: nn.Module) -> bool:
    return module._compiled_call_impl is not None or hasattr(module, "_orig_mod")

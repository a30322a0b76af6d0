"""Layers that draw random numbers: how they are made to draw, and their rows in several forward passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from ibprobe.capture.rows import LayerRows, evenly_spaced
from ibprobe.errors import BadInput

FEWEST_PASSES = 4
"""Half of the passes must say how another one scatters."""

# Memory that the rows of several passes may take: of one layer, and of all together.
_LAYER_BYTES, _ALL_BYTES = 64 * 2**20, 512 * 2**20


@dataclass(frozen=True, slots=True)
class Draws:
    """What the random numbers of a model do while it is replayed."""

    passes: int = 1
    """Forward passes of the layers that draw; with 1, I(X;T̃) of such a layer has an upper end only."""
    train_mode: bool = False
    """Whether dropout draws, as it does in training; normalisation keeps to its running statistics."""
    seed: int = 0
    """Of all that is drawn, and the same at every step."""

    def __post_init__(self) -> None:
        whole: object = self.passes
        if not isinstance(whole, int) or (whole != 1 and whole < FEWEST_PASSES):
            raise BadInput(f"passes= is 1, or at least {FEWEST_PASSES} (16 to be of use); got {self.passes!r}")

    @property
    def meta(self) -> dict[str, Any]:
        """What records should say beside the numbers."""
        return {"passes": self.passes, "train_mode": self.train_mode}


def draw_as_in_training(model: nn.Module) -> None:
    """Train mode for all but normalisation layers: those keep to their running statistics."""
    for module in model.modules():
        module.training = not isinstance(module, nn.modules.batchnorm._NormBase)


def with_passes(
    found: Sequence[LayerRows],
    modules: Mapping[str, nn.Module],
    number: int,
    run: Callable[[Mapping[str, nn.Module]], Mapping[str, Tensor]],
) -> list[LayerRows]:
    """Run the layers that draw random numbers ``number`` − 1 times more.

    Args:
        found: rows of the first pass.
        modules: the modules that they came from, by name.
        number: passes in all.
        run: one pass that records the given modules.

    Returns:
        The layers; those that draw hold the rows of all passes, evenly spaced ones where memory does not allow all. A
        layer that does not run in every pass holds none.
    """
    drawing = {layer.name: layer for layer in found if layer.stochastic}
    share = min(_LAYER_BYTES, _ALL_BYTES // max(len(drawing), 1))
    kept = {name: evenly_spaced(len(t), _room(t, number, share)) for name, t in _activations(drawing)}
    passes = {name: t.new_empty(len(kept[name]), number, t.shape[1]) for name, t in _activations(drawing)}
    filled = dict.fromkeys(passes, 1)
    for name, t in _activations(drawing):
        passes[name][:, 0] = t[kept[name]]
    # The name of a module's second call is name#2.
    hooked = {name: m for name, m in modules.items() if name in {each.partition("#")[0] for each in drawing}}
    for _ in range(number - 1 if hooked else 0):
        rows = run(hooked)
        for name, t in _activations(drawing):
            again = rows.get(name)
            if again is not None and again.shape == t.shape:
                passes[name][:, filled[name]] = again[kept[name]]
                filled[name] += 1
    whole = {name: t for name, t in passes.items() if filled[name] == number}
    return [replace(layer, passes=whole.get(layer.name)) for layer in found]


def _activations(layers: Mapping[str, LayerRows]) -> list[tuple[str, Tensor]]:
    return [(name, layer.t) for name, layer in layers.items()]


def _room(t: Tensor, number: int, share: int) -> int:
    """Rows that fit."""
    return min(len(t), max(share // (number * t.shape[1] * t.element_size()), 1))

"""changes(): in what two finished models differ, layer by layer, and whether more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ibprobe.capture.passes import Draws
from ibprobe.checkpoint import gather
from ibprobe.errors import BadInput
from ibprobe.estimate.brackets import layer_brackets
from ibprobe.estimate.channel import Channel, Noise, Target
from ibprobe.estimate.falls import difference
from ibprobe.plugins import Plugins
from ibprobe.record.records import SYMBOLS, Estimate, Quantity

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor, nn

    from ibprobe.capture.layers import LayerSpec
    from ibprobe.capture.views import ViewSpec
    from ibprobe.estimate.ends import Bracket


@dataclass(frozen=True, slots=True)
class Change:
    """What one layer of a model tells more, or less, than the same layer of another."""

    layer: str
    """Its name in both."""
    quantity: Quantity
    """As an estimate's."""
    before: Estimate
    """Of the first model."""
    after: Estimate
    """Of the second."""
    low: float | None
    """Lower end of the 95 % interval of the difference; None where a value has no two ends."""
    high: float | None
    """Its upper end."""

    @property
    def nats(self) -> float:
        """How much more the second model's layer tells."""
        return self.after.nats - self.before.nats

    @property
    def verdict(self) -> str:
        """``more`` or ``less`` where the interval leaves no doubt, else ``not decided``."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return "not decided"
        return "more" if self.low > 0 else "less"

    def __str__(self) -> str:
        interval = "" if self.low is None else f" [{self.low:+.2f}, {self.high:+.2f}]"
        flags = ", ".join(sorted(self.before.flags | self.after.flags))
        values = f"{self.before.nats:.2f} → {self.after.nats:.2f}"
        return (
            f"{self.layer} {SYMBOLS[self.quantity]} {values}, {self.nats:+.2f} nats{interval}: {self.verdict}"
            f"{f' ({flags})' if flags else ''}"
        )


def changes(
    before: nn.Module,
    after: nn.Module,
    data: Any,
    *,
    layers: LayerSpec = "auto",
    noise: Noise = "relative",
    sigma: float = 0.25,
    target: Target = "population",
    view: ViewSpec = "auto",
    rows: int = 2048,
    seed: int = 0,
) -> list[Change]:
    """Compare two finished models, layer by layer, on the same rows and with the same noise.

    What is the same in both values cancels: the rows' contributions are subtracted one by one, as in the fall of a
    run's layer, so that the interval is narrower than those of two values. It holds for each difference by itself, and
    of these two models: what a setting does is decided over seeds (``ibprobe lens run``).

    Args:
        before: a module, such as one that a checkpoint was loaded into.
        after: another, with layers of the same names; what only one of them has is left out.
        data: as :func:`ibprobe.measure` takes it, but for iterables, which must give the same batches twice.
        layers: ``"auto"``, or names, glob patterns and module classes.
        noise: with ``sigma``, the channel T̃ = view(T) + std·ε.
        sigma: noise size.
        target: ``population``, or ``probe_set`` when the data is all inputs there are.
        view: how outputs become rows; see ``IBProbe``.
        rows: at most this many distinct inputs.
        seed: of noise.

    Returns:
        The differences in nats, layer by layer in forward order.

    Raises:
        ProbeError: unknown layers, unusable data or settings; one module given twice; a layer whose outputs become
            rows in different ways.
    """
    if before is after:
        raise BadInput("before and after are one module: load each checkpoint into a module of its own")
    channel = Channel(noise, sigma, seed, target=target)

    def bracketed(model: nn.Module) -> dict[tuple[str, Quantity], tuple[Bracket, Int[Tensor, " n"]]]:
        draws, views = Draws(1, False, seed), Plugins().views(view)
        taken, _ = gather(model, data, layers, rows, views, draws, all_there_is=target == "probe_set")
        found = [b for layer in taken.layers for b in layer_brackets(layer, taken.y, channel)[0]]
        return {(b.estimate.layer, b.estimate.quantity): (b, taken.keys) for b in found}

    with torch.no_grad():
        first, second = bracketed(before), bracketed(after)
    found = [
        Change(*place, first[place][0].estimate, now[0].estimate, *difference(now, first[place]))
        for place, now in second.items()
        if place in first
    ]
    for change in found:
        if change.before.view != change.after.view:
            raise BadInput(
                f"layer {change.layer!r} is seen as {change.before.view!r} in before and as {change.after.view!r} in "
                "after; those are different quantities: leave it out of layers=, or pass view= with one that fits both"
            )
    return found

"""One replay measured at many noise sizes, and the choice of one that suits a set of layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from ibprobe.capture.layers import LayerSpec
from ibprobe.capture.passes import Draws
from ibprobe.capture.views import ViewSpec
from ibprobe.checkpoint import gather
from ibprobe.errors import BadInput
from ibprobe.estimate.channel import Channel, Noise, Target
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.plugins import Plugins
from ibprobe.record.records import Estimate, Event, Records

# Half octaves. Above 2, a layer of any width keeps less than 1/(2σ²) = 0.13 nats.
_SIGMAS = (0.0625, 0.0884, 0.125, 0.1768, 0.25, 0.3536, 0.5, 0.7071, 1.0, 1.4142, 2.0)
# Flags that a layer has at a noise size that does not suit it, the worst first, and what to call them.
_UNFIT = {
    "deterministic": "has no noise",
    "at_ceiling": "is at its ceiling",
    "collapsed": "has collapsed",
    "wide_bracket": "has a wide bracket",
}
_FINE = "fine"


def sigma_sweep(
    model: nn.Module,
    data: Any,
    *,
    sigmas: Sequence[float] | None = None,
    layers: LayerSpec = "auto",
    noise: Noise = "relative",
    target: Target = "population",
    view: ViewSpec = "auto",
    rows: int = 2048,
    passes: int = 1,
    train_mode: bool = False,
    seed: int = 0,
) -> Records:
    """Run a finished model once and bracket its layers at many noise sizes.

    The noise is the same at every size up to its scale, so differences between sizes carry little of its error. Values
    at different sizes are of different quantities: pick one with ``select(sigma=…)`` before layers are compared.

    Args:
        model: any module.
        data: as for ``measure``.
        sigmas: noise sizes; half octaves from 1/16 to 2 by default. Needed for ``noise="absolute"``, where they are in
            the units of the activations.
        layers: ``"auto"``, or names, glob patterns and module classes.
        noise: ``relative``, ``per_unit`` or ``absolute``.
        target: ``population``, or ``probe_set`` when the data is all inputs there are.
        view: how outputs become rows; see ``IBProbe``.
        rows: at most this many distinct inputs.
        passes: forward passes of layers that draw random numbers.
        train_mode: let dropout draw as in training.
        seed: of the noise and of what the model draws.

    Returns:
        Estimates in nats, noise size by noise size in ascending order; each carries its ``sigma``. Brackets only.

    Raises:
        ProbeError: unknown layers, unusable data or settings.
    """
    sizes = _sizes(sigmas, noise)
    channels = [Channel(noise, sigma, seed, target=target) for sigma in sizes]
    draws, views = Draws(passes, train_mode, seed), Plugins().views(view)
    taken, meta = gather(model, data, layers, rows, views, draws, all_there_is=target == "probe_set")
    own = [layer.name for layer in taken.layers if layer.scale is not None]
    why = "it draws from a Gaussian of its own, to which no noise is added: ibprobe.measure brackets it"
    notes = [Event(step=taken.span[1], kind="not_measured", layer=name, why=why, split=taken.split) for name in own]
    taken = replace(taken, layers=tuple(layer for layer in taken.layers if layer.name not in own))
    records = Records(events=tuple(notes), meta={**meta, "noise": noise, "sigmas": sizes})
    with torch.no_grad():
        for channel in channels:
            estimates, events = LayerEstimator(channel).brackets(taken)
            # What could not be measured at one size could not be at any.
            records = records.plus(estimates, [e for e in events if e not in records.events])
    return records


def _sizes(sigmas: Sequence[float] | None, noise: Noise) -> list[float]:
    if sigmas is None and noise == "absolute":
        raise BadInput('sigmas= is needed with noise="absolute": sizes in the units of the activations')
    sizes = sorted({*(_SIGMAS if sigmas is None else sigmas)})
    if not sizes:
        raise BadInput("sigmas= is empty; pass noise sizes, such as [0.125, 0.25, 0.5]")
    return sizes


@dataclass(frozen=True, slots=True)
class SigmaChoice:
    """A noise size for a set of layers."""

    sigma: float
    """The size."""
    reason: str
    """Why this one, in a sentence."""
    table: Mapping[float, Mapping[str, str]]
    """By noise size and layer: ``fine``, or what is wrong with it there."""

    def __str__(self) -> str:
        return self.reason


def choose_sigma(records: Iterable[Estimate]) -> SigmaChoice:
    """Choose the smallest noise size at which I(X;T̃) of every layer can be read.

    A layer can be read where it is not at its ceiling, its bracket is not wide and it has not collapsed. Where no size
    suits all layers, the one that suits the most is chosen, and the reason names the others. Constant layers have no
    say.

    Args:
        records: of ``sigma_sweep``, or of several measurements of the same layers.

    Raises:
        BadInput: there is no I(X;T̃), or not of one kind of noise, or some layer is missing at some size.
    """
    found = [e for e in records if e.quantity == "I_XT" and e.estimator == "channel" and "constant" not in e.flags]
    kinds = sorted({e.noise for e in found})
    if len(kinds) != 1:
        raise BadInput(f"expected I(X;T̃) at several sigmas of one kind of noise, found {', '.join(kinds) or 'none'}")
    table = _table(found)
    unfit = {sigma: {name: what for name, what in row.items() if what != _FINE} for sigma, row in table.items()}
    sigma = min(table, key=lambda s: (len(unfit[s]), s))
    return SigmaChoice(sigma, _reason(sigma, kinds[0], table, unfit), table)


def _table(found: Sequence[Estimate]) -> dict[float, dict[str, str]]:
    several = len({(e.split, e.step) for e in found}) > 1
    table: dict[float, dict[str, str]] = {sigma: {} for sigma in sorted({e.sigma for e in found})}
    for e in found:
        name = f"{e.layer} ({e.split}, step {e.step})" if several else e.layer
        table[e.sigma][name] = next((what for flag, what in _UNFIT.items() if flag in e.flags), _FINE)
    for sigma, row in table.items():
        missing = {name for other in table.values() for name in other} - row.keys()
        if missing:
            raise BadInput(f"{', '.join(sorted(missing))} missing at sigma {sigma:g}: sizes cannot be compared")
    return table


def _reason(
    sigma: float, noise: str, table: Mapping[float, Mapping[str, str]], unfit: Mapping[float, Mapping[str, str]]
) -> str:
    number = len(table[sigma])
    chosen = f"σ = {sigma:g} ({noise})"
    if unfit[sigma]:
        most = f"suits {number - len(unfit[sigma])} of {number} layers, the most of {len(table)} sizes"
        return f"No σ suits all layers. {chosen} {most}; there {_told(unfit[sigma])}."
    below = max((s for s in table if s < sigma), default=None)
    layers = f"all {number} layers" if number > 1 else "the layer"
    if below is None:
        return f"{chosen} is the smallest of {len(table)} sizes, and {layers} can be read there."
    smallest = f"{chosen} is the smallest of {len(table)} sizes at which {layers} can be read"
    return f"{smallest}; at {below:g}, {_told(unfit[below])}."


def _told(unfit: Mapping[str, str]) -> str:
    """Some layers and what is wrong with them."""
    shown = [f"layer {name} {what}" for name, what in unfit.items()]
    more = f" and {len(shown) - 4} more do not fit" if len(shown) > 4 else ""
    return ", ".join(shown[:4]) + more

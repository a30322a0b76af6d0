"""measure(): what a finished model keeps, without training it."""

from __future__ import annotations

import platform
import time
from typing import Any

import torch
from torch import nn

from ibprobe.capture.data import distinct_batches
from ibprobe.capture.layers import LayerSpec, select_layers, unwrap
from ibprobe.capture.passes import Draws
from ibprobe.capture.replay import replay
from ibprobe.capture.rows import RowSet
from ibprobe.capture.views import Views, ViewSpec, check_view
from ibprobe.errors import BadInput, UnknownName
from ibprobe.estimate.channel import Channel, Noise, Target
from ibprobe.estimate.estimators import LayerEstimator
from ibprobe.plugins import Plugins
from ibprobe.record.records import Records
from ibprobe.version import __version__


def measure(
    model: nn.Module,
    data: Any,
    *,
    layers: LayerSpec = "auto",
    noise: Noise = "relative",
    sigma: float = 0.25,
    target: Target = "population",
    view: ViewSpec = "auto",
    estimator: str = "auto",
    rows: int = 2048,
    passes: int = 1,
    train_mode: bool = False,
    seed: int = 0,
) -> Records:
    """Measure a finished model, without training it.

    The model runs in eval mode unless ``train_mode`` says otherwise; weights, buffers, training flags and random states
    are left as they were.

    Args:
        model: any module.
        data: a tensor x, a pair ``(x, y)``, a mapping of keyword inputs with ``labels``, or an iterable of such
            batches. Repeated inputs are left out and counted.
        layers: ``"auto"``, or names, glob patterns and module classes.
        noise: with ``sigma``, the channel T̃ = view(T) + std·ε.
        sigma: noise size.
        target: ``population``, or ``probe_set`` when the data is all inputs there are.
        view: how outputs become rows; see ``IBProbe``.
        estimator: ``channel`` for brackets only, ``auto`` for critics beside them, or what else is to run beside them:
            a name that ``ibprobe plugins`` lists.
        rows: at most this many distinct inputs.
        passes: forward passes of layers that draw random numbers, 16 for example; with 1 their I(X;T̃) has an upper end
            only.
        train_mode: let dropout draw as in training; normalisation keeps to its running statistics.
        seed: of noise, critics, and what the model draws.

    Returns:
        Estimates in nats, layer by layer in forward order, and events that say what could not be measured.

    Raises:
        ProbeError: unknown layers, unusable data or settings.
    """
    channel, draws = Channel(noise, sigma, seed, target=target), Draws(passes, train_mode, seed)
    plugins = Plugins()
    beside, views = plugins.beside_brackets(estimator), plugins.views(view)
    taken, meta = gather(model, data, layers, rows, views, draws, all_there_is=target == "probe_set")
    by_layer = LayerEstimator(channel, beside, "mine" if estimator == "auto" else estimator)
    with torch.no_grad():
        records = Records(meta=meta).plus(*by_layer.brackets(taken))
    return records.plus(*by_layer.critics(taken))


def gather(
    model: nn.Module, data: Any, layers: LayerSpec, rows: int, view: Views, draws: Draws, *, all_there_is: bool
) -> tuple[RowSet, dict[str, Any]]:
    """The rows of a finished model, and what is said of them beside the records.

    Raises:
        ProbeError: unknown layers, unusable data or settings.
    """
    check_options(model, "replay", rows)
    core = unwrap(model)
    found = select_layers(core, layers)
    check_view(view, found)
    batches, repeated = distinct_batches(data, rows, all_there_is=all_there_is)
    taken = replay(core, found, batches, view=view, dropped=repeated, draws=draws)
    meta = {**versions(), "model": type(core).__name__, "layers": list(found), **draws.meta}
    return taken, meta


def check_options(model: object, mode: str, rows: int) -> None:
    """Raise a ``ProbeError`` for a setting that cannot work, of those that the probe and :func:`measure` share."""
    if isinstance(model, type):
        raise BadInput(f"model is a module instance: pass {model.__name__}(…), not the class")
    if not isinstance(model, nn.Module):
        raise BadInput(f"model is a torch.nn.Module; got {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise BadInput("a torch.jit.script model takes no hooks: probe the module it was scripted from")
    if mode not in ("replay", "stream"):
        raise UnknownName("mode", str(mode), ("replay", "stream"))
    check_rows(rows)


def check_rows(rows: object) -> None:
    """Raise a ``BadInput`` for a number of rows that cannot work."""
    if not isinstance(rows, int) or rows < 2:
        raise BadInput(f"rows= is a number of distinct inputs, at least 2 (512 or more to be of use); got {rows!r}")


def versions() -> dict[str, str]:
    """What measured, and when."""
    return {
        "ibprobe": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }

"""Twelve layers of one network at once: what a snapshot costs, cold and warm, at which accuracy.

The layers are linear in a 16-dimensional input, so that each one's information is known: log-determinants.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from ibprobe import estimate_channel
from ibprobe.estimate.pairs import Pair
from ibprobe.estimate.readings import folds_of
from ibprobe.plugins import Plugins

from .cases import Answer, Folders, Sample
from .channels import noise_for

N, INPUTS, CLASSES = 2048, 16, 8
WIDTHS = (256,) * 4 + (128,) * 4 + (64,) * 4
TRUTHS = (5.0, 4.0, 3.5, 3.0, 3.0, 2.5, 2.0, 2.0, 1.5, 1.0, 1.0, 0.5)
SNAPSHOTS = 4
"""The first is cold."""
DRIFT = 0.02
"""How far weights move between snapshots, as a fraction of their size."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Clean activations of one layer, with the noise that lets ``truth`` nats through."""

    t: Tensor
    sigma: float
    truth: float


def twelve_layers(x: Tensor, snapshot: int) -> dict[str, Layer]:
    """The layers after so many small changes of their weights."""
    layers, h = {}, torch.randn(2, len(WIDTHS), 256, INPUTS, generator=torch.Generator().manual_seed(12))
    for i, (width, truth) in enumerate(zip(WIDTHS, TRUTHS, strict=True)):
        weight = (h[0, i, :width] + DRIFT * snapshot * h[1, i, :width]) / math.sqrt(INPUTS)
        spectrum = torch.linalg.eigvalsh((weight.T @ weight).double()).clamp(min=0)
        layers[f"{i + 1}"] = Layer(x @ weight.T, noise_for(spectrum, truth), truth)
    return layers


def layers_task(task: str, seed: int, folders: Folders) -> Sample:
    """The label is which of eight octants the first three inputs lie in."""
    x = torch.randn(N, INPUTS, generator=torch.Generator().manual_seed(91_000 + seed))
    y = ((x[:, :3] > 0) * torch.tensor([1, 2, 4])).sum(1)
    return Sample(truth=fmean(TRUTHS), x=x, y=y)


def all_brackets(sample: Sample, seed: int) -> Answer:
    """Both brackets of all layers."""
    layers = twelve_layers(sample.x, 0)
    start = time.process_time()
    found = [estimate_channel(v.t, sample.y, sigma=v.sigma, noise="absolute", seed=seed) for v in layers.values()]
    cpu = time.process_time() - start
    nats = {name: pair[0].nats for name, pair in zip(layers, found, strict=True) if isinstance(pair, tuple)}
    return Answer(nats=fmean(nats.values()), cpu=cpu, more={"mae": _mae(layers, nats)})


def cold_then_warm(sample: Sample, seed: int, *, labels: bool) -> Answer:
    """One critic object over snapshots; the CPU time is the first one's, the later ones' mean is ``warm_cpu``."""
    mine, folds = Plugins([]).estimator("mine"), folds_of(torch.arange(len(sample.x)))
    cpu, errors, nats = [], [], 0.0
    for snapshot in range(SNAPSHOTS):
        layers = twelve_layers(sample.x, snapshot)
        pairs = {f"x {k}": Pair(v.t, v.t, v.sigma) for k, v in layers.items()}
        if labels:
            pairs |= {f"y {k}": Pair(sample.y, v.t, v.sigma) for k, v in layers.items()}
        start = time.process_time()
        readings = mine(pairs, folds, seed=seed)
        cpu.append(time.process_time() - start)
        values = {k: r.nats for k in layers if not isinstance(r := readings[f"x {k}"], str)}
        errors.append(_mae(layers, values))
        nats = nats or fmean(values.values())
    more = {"warm_cpu": fmean(cpu[1:]), "mae": errors[0], "warm_mae": fmean(errors[1:])}
    return Answer(nats=nats, cpu=cpu[0], more=more)


def _mae(layers: Mapping[str, Layer], nats: Mapping[str, float]) -> float:
    return fmean(abs(value - layers[name].truth) for name, value in nats.items())


def layers_tasks(folders: Folders) -> Sequence[str]:
    return ("12 layers",)

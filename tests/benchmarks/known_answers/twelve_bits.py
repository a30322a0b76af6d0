"""Activations of the 12-bit task's trained networks, all 4,096 inputs, under absolute noise.

The reference file's values are Monte-Carlo means whose error can exceed what is asked of an estimator, so they are
computed again from more draws; the two must agree.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ibprobe.estimate.channel import stable_seed

from .cases import Folders, Sample

LAYERS = tuple(f"{net}_T{i}" for net in ("tanh0", "relu0") for i in range(1, 7))
SIGMAS = ("0.0316", "0.1", "0.3")
DRAWS = 48


def twelve_bits_tasks(folders: Folders) -> tuple[str, ...]:
    if folders.data is None:
        return ()
    return tuple(f"{layer} sigma {sigma}" for layer in LAYERS for sigma in SIGMAS)


def twelve_bits(task: str, seed: int, folders: Folders) -> Sample:
    """x is the input's bits; a critic that is given ``clean`` and ``sigma`` may use them.

    Rows come in an order of the task's own: an estimator that draws noise row by row would else meet the same noise in
    all layers, and 36 tasks would be one.
    """
    layer, _, sigma = task.split(" ")
    assert folders.data is not None
    arrays = np.load(folders.data / "szt12_activations.npz")
    clean = torch.from_numpy(arrays[layer]).float()
    generator = torch.Generator().manual_seed(stable_seed("12 bits", task, seed))
    noise, order = torch.randn(clean.shape, generator=generator), torch.randperm(len(clean), generator=generator)
    truth, se = _truth(folders.data, layer, sigma, clean, folders.out / "truths")
    return Sample(
        truth=truth, truth_se=se, x=torch.from_numpy(arrays["X"]).float()[order], y=clean[order] + float(sigma) * noise,
        clean=clean[order], sigma=float(sigma),
    )  # fmt: skip


def _truth(data: Path, layer: str, sigma: str, clean: Tensor, cache: Path) -> tuple[float, float]:
    kept = cache / f"{layer}-{sigma}-{DRAWS}.json"
    if not kept.is_file():
        value, se = empirical_information(clean, float(sigma), DRAWS)
        reference, _, reference_se = json.loads((data / "szt12_exact.json").read_text())[layer][f"noise{sigma}"]
        if abs(value - reference) > 4 * math.hypot(se, reference_se):
            raise ValueError(
                f"{layer} at sigma {sigma}: {value:.4f} ± {se:.4f}, reference {reference} ± {reference_se}"
            )
        cache.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps([value, se]))
    value, se = json.loads(kept.read_text())
    return value, se


def empirical_information(clean: Tensor, sigma: float, draws: int) -> tuple[float, float]:
    """I(T;T + σε) for T uniform on the rows of ``clean`` ``(n, d)``, and its standard error, in nats.

    The mean over draws of ln p(t̃|t) − ln mean p(t̃|tⱼ); ‖ε‖², whose mean is known, serves as control variate.
    """
    generator = torch.Generator().manual_seed(0)
    # Rounding in float32 is a thousandth of a nat in a term and averages out over 4,096 rows; float64 takes four times
    # as long.
    u = ((clean.double() - clean.double().mean(0)) / sigma).float()
    lengths = u.square().sum(1) / 2
    terms, controls = [], []
    for _ in range(draws):
        eps = torch.randn(u.shape, generator=generator)
        z, own = u + eps, eps.square().sum(1)
        mean = (z @ u.T - lengths).logsumexp(1) - z.square().sum(1) / 2 - math.log(len(u))
        terms.append((-own / 2 - mean).double())
        controls.append((own - u.shape[1]).double())
    values, control = torch.stack(terms), torch.stack(controls)
    # Rows are all there is: only the noise within a row is random.
    slope = ((values - values.mean(0)) * control).mean() / control.square().mean()
    rest = values - slope * control
    return float(rest.mean()), math.sqrt(float(rest.var(0).mean()) / rest.numel())


class Recorded(nn.Module):
    """A network that hands out recorded activations of the input whose bits it is shown."""

    def __init__(self, x: Tensor, t: Tensor) -> None:
        super().__init__()
        self.register_buffer("place", 2 ** torch.arange(x.shape[1]))
        table = torch.empty_like(t)
        table[self._index(x)] = t
        self.layer = nn.Embedding.from_pretrained(table)

    def _index(self, x: Tensor) -> Tensor:
        return (x.long() * self.place).sum(1)

    def forward(self, x: Tensor) -> Tensor:
        t: Tensor = self.layer(self._index(x))
        return t

"""Mutual information of two Gaussian sides by canonical correlations: −½ Σ ln(1 − ρ²) (Gelfand and Yaglom 1957)."""

import torch

from ibprobe import EstimatorPlugin, Reading, hookimpl


def cca(pairs, folds, *, seed):
    return {name: read(pair, torch.Generator().manual_seed(seed)) for name, pair in pairs.items()}


def read(pair, generator):
    if pair.classes is not None:
        return "canonical correlations are of numbers, and one side holds labels"
    noisy = pair.b + pair.std * torch.randn(pair.b.shape, generator=generator).to(pair.b)
    a, b = (torch.linalg.qr((side - side.mean(0)).double()).Q for side in (pair.a, noisy))
    terms = torch.linalg.svdvals(a.T @ b).square().clamp(max=1 - 1e-9)
    nats, se = float(-torch.log1p(-terms).sum() / 2), float((terms.sum() / len(a)).sqrt())
    return Reading(nats=nats, ci_low=nats - 2 * se, ci_high=nats + 2 * se, lower_confidence=nats - 2 * se, bound="CCA")


@hookimpl
def ibprobe_estimators():
    yield EstimatorPlugin("cca", "canonical correlations, two Gaussian sides", lambda: cca)

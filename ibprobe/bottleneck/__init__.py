"""The bottleneck itself: its losses, its rates, and what a code tells of known factors."""

from ibprobe.bottleneck.disentanglement import DCI, dci, factor_vae_score, mig
from ibprobe.bottleneck.objectives import CapacityRamp, RateDistortion, beta_vae_loss, vib_loss
from ibprobe.bottleneck.variational import GaussianBottleneck, GaussianDropout

__all__ = [
    "DCI",
    "CapacityRamp",
    "GaussianBottleneck",
    "GaussianDropout",
    "RateDistortion",
    "beta_vae_loss",
    "dci",
    "factor_vae_score",
    "mig",
    "vib_loss",
]

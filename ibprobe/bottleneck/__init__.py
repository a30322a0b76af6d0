"""The information bottleneck itself: its frontier, its losses and rates, and what a code tells of known factors."""

from ibprobe.bottleneck.curve import IBCurve, load_curve
from ibprobe.bottleneck.discrete import ib_curve, ib_curve_from_samples
from ibprobe.bottleneck.disentanglement import DCI, dci, factor_vae_score, mig
from ibprobe.bottleneck.gaussian import GaussianCurve, gaussian_ib, gaussian_ib_from_samples
from ibprobe.bottleneck.joint import joint_from_probabilities, joint_from_samples, read_joint
from ibprobe.bottleneck.objectives import CapacityRamp, RateDistortion, beta_vae_loss, vib_loss
from ibprobe.bottleneck.variational import GaussianBottleneck, GaussianDropout

__all__ = [
    "DCI",
    "CapacityRamp",
    "GaussianBottleneck",
    "GaussianCurve",
    "GaussianDropout",
    "IBCurve",
    "RateDistortion",
    "beta_vae_loss",
    "dci",
    "factor_vae_score",
    "gaussian_ib",
    "gaussian_ib_from_samples",
    "ib_curve",
    "ib_curve_from_samples",
    "joint_from_probabilities",
    "joint_from_samples",
    "load_curve",
    "mig",
    "read_joint",
    "vib_loss",
]

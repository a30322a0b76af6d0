"""The information bottleneck itself: the frontier that an information plane is read against."""

from ibprobe.bottleneck.curve import IBCurve, load_curve
from ibprobe.bottleneck.discrete import ib_curve, ib_curve_from_samples
from ibprobe.bottleneck.gaussian import GaussianCurve, gaussian_ib, gaussian_ib_from_samples
from ibprobe.bottleneck.joint import joint_from_probabilities, joint_from_samples, read_joint

__all__ = [
    "GaussianCurve",
    "IBCurve",
    "gaussian_ib",
    "gaussian_ib_from_samples",
    "ib_curve",
    "ib_curve_from_samples",
    "joint_from_probabilities",
    "joint_from_samples",
    "load_curve",
    "read_joint",
]

"""I(T;Y) for class labels: the entropy of the labels minus the held-out cross-entropy of a calibrated classifier."""

from ibprobe.estimate.classifier.estimator import Classifier

__all__ = ["Classifier"]

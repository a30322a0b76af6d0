"""The 12-bit task, whose label is a function of its 4,096 patterns, and two trained networks on its frontier."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ibprobe.bottleneck import ib_curve, joint_from_samples


def test_no_layer_lies_above_the_frontier_and_the_corner_is_the_labels_entropy(reference_data: Path) -> None:
    kept = np.load(reference_data / "szt12_activations.npz")
    curve = ib_curve(joint_from_samples(kept["X"], kept["y"]))
    assert curve.frontier[-1] == pytest.approx([0.692563, 0.692563], abs=1e-6)
    assert curve.encoders[-1].shape == (2, 4096)
    exact = json.loads((reference_data / "szt12_exact.json").read_text())
    layers = {name: values for name, values in exact.items() if isinstance(values, dict)}
    assert len(layers) == 12
    for values in layers.values():
        for i_xt, i_ty, *error in values.values():
            # Monte-Carlo values carry their error; the others are exact to six digits.
            assert i_ty <= float(curve.bound(i_xt)) + 3 * (error[0] if error else 0.0) + 1e-6

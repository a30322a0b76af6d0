"""The 12-bit task's trained networks, whose I(X;T̃) and I(T̃;Y) are known exactly for all 4,096 inputs."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ibprobe import Estimate, estimate_channel, estimate_mi

LAYERS = [f"{net}_T{i}" for net in ("tanh0", "relu0") for i in range(1, 7)]
N = 4096


@pytest.fixture(scope="module")
def task(reference_data: Path) -> tuple[dict[str, Tensor], Tensor, dict[str, tuple[float, float, float]]]:
    arrays = np.load(reference_data / "szt12_activations.npz")
    exact = json.loads((reference_data / "szt12_exact.json").read_text())
    rows = {name: torch.from_numpy(arrays[name]) for name in LAYERS}
    return rows, torch.from_numpy(arrays["y"]).long().flatten(), {n: tuple(exact[n]["noise0.1"]) for n in LAYERS}


def both(t: Tensor, y: Tensor) -> tuple[Estimate, Estimate]:
    # The 4,096 patterns are all inputs that there are.
    found = estimate_channel(t, y, sigma=0.1, noise="absolute", target="probe_set")
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize("layer", LAYERS)
def test_brackets_hold_the_exact_value(layer: str, task: tuple) -> None:
    rows, _, exact = task
    truth, _, monte_carlo = exact[layer]
    found = estimate_channel(rows[layer], sigma=0.1, noise="absolute")
    assert isinstance(found, Estimate)
    assert found.bracket_low is not None
    assert found.bracket_high is not None
    # The exact values are themselves Monte-Carlo means with a stated error.
    low = found.bracket_low - 3 * math.hypot(found.bracket_low_se or 0, monte_carlo)
    high = found.bracket_high + 3 * math.hypot(found.bracket_high_se or 0, monte_carlo)
    assert low <= truth <= high
    if truth <= math.log(N) - 2:
        assert found.bracket_high - found.bracket_low <= 0.2


@pytest.mark.parametrize("layer", LAYERS)
def test_labels_are_within_three_hundredths(layer: str, task: tuple) -> None:
    rows, y, exact = task
    _, label = both(rows[layer], y)
    assert label.nats == pytest.approx(exact[layer][1], abs=0.03)


# Exact values above 4.5 nats (both T1, and T2 of the ReLU net) are beyond what 2,048 held-out rows show a critic.
@pytest.mark.parametrize("layer", [n for n in LAYERS if n not in ("tanh0_T1", "relu0_T1", "relu0_T2")])
@pytest.mark.slow
def test_the_critic_is_within_fifteen_hundredths_where_the_truth_is_moderate(layer: str, task: tuple) -> None:
    rows, _, exact = task
    t = rows[layer]
    noise = torch.randn(t.shape, generator=torch.Generator().manual_seed(7))
    assert exact[layer][0] <= 4.5
    assert estimate_mi(t, t + 0.1 * noise).nats == pytest.approx(exact[layer][0], abs=0.15)

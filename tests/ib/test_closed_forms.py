"""Mutual informations that are known by quadrature, as joints on a fine grid and as what the probe measures."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch

from ibprobe import estimate_channel
from ibprobe.bottleneck.joint import Joint, entropy

TANH = {0.1: 1.8330, 0.5: 3.2101, 1: 3.3805, 2: 2.8817, 5: 1.9236, 10: 1.4169, 100: 0.7975}
RELU = dict(zip(TANH, (0.7932, 1.8891, 2.3049, 2.6950, 3.1853, 3.5448, 4.7104), strict=True))
LINEAR = dict(zip(TANH, (1.8426, 3.4346, 4.1272, 4.8202, 5.7364, 6.4296, 8.7322), strict=True))
FOUR_POINTS = {0.1: 0.8243, 0.3: 1.3386, 0.5: 1.3500, 1: 1.1021, 2: 0.7091, 5: 0.6931}
BIT = {0.5: 0.111421, 1: 0.336831, 2: 0.632720, 3: 0.689298}
DROPOUT = {0.1: 1.7893, 0.4: 1.1413}


def information(joint: np.ndarray) -> float:
    """I(X;Y) as every curve states it."""
    return Joint.of(joint).i_xy


def binned(edges: np.ndarray) -> float:
    """I(X;T) of T = the bin that a standard normal X falls into: H(T), as T is a function of X."""
    normal = NormalDist()
    mass = np.diff([normal.cdf(float(edge)) for edge in edges])
    return float(entropy(mass))


# The tables have four digits after the point, so that they are good to 10⁻⁴ with rounding.


@pytest.mark.parametrize("w", TANH)
def test_saxes_minimal_model_with_tanh(w: float) -> None:
    edges = np.arctanh(np.linspace(-1, 1, 31)[1:-1]) / w
    assert binned(np.array([-math.inf, *edges, math.inf])) == pytest.approx(TANH[w], abs=1e-4)


def test_the_most_that_tanh_keeps() -> None:
    edges = np.arctanh(np.linspace(-1, 1, 31)[1:-1]) / 0.86897
    assert binned(np.array([-math.inf, *edges, math.inf])) == pytest.approx(3.39627, abs=1e-5)


@pytest.mark.parametrize("w", RELU)
def test_saxes_minimal_model_with_relu_and_without(w: float) -> None:
    count = math.ceil(9 * w / (2 / 30))
    steps = np.arange(1, count + 1) * (2 / 30) / w
    assert binned(np.array([-math.inf, *steps])) == pytest.approx(RELU[w], abs=1e-4)
    assert binned(np.array([*-steps[::-1], 0.0, *steps])) == pytest.approx(LINEAR[w], abs=1e-4)


def seen_through_noise(places: np.ndarray, sd: float) -> np.ndarray:
    """p(x, y) of equally likely places in Gaussian noise, on a grid whose cells are a fiftieth of the noise."""
    grid = np.arange(places.min() - 9 * sd, places.max() + 9 * sd, sd / 50)
    return np.exp(-((grid - places[:, None]) ** 2) / (2 * sd**2))


@pytest.mark.parametrize("w", FOUR_POINTS)
def test_four_points_through_tanh_and_noise(w: float) -> None:
    places = np.tanh(w * np.array([-3.0, -1.0, 1.0, 3.0]))
    assert information(seen_through_noise(places, 0.1)) == pytest.approx(FOUR_POINTS[w], abs=1e-4)


@pytest.mark.parametrize("ratio", BIT)
def test_a_bit_in_noise(ratio: float) -> None:
    assert information(seen_through_noise(np.array([-ratio, ratio]), 1.0)) == pytest.approx(BIT[ratio], abs=1e-6)


@pytest.mark.parametrize("v", DROPOUT)
def test_multiplicative_dropout(v: float) -> None:
    normal = NormalDist()
    x = np.array([normal.inv_cdf((i + 0.5) / 1500) for i in range(1500)])
    f = 2 * x + 0.5
    # In ln |z| the noise is a shift: cells of equal width there resolve every f, however small.
    edges = np.concatenate([-np.exp(np.linspace(4, -14, 1000)), np.exp(np.linspace(-14, 4, 1000))])
    below = torch.special.ndtr(torch.tensor((edges / f[:, None] - 1) / math.sqrt(v)))
    joint = torch.diff(below, dim=1).abs().numpy()
    # 1,500 quantiles stand for the normal law of x: that costs less than 10⁻³ of the tails.
    assert information(joint) == pytest.approx(DROPOUT[v], abs=1e-3)


@pytest.mark.parametrize("w", [0.3, 0.5, 1, 2])
def test_the_probes_bracket_holds_the_closed_form(w: float) -> None:
    places = torch.tanh(w * torch.tensor([[-3.0], [-1.0], [1.0], [3.0]], dtype=torch.float64))
    found = [
        estimate_channel(places, sigma=0.1, noise="absolute", target="probe_set", seed=seed).bracket_low
        for seed in range(200)
    ]
    values = torch.tensor(found)
    assert float(values.mean()) == pytest.approx(FOUR_POINTS[w], abs=3 * float(values.std()) / math.sqrt(200) + 1e-4)

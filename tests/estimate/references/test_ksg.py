import math
import sys

import numpy as np
import pytest
import torch

from ibprobe.errors import MissingExtra
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.ksg import K, build, ksg


def read(pair: Pair, seed: int = 0) -> Reading:
    found = ksg(pair, seed)
    assert isinstance(found, Reading)
    return found


def gaussian(n: int, rho: float, seed: int = 0) -> Pair:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 1, generator=g)
    return Pair(x, rho * x + math.sqrt(1 - rho**2) * torch.randn(n, 1, generator=g))


def psi(n: int) -> float:
    return float(torch.digamma(torch.tensor(float(n)).double()))


def slow_kraskov(a: np.ndarray, b: np.ndarray) -> float:
    """Equation 8, row by row."""
    n, total = len(a), 0.0
    for i in range(n):
        da, db = abs(a - a[i]).max(1), abs(b - b[i]).max(1)
        reach = np.sort(np.maximum(da, db))[K]  # the row itself comes first
        total += psi(int((da < reach).sum())) + psi(int((db < reach).sum()))
    return psi(K) + psi(n) - total / n


def scaled(x: torch.Tensor) -> np.ndarray:
    rows = x.double().numpy()
    ordered = np.sort(rows, 0)
    return rows / (ordered[3 * len(rows) // 4] - ordered[len(rows) // 4])


def test_it_is_the_slow_version() -> None:
    pair = gaussian(150, 0.7)
    assert read(pair).nats == pytest.approx(slow_kraskov(scaled(pair.a), scaled(pair.b)), abs=1e-6)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_gaussians_across_correlations(rho: float) -> None:
    found = read(gaussian(3000, rho))
    assert found.nats == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.05)
    assert 0.02 < found.ci_high - found.ci_low < 0.2


def test_classes_far_apart_read_the_entropy_of_the_labels() -> None:
    y = torch.arange(900) % 3
    x = torch.randn(900, 2) + 30 * y[:, None]
    assert read(Pair(y, x)).nats == pytest.approx(math.log(3), abs=0.02)
    assert read(Pair(x, y)).nats == read(Pair(y, x)).nats


def test_scikit_learn_agrees_on_labels() -> None:
    from sklearn.feature_selection import mutual_info_classif

    y = torch.arange(600) % 2
    x = torch.randn(600, 1) + 1.5 * y[:, None]
    # The same estimator (Ross 2014), but for the noise that breaks ties.
    assert read(Pair(y, x)).nats == pytest.approx(float(mutual_info_classif(x, y, random_state=0)[0]), abs=2e-3)


def test_known_noise_is_drawn() -> None:
    x = gaussian(3000, 0.0).a
    assert read(Pair(x, x, 1.0), seed=5).nats == pytest.approx(0.5 * math.log(2), abs=0.05)


def test_units_and_one_outlier_do_not_matter() -> None:
    pair = gaussian(500, 0.8)
    moved = Pair(1e4 * pair.a + 7, pair.b.clone())
    moved.a[0] = 1e12
    assert read(moved).nats == pytest.approx(read(pair).nats, abs=0.02)


def test_ties_are_broken_the_same_way_every_time() -> None:
    pair = Pair(torch.arange(400)[:, None] % 5 * 1.0, torch.randn(400, 1))
    assert read(pair, 1) == read(pair, 1)
    assert read(pair, 1).nats == pytest.approx(read(pair, 2).nats, abs=0.1)


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        (Pair(torch.arange(50) % 2, torch.arange(50) % 2), "use counts"),
        (Pair(torch.zeros(50, 2), torch.randn(50, 1)), "constant"),
        (Pair((torch.arange(50) == 0).long(), torch.randn(50, 1)), "two classes"),
    ],
)
def test_what_it_cannot_read_is_said(pair: Pair, why: str) -> None:
    assert why in ksg(pair, 0)


def test_without_scikit_learn_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(MissingExtra, match=r"ibprobe\[references\]"):
        build()

"""k nearest neighbours: Kraskov, Stögbauer & Grassberger 2004, and Ross 2014 where one side is labels."""

from __future__ import annotations

from statistics import stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ibprobe.errors import MissingExtra
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.single import CONSTANT, OneByOne, interval, standardised, with_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

K = 3
"""Neighbours. Fewer have less bias and more variance; both papers and scikit-learn use 3."""
PARTS = 10
"""Of the rows, for the standard error."""
_TIE = 1e-10
"""Noise, in interquartile ranges, that breaks ties (Kraskov et al. advise it): far below any real distance."""


def build() -> OneByOne:
    """The estimator.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        import sklearn.neighbors  # noqa: F401
    except ImportError as e:
        raise MissingExtra('estimator="ksg"', "scikit-learn", "references") from e
    return OneByOne(ksg)


def ksg(pair: Pair, seed: int) -> Reading | str:
    """Algorithm 1 of Kraskov et al. (2004, arXiv cond-mat/0305641, eq. 8); Ross (2014) with labels on one side.

    Columns are scaled by their quartiles; distances are largest coordinate differences. Known noise is drawn once. It
    assumes a density that is flat over k neighbours: reliable in a few dimensions, far too low in many (0 of 3 nats in
    784) and wherever the information is strong for the number of rows.

    The standard error is the spread over ten random parts of the rows (Holmes & Nemenman 2019, arXiv 1903.09280), for
    rows share neighbours and their contributions are not independent. It covers sampling, not the bias.

    Args:
        pair: two sides of numbers, or one of labels.
        seed: of the noise, the ties and the parts.
    """
    if pair.a.ndim == pair.b.ndim == 1:
        return "both sides are labels, which have no neighbours: use counts"
    if pair.b.ndim == 1:
        pair = Pair(pair.b, pair.a)
    rng = np.random.default_rng(seed)
    b = _columns(with_noise(pair, seed), rng)
    a = pair.a.cpu().numpy() if pair.a.ndim == 1 else _columns(pair.a, rng)
    if not b.size or not a.size:
        return CONSTANT
    mean, name = (_ross, "ross") if a.ndim == 1 else (_kraskov, "ksg")
    nats = mean(a, b)
    if nats is None:
        return "too few rows, or fewer than two classes of two rows, for neighbours"
    order = rng.permutation(len(a))
    parts = [mean(a[rows], b[rows]) for rows in np.array_split(order, max(2, min(PARTS, len(a) // 10)))]
    values = [v for v in parts if v is not None]
    if len(values) < 2:
        return "too few rows a class to tell how sure the value is"
    return interval(nats, _student(len(values)) * stdev(values) / len(values) ** 0.5, f"{name}, k = {K}")


def _student(parts: int) -> float:
    """How much wider than a normal interval that of the mean of so few parts is."""
    from scipy.stats import t

    return float(t.ppf(0.975, parts - 1)) / 1.96


def _columns(x: Tensor, rng: np.random.Generator) -> NDArray[Any]:
    rows = standardised(x).cpu().numpy()
    return rows + _TIE * rng.standard_normal(rows.shape)


def _kraskov(a: NDArray[Any], b: NDArray[Any]) -> float | None:
    n = len(a)
    if n <= K:
        return None
    radius = _to_neighbour(np.concatenate([a, b], 1), K)
    # Counts include the row itself, as n_x + 1 does.
    return _psi(K) + _psi(n) - _psi(_within(a, radius)) - _psi(_within(b, radius))


def _ross(y: NDArray[Any], x: NDArray[Any]) -> float | None:
    """Neighbours within the class against neighbours at large; classes of one row are left out."""
    _, y, size = np.unique(y, return_inverse=True, return_counts=True)
    kept = size[y] > 1
    x, y = x[kept], y[kept]
    classes = np.unique(y)
    if len(classes) < 2:
        return None
    radius = np.zeros(len(x))
    for c in classes:
        radius[y == c] = _to_neighbour(x[y == c], min(K, int(size[c]) - 1))
    return _psi(len(x)) + _psi(np.minimum(K, size[y] - 1)) - _psi(size[y]) - _psi(_within(x, radius))


def _to_neighbour(x: NDArray[Any], k: int) -> NDArray[Any]:
    """Just below the distance to the k-th neighbour, so that ``within`` means strictly nearer."""
    from sklearn.neighbors import NearestNeighbors

    distances, _ = NearestNeighbors(n_neighbors=k, metric="chebyshev").fit(x).kneighbors()
    below: NDArray[Any] = np.nextafter(distances[:, -1], 0)
    return below


def _within(x: NDArray[Any], radius: NDArray[Any]) -> NDArray[Any]:
    """How many rows lie within each row's radius, the row itself among them."""
    from sklearn.neighbors import KDTree

    counts: NDArray[Any] = KDTree(x, metric="chebyshev").query_radius(x, radius, count_only=True)
    return counts


def _psi(k: int | NDArray[Any]) -> float:
    """The mean of the digamma function."""
    return float(torch.digamma(torch.as_tensor(k, dtype=torch.float64)).mean())

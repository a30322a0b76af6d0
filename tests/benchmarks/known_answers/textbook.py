"""What is commonly used, as it is commonly written: references for the benchmark, no part of the package.

The critics are read on the batches that they are trained on, as the scripts in circulation do.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from statistics import fmean

import numpy as np
import torch
from scipy.special import digamma
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import KDTree, NearestNeighbors
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

from .cases import Answer, Sample

TIME_LIMIT = 240.0
"""CPU seconds for one estimate."""
STEPS, LEARNING_RATE = 2000, 5e-4
LAST = 100
"""Batches whose mean is the reported value."""
Objective = Callable[[Tensor], Tensor]


def textbook_mine(sample: Sample, seed: int) -> Answer:
    """Belghazi et al. (2018): one critic on (x, y) and on (x, shuffled y), Donsker–Varadhan, batches of 512."""
    x, y = _sides(sample)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        critic = _mlp(x.shape[1] + y.shape[1], 1)

        def value() -> Tensor:
            rows = torch.randint(len(x), (512,))
            a, b = x[rows], y[rows]
            joint, apart = critic(torch.cat([a, b], 1)), critic(torch.cat([a, b[torch.randperm(512)]], 1))
            return joint.mean() - apart[:, 0].logsumexp(0) + math.log(512)

        return _train(critic, value, lambda: value().item())


def separable(objective: Objective, reading: Objective) -> Callable[[Sample, int], Answer]:
    """Two towers, all pairs of a batch of 128 (Song & Ermon 2020, arXiv 1910.06222)."""

    def estimate(sample: Sample, seed: int) -> Answer:
        x, y = _sides(sample)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            towers = nn.ModuleList([_mlp(x.shape[1], 32), _mlp(y.shape[1], 32)])

            def scores() -> Tensor:
                rows = torch.randint(len(x), (128,))
                product: Tensor = towers[0](x[rows]) @ towers[1](y[rows]).T
                return product

            return _train(towers, lambda: objective(scores()), lambda: reading(scores()).item())

    return estimate


def _train(critic: nn.Module, gain: Callable[[], Tensor], read: Callable[[], float]) -> Answer:
    """Ascend; the mean over the last batches is what is reported."""
    optimizer = torch.optim.Adam(critic.parameters(), LEARNING_RATE)
    start, last = time.process_time(), []
    for step in range(STEPS):
        optimizer.zero_grad()
        (-gain()).backward()
        optimizer.step()
        if step >= STEPS - LAST:
            with torch.no_grad():
                last.append(read())
        if time.process_time() - start > TIME_LIMIT:
            raise TimeoutError(f"more than {TIME_LIMIT:g} CPU seconds")
    return Answer(nats=fmean(last))


def _mlp(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs)
    )  # fmt: skip


def _apart(scores: Tensor) -> Tensor:
    """Scores of the pairs that do not belong together."""
    return scores[~torch.eye(len(scores), dtype=torch.bool)]


def nwj(scores: Tensor) -> Tensor:
    """Nguyen, Wainwright & Jordan (2010)."""
    return scores.diagonal().mean() - (_apart(scores) - 1).exp().mean()


def smile(scores: Tensor, clip: float = 5.0) -> Tensor:
    """Donsker–Varadhan with the normaliser's scores clipped (Song & Ermon 2020, equation 15)."""
    rest = _apart(scores).clamp(-clip, clip)
    return scores.diagonal().mean() - rest.logsumexp(0) + math.log(len(rest))


def jensen_shannon(scores: Tensor) -> Tensor:
    """The discriminator's objective, which trains SMILE and JS critics and is itself no estimate."""
    return -softplus(-scores.diagonal()).mean() - softplus(_apart(scores)).mean()


def jensen_shannon_read_by_nwj(scores: Tensor) -> Tensor:
    """Poole et al. (2019), section 2.4: f = 1 + the discriminator's logit."""
    return nwj(scores + 1)


def ksg(sample: Sample, seed: int) -> Answer:
    """Kraskov, Stögbauer & Grassberger (2004), first estimator, k = 5, Euclidean within and maximum between sides."""
    x, y = (side.double().numpy() for side in _sides(sample))
    k, n = 5, len(x)
    trees = [KDTree(side) for side in (x, y)]
    radius = np.empty(n)
    for rows in np.array_split(np.arange(n), max(1, n // 512)):
        apart = np.maximum(*(_distances(side[rows], side) for side in (x, y)))
        radius[rows] = np.partition(apart, k, axis=1)[:, k]
    inside = np.nextafter(radius, 0)
    counts = [tree.query_radius(side, inside, count_only=True) for tree, side in zip(trees, (x, y), strict=True)]
    nats = digamma(k) + digamma(n) - np.mean([digamma(c).mean() for c in counts]) * 2
    return Answer(nats=float(nats))


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return torch.cdist(torch.from_numpy(a), torch.from_numpy(b)).numpy()


def ross(sample: Sample, seed: int) -> Answer:
    """Ross (2014), k = 3: the k-th neighbour within the class, then all rows within that distance."""
    x, y, k = sample.x.numpy(), sample.y.numpy(), 3
    n, radius, size = len(x), np.empty(len(x)), np.empty(len(x))
    for label in np.unique(y):
        rows = np.flatnonzero(y == label)
        radius[rows] = NearestNeighbors(n_neighbors=k + 1).fit(x[rows]).kneighbors(x[rows])[0][:, -1]
        size[rows] = len(rows)
    within = KDTree(x).query_radius(x, np.nextafter(radius, 0), count_only=True)
    return Answer(nats=float(digamma(n) + digamma(k) - digamma(size).mean() - digamma(within).mean()))


def logistic(sample: Sample, seed: int) -> Answer:
    """H(Y) minus the cross-entropy of a logistic regression on the rows it was not fitted on, five folds."""
    x, y = sample.x.numpy(), sample.y.numpy()
    p = cross_val_predict(LogisticRegression(max_iter=300), x, y, cv=5, method="predict_proba")
    prior = np.bincount(y) / len(y)
    return Answer(nats=float(-(prior * np.log(prior)).sum() + np.log(p[np.arange(len(y)), y]).mean()))


def cca(sample: Sample, seed: int) -> Answer:
    """What a Gaussian with the same covariance would share."""
    sides = [side.double() - side.double().mean(0) for side in _sides(sample)]
    left, right = (torch.linalg.qr(side)[0] for side in sides)
    rho = torch.linalg.svdvals(left.T @ right).clamp(max=1 - 1e-12)
    return Answer(nats=-0.5 * float(torch.log1p(-rho.square()).sum()))


def _sides(sample: Sample) -> tuple[Tensor, Tensor]:
    """Standardised columns; labels as indicators."""
    sides = (s.float() if s.ndim == 2 else one_hot(s).float() for s in (sample.x, sample.y))
    x, y = ((s - s.mean(0)) / s.std(0).clamp(min=1e-6) for s in sides)
    return x, y


TEXTBOOK: Mapping[str, Callable[[Sample, int], Answer]] = {
    "textbook MINE": textbook_mine,
    "SMILE": separable(jensen_shannon, smile),
    "NWJ": separable(nwj, nwj),
    "JS": separable(jensen_shannon, jensen_shannon_read_by_nwj),
    "KSG": ksg,
    "Ross": ross,
    "logistic": logistic,
    "CCA": cca,
}

"""Mutual information of the tasks in `own_tasks`, exact or by quadrature; d coordinates that are independent add up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, i0e, i1e, roots_genlaguerre, roots_hermitenorm

Array = NDArray[np.float64]


def normal_mean(f: Callable[[Array], Array]) -> float:
    """E f(N(0, 1)) by Gauss–Hermite quadrature."""
    nodes, weights = roots_hermitenorm(150)
    return float(weights @ f(nodes) / weights.sum())


def uniform_noise(half_widths: Sequence[float]) -> float:
    """x uniform on [0, 1], y = x + uniform on ±w: the marginal is a trapezium, its entropy elementary."""
    return sum(w - math.log(2 * w) if w <= 0.5 else 1 / (4 * w) for w in half_widths)


def blobs(centres: Sequence[tuple[float, float]], weights: Sequence[float], sd: float) -> float:
    """A mixture of round Gaussians in the plane, by the rectangle rule, which is spectral for smooth tails."""
    grid = np.linspace(-8, 8, 1601)
    step = grid[1] - grid[0]
    at = np.array(centres)
    px, py = (np.exp(-((grid - at[:, [i]]) ** 2) / (2 * sd**2)) / (sd * math.sqrt(2 * math.pi)) for i in (0, 1))
    w = np.array(weights)
    joint = np.einsum("k,ki,kj->ij", w, px, py)
    return float((joint * np.log((joint + 1e-300) / (np.outer(w @ px, w @ py) + 1e-300))).sum() * step**2)


def shared_scale(scales: Sequence[float], d: int) -> float:
    """x = s·g, y = s·g′ with one random scale: every density depends on the two squared lengths alone."""
    nodes, weights = roots_genlaguerre(80, d / 2 - 1)
    squares, weights = 2 * nodes, weights / weights.sum()
    s = np.array(scales)

    def log_density(length: Array, dims: int) -> Array:
        terms = -length[..., None] / (2 * s**2) - dims * np.log(s)
        return np.logaddexp.reduce(terms, axis=-1) - math.log(len(s))

    total = 0.0
    for scale in scales:
        a, b = scale**2 * squares[:, None], scale**2 * squares[None, :]
        ratio = log_density(a + b, 2 * d) - log_density(a, d) - log_density(b, d)
        total += float(weights @ ratio @ weights) / len(s)
    return total


def noisy_sign(flip: float) -> float:
    """A fair sign seen through a symmetric channel: ln 2 − h(flip)."""
    return math.log(2) + flip * math.log(flip) + (1 - flip) * math.log(1 - flip)


def bit_in_noise(amplitude: float) -> float:
    """±amplitude in standard normal noise: ln 2 − E ln(1 + exp(−2a(a + ε)))."""
    return math.log(2) - normal_mean(lambda e: np.logaddexp(0, -2 * amplitude * (amplitude + e)))


def circle(kappa: float) -> float:
    """An angle plus von Mises noise: ln 2π − h = κ I₁(κ)/I₀(κ) − ln I₀(κ)."""
    return float(kappa * i1e(kappa) / i0e(kappa) - math.log(i0e(kappa)) - kappa)


def gate(sd: float) -> float:
    """y is x₁ or x₂, by a hidden fair coin, in noise.

    Given x the noise hides the coin as it hides a bit of amplitude |x₁ − x₂|/2, so I(X;Y) = I(X,B;Y) − I(B;Y|X).
    """
    told = normal_mean(lambda z: np.array([bit_in_noise(abs(v) / (math.sqrt(2) * sd)) for v in z]))
    return 0.5 * math.log1p(1 / sd**2) - told


def counts(rate: float) -> float:
    """x exponential, y Poisson with mean rate·x, hence geometric: I = E ln p(y|x) − E ln p(y), term by term."""
    k = np.arange(4000)
    p = np.exp(k * math.log(rate / (1 + rate)) - math.log1p(rate))
    given_x = rate * (math.log(rate) + float(digamma(2))) - rate - float(p @ gammaln(k + 1))
    return given_x - float(p @ np.log(p + 1e-300))


def gamma_exponential(shape: float) -> float:
    """x Gamma(shape), y exponential with rate x: ψ(shape + 1) − ln shape (Darbellay & Vajda 1999)."""
    return float(digamma(shape + 1)) - math.log(shape)


def volatility() -> float:
    """y = exp(x)·g: its sign tells nothing, and ln |y| = x + ln |g| is a convolution."""
    w = np.linspace(-45, 12, 11401)
    step = w[1] - w[0]
    noise = math.sqrt(2 / math.pi) * np.exp(w - np.exp(2 * w) / 2)
    span = np.arange(-10, 10 + step / 2, step)
    p = np.convolve(noise, np.exp(-(span**2) / 2) / math.sqrt(2 * math.pi), mode="full") * step
    entropy_y, entropy_noise = (-float(q @ np.log(q + 1e-300)) * step for q in (p, noise))
    return entropy_y - entropy_noise


def shuffled_cells(cells: int, astray: float) -> float:
    """x's cell names y's, unless y went astray and is uniform: a discrete channel inside continuous variables."""
    hit, miss = 1 - astray + astray / cells, astray / cells
    return hit * math.log(cells * hit) + (cells - 1) * miss * math.log(cells * miss)


def two_clusters(shift: float) -> float:
    """x and y are normal about ±shift with one sign: ln cosh m(s + t) − ln cosh ms − ln cosh mt, in the mean."""

    def log_cosh(v: Array) -> Array:
        return np.logaddexp(v, -v) - math.log(2)

    both = normal_mean(lambda e: log_cosh(shift * (2 * shift + math.sqrt(2) * e)))
    return both - 2 * normal_mean(lambda e: log_cosh(shift * (shift + e)))


def squares(sd: float) -> float:
    """y = x² in normal noise: h(Y) from the density, E over x of the noise, on a grid."""
    y = np.linspace(-6, 50, 28001)
    nodes, weights = roots_hermitenorm(400)
    p = np.zeros_like(y)
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        if weight > 1e-18:
            p += weight * np.exp(-((y - node**2) ** 2) / (2 * sd**2))
    p /= sd * math.sqrt(2 * math.pi)
    return -float(p @ np.log(p + 1e-300)) * (y[1] - y[0]) - 0.5 * math.log(2 * math.pi * math.e * sd**2)


def laplace_noise() -> float:
    """The sum of two standard Laplace variables has density (1 + |y|) exp(−|y|)/4; the noise has entropy ln 2e."""
    nodes, weights = roots_genlaguerre(150, 0)
    # −E ln p(|y|), |y| of density (1 + v) exp(−v)/2.
    entropy = float(weights @ ((1 + nodes) / 2 * (nodes + math.log(4) - np.log1p(nodes))))
    return entropy - math.log(2 * math.e)

"""The bottleneck at one β, as maximum likelihood of a mixture, with NumPy or on a torch device by the same code.

Write J(t, y) = p(t, y) for the clusters. The free energy −E_x ln Z(x), Z(x) = Σ_t p(t) exp(−β KL(p(y|x) ‖ p(y|t))), of
Tishby, Pereira & Bialek (1999, physics/0004057) is minus the log-likelihood of a mixture whose components are
the clusters. As a function of the *measure* that p(t) puts on the simplex of distributions over y it is convex, however
many clusters there are (Harremoës & Tishby 2007 see the bottleneck as rate–distortion with that alphabet; Lindsay 1983
the mixture). So a solution can be proved to be the best one: see :mod:`ibprobe.bottleneck.certificate`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ibprobe.bottleneck.joint import Joint
from ibprobe.errors import BadInput

Array = Any
"""A NumPy array or a tensor of float64: the functions that both have by the same name are all that is used."""
TINY = 1e-300
GONE = 1e-13
"""A cluster of less mass is dropped."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Distinct rows p(y|x), their mass, and β."""

    mass: Array
    """``(d,)``."""
    rows: Array
    """``(d, k)``."""
    own: Array
    """``(d,)``: Σ_y p(y|x) ln p(y|x)."""
    beta: float
    scaled: Array
    """``(d, k)``: β p(y|x)."""
    xp: Any
    """The module of the arrays, NumPy or torch."""

    @classmethod
    def of(cls, joint: Joint, device: str | None = None) -> Problem:
        """On NumPy, or with ``device`` on a torch device.

        Raises:
            BadInput: torch cannot use the device.
        """
        own = np.where(joint.rows > 0, joint.rows * np.log(np.clip(joint.rows, TINY, None)), 0.0).sum(axis=1)
        if device is None:
            return cls(joint.mass, joint.rows, own, 0.0, 0.0 * joint.rows, np)
        import torch

        try:
            moved = (torch.tensor(a, dtype=torch.float64, device=device) for a in (joint.mass, joint.rows, own))
            mass, rows, inner = moved
        except (RuntimeError, AssertionError, TypeError) as e:
            raise BadInput(f"device={device!r} cannot be used here: {str(e).splitlines()[0][:80]}") from e
        return cls(mass, rows, inner, 0.0, 0.0 * rows, torch)

    def at(self, beta: float) -> Problem:
        """The same joint at another β."""
        return replace(self, beta=beta, scaled=beta * self.rows)

    def one_cluster(self) -> Array:
        """``(1, k)``: T tells nothing."""
        return (self.mass @ self.rows)[None, :]

    def energies(self, clusters: Array) -> Array:
        """Ln p(t) − β KL(p(y|x) ‖ p(y|t)) + β Σ p ln p, ``(d, t)``: one matrix product."""
        xp = self.xp
        found = self.scaled @ xp.log(xp.clip(clusters, TINY, None)).T
        found += (1 - self.beta) * xp.log(xp.clip(clusters.sum(1), TINY, None))
        return found

    def step(self, clusters: Array) -> tuple[Array, float]:
        """One round of the self-consistent equations: the next ``(t, k)``, and the given one's free energy in nats."""
        weights, value = self._posterior(clusters)
        weights *= self.mass[:, None]
        return weights.T @ self.rows, value

    def encoder(self, clusters: Array) -> Array:
        """p(t|x) of the distinct rows, ``(t, d)``."""
        return self._posterior(clusters)[0].T

    def _posterior(self, clusters: Array) -> tuple[Array, float]:
        xp = self.xp
        found = self.energies(clusters)
        top = xp.amax(found, 1, keepdims=True)
        found -= top
        xp.exp(found, out=found)
        z = found.sum(1, keepdims=True)
        value = -(self.mass @ (xp.log(z) + top)[:, 0]) + self.beta * (self.mass @ self.own)
        found /= z
        return found, float(value)


def host(array: Array) -> Any:
    """As a NumPy array."""
    return array.cpu().numpy() if hasattr(array, "cpu") else array


def normalised(clusters: Array) -> Array:
    """p(y|t), ``(t, k)``."""
    return clusters / clusters.sum(1, keepdims=True)


def without_empty(clusters: Array) -> Array:
    """Only the clusters that have mass."""
    kept = clusters.sum(1) > GONE
    return clusters if bool(kept.all()) else clusters[kept] / clusters[kept].sum()


def apart(a: Array, b: Array, xp: Any) -> Array:
    """Squared Hellinger distances of distributions ``(m, k)`` and ``(t, k)``: ``(m, t)``, at most 2."""
    return xp.clip(2 - 2 * xp.sqrt(a) @ xp.sqrt(b).T, 0.0, None)


def first_of_each(distance: Any, within: float) -> tuple[Any, Any]:
    """Positions of those, in order, that no earlier kept one is near to, and for all whose they are.

    Args:
        distance: ``(m, m)``, NumPy.
        within: what is near.
    """
    owner = np.full(len(distance), -1)
    kept: list[int] = []
    for i in range(len(distance)):
        if owner[i] < 0:
            owner[(distance[i] <= within) & (owner < 0)] = len(kept)
            owner[i] = len(kept)
            kept.append(i)
    return np.array(kept, dtype=int), owner


def merged(clusters: Array, within: float, xp: Any) -> Array:
    """Clusters that are nearer than this become one, the heaviest first."""
    heavy = clusters[xp.argsort(-clusters.sum(1))]
    rows = normalised(heavy)
    kept, owner = first_of_each(host(apart(rows, rows, xp)), within)
    if len(kept) == len(clusters):
        return clusters
    member = np.zeros((len(kept), len(owner)))
    member[owner, np.arange(len(owner))] = 1
    return (member if xp is np else xp.as_tensor(member, device=clusters.device)) @ heavy

"""The self-consistent equations, iterated to where they stand still, with Anderson's acceleration.

Plain iteration converges linearly, and hardly at all next to a bifurcation. Anderson's mixing (Walker & Ni 2011) of
the last steps, in the coordinates √p(t, y) in which the Fisher metric is flat, needs a tenth of them; it counts only
where the free energy does not rise. A cluster that is being born grows by a constant factor a step, which no mixing
foresees: there the plain step is stretched, in logarithms, as long as that pays.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ibprobe.bottleneck.problem import GONE, TINY, Array, Problem, without_empty

_MEMORY = 10
_ROUNDING = 1e-14
_LONGEST = 1e5


@dataclass
class _Mixing:
    """The last points and steps, and how far the plain step is stretched."""

    problem: Problem
    points: list[Array] = field(default_factory=list)
    steps: list[Array] = field(default_factory=list)
    stretch: float = 8.0

    def see(self, clusters: Array, following: Array) -> None:
        """Remember a step."""
        root = self.problem.xp.sqrt(following)
        self.points = [*self.points[-_MEMORY:], root.reshape(-1)]
        self.steps = [*self.steps[-_MEMORY:], (root - self.problem.xp.sqrt(clusters)).reshape(-1)]

    def forget(self, keep: int = 0) -> None:
        """All but the last ones."""
        self.points, self.steps = (which[len(which) - keep :] for which in (self.points, self.steps))

    def mixed(self, shape: tuple[int, ...]) -> Array | None:
        """Where the remembered steps, as a linear map, would stand still."""
        if len(self.points) < 2:
            return None
        xp = self.problem.xp
        steps, points = xp.stack(self.steps), xp.stack(self.points)
        d_steps, d_points = steps[1:] - steps[:-1], points[1:] - points[:-1]
        gram = d_steps @ d_steps.T
        ridge = 1e-12 * float(gram.trace()) + TINY
        gram = gram + ridge * xp.eye(len(gram), **_like(gram))
        found = points[-1] - xp.linalg.solve(gram, d_steps @ steps[-1]) @ d_points
        found = xp.clip(found, 0.0, None).reshape(shape) ** 2
        found = found / found.sum()
        return found if bool((found.sum(1) > GONE).all()) else None

    def stretched(self, clusters: Array, following: Array) -> Array:
        """The plain step, several times as long in ln p(t, y)."""
        xp = self.problem.xp
        ratio = xp.log(xp.clip(following, TINY, None) / xp.clip(clusters, TINY, None))
        found = clusters * xp.exp(xp.clip(self.stretch * ratio, -3.0, 3.0))
        return found / found.sum()


def _like(array: Array) -> dict[str, object]:
    return {"dtype": array.dtype, "device": array.device} if hasattr(array, "cpu") else {}


def settle(problem: Problem, clusters: Array, *, tol: float, steps: int) -> Array:
    """Iterate until no cluster wants more weight or another place, by ``tol``, or ``steps`` are over.

    Args:
        problem: the joint at one β.
        clusters: ``(t, k)`` to start from.
        tol: nats of the certificate's bound that the clusters themselves may leave.
        steps: at most so many, of one or two products each.

    Returns:
        ``(t, k)``, perhaps fewer of them.
    """
    now = without_empty(clusters)
    following, value = problem.step(now)
    mixing = _Mixing(problem)
    for _ in range(steps):
        if _still(problem, now, following, tol):
            break
        mixing.see(now, following)
        better = _accelerated(problem, mixing, now, following, value)
        if better is None:
            now = without_empty(following)
            if len(now) < len(following):
                mixing.forget()
            following, value = problem.step(now)
        else:
            now, following, value = better
    return now


def _still(problem: Problem, now: Array, following: Array, tol: float) -> bool:
    xp = problem.xp
    mass = following.sum(1)
    growth = mass / now.sum(1)
    if float(growth.max()) - 1 > tol:
        return False
    ratio = xp.log(xp.clip(following, TINY, None) / xp.clip(now, TINY, None))
    moved = (following * ratio).sum(1) / mass - xp.log(growth)
    return float(moved.max()) * problem.beta <= tol


def _accelerated(
    problem: Problem, mixing: _Mixing, now: Array, following: Array, value: float
) -> tuple[Array, Array, float] | None:
    """A point beyond the plain step whose free energy is no higher than the present one's."""
    mixed = mixing.mixed(tuple(now.shape))
    if mixed is None:
        return None
    after, its_value = problem.step(mixed)
    if its_value <= value + _ROUNDING:
        return mixed, after, its_value
    mixing.forget(keep=1)
    far = mixing.stretched(now, following)
    after, its_value = problem.step(far)
    if its_value > value + _ROUNDING:
        mixing.stretch = max(mixing.stretch / 4, 2.0)
        return None
    mixing.stretch = min(2 * mixing.stretch, _LONGEST)
    mixing.forget()
    return far, after, its_value

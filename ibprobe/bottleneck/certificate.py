"""How far a solution can be from the best one of all, and which cluster it lacks.

The free energy is convex in the measure on the simplex, so its slope towards a cluster at r bounds what is left to
gain:

    F(now) − F(best) ≤ ln max_r D(r),   D(r) = Σ_x p(x)/Z(x) · exp(−β KL(p(y|x) ‖ r))

(Lindsay 1983 for mixtures; Blahut 1972 for rate–distortion). D ≤ 1 everywhere proves a solution; where D > 1 a
cluster is missing. ln D is climbed from every p(y|x) and every cluster at once by r ← Σ_x ω(x) p(y|x), which never
descends.
"""

from __future__ import annotations

from ibprobe.bottleneck.problem import TINY, Array, Problem, apart, first_of_each, host, normalised

_CYCLES = 8
_LOW, _LOWER = -0.5, -0.1
"""Starting points this far down, after one step and after one cycle, do not reach 0."""
_NEAR, _MET, _SPACED = 1e-6, 1e-5, 3e-3
"""Squared Hellinger distances: of a climber that has reached a cluster, of two that have met, of points on the way."""
_MOST = 20
"""Points of the way up that are offered beside the tops; the landscape may be flat there."""
_LONGEST = 100.0
_OWN = 12
"""Cycles of those that start from clusters: they begin near a top, and the last way up is slow."""
_CROWD = 1500


def certify(problem: Problem, clusters: Array, tol: float) -> tuple[float, Array]:
    """The bound on the gap in nats, and places ``(m, k)`` for clusters that would lower the free energy.

    Args:
        problem: the joint at one β.
        clusters: ``(t, k)``, where the self-consistent equations stand still.
        tol: a bound that is good enough; places with less are not returned.
    """
    xp, present = problem.xp, normalised(clusters)
    lead = xp.log(problem.mass) - _log_z(problem, clusters)
    start = xp.concatenate([problem.rows, present])
    height, up = slope(problem, lead, start)
    best = float(height.max())
    passed = (height[height > tol], start[height > tol])
    now = up[height > _LOW]
    for _ in range(_CYCLES):
        height, now = _cycle(problem, lead, now)
        best = max(best, float(height.max()))
        kept = (height > tol) | ((height > _LOWER) & (xp.amin(apart(now, present, xp), 1) > _NEAR))
        if not bool(kept.any()):
            now = now[kept]
            break
        height, now = _thinned(height[kept], now[kept], _MET, xp)
    tops = now[height > tol] if len(now) else now
    own = present
    for _ in range(_OWN):
        height, own = _cycle(problem, lead, own)
    best = max(best, float(height.max()))
    if bool((height > tol).any()):
        tops = xp.concatenate([tops, _thinned(height[height > tol], own[height > tol], _MET, xp)[1]])
    on_the_way = _thinned(*passed, _SPACED, xp)[1][:_MOST] if len(passed[0]) else passed[1]
    return best, xp.concatenate([tops, on_the_way])


def _cycle(problem: Problem, lead: Array, now: Array) -> tuple[Array, Array]:
    """Two steps up and one as far beyond as they foresee (Varadhan & Roland 2008), for each climber by itself."""
    xp = problem.xp
    _, one = slope(problem, lead, now)
    height, two = slope(problem, lead, one)
    start, first, second = (xp.log(xp.clip(place, TINY, None)) for place in (now, one, two))
    step, bend = first - start, second - 2 * first + start
    lengths = xp.sqrt((now * step**2).sum(1) / xp.clip((now * bend**2).sum(1), TINY, None))
    length = xp.clip(lengths, 1.0, _LONGEST)[:, None]
    far = start + 2 * length * step + length**2 * bend
    far = normalised(xp.exp(far - xp.amax(far, 1, keepdims=True)))
    reached, _ = slope(problem, lead, far)
    better = reached >= height
    return xp.where(better, reached, height), xp.where(better[:, None], far, one)


def slope(problem: Problem, lead: Array, places: Array) -> tuple[Array, Array]:
    """Ln D of ``(m, k)`` places, and one step up from each.

    Args:
        problem: the joint at one β.
        lead: ``(d,)``: ln p(x) − ln Z(x) − β Σ p ln p.
        places: distributions over y.
    """
    xp = problem.xp
    found = xp.log(xp.clip(places, TINY, None)) @ problem.scaled.T
    found += lead
    top = xp.amax(found, 1, keepdims=True)
    found -= top
    xp.exp(found, out=found)
    total = found.sum(1, keepdims=True)
    return (xp.log(total) + top)[:, 0], (found @ problem.rows) / total


def _log_z(problem: Problem, clusters: Array) -> Array:
    found = problem.energies(clusters)
    top = problem.xp.amax(found, 1, keepdims=True)
    return (problem.xp.log(problem.xp.exp(found - top).sum(1, keepdims=True)) + top)[:, 0]


def _thinned(height: Array, places: Array, within: float, xp: Array) -> tuple[Array, Array]:
    """The highest of places that are near each other, the highest first."""
    order = xp.argsort(-height)[:_CROWD]
    height, places = height[order], places[order]
    kept, _ = first_of_each(host(apart(places, places, xp)), within)
    return height[kept], places[kept]

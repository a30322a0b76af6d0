"""IB curves of discrete variables: the best T for every β, from a joint distribution or from samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ibprobe.bottleneck.curve import IBCurve, Point
from ibprobe.bottleneck.deterministic import HardSolver
from ibprobe.bottleneck.generalised import GeneralisedSolver
from ibprobe.bottleneck.joint import Joint, joint_from_samples
from ibprobe.bottleneck.onsets import bifurcations, local_onset, onset
from ibprobe.bottleneck.squared import SquaredSolver
from ibprobe.bottleneck.tracing import Solver, Told, Tracer, evenly
from ibprobe.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from jaxtyping import Float

Kind = Literal["ib", "dib", "generalised"]
Form = Literal["lagrangian", "squared"]
_ALPHA = {"ib": 1.0, "dib": 0.0}
_JUMP = 0.2
_BIASED = 0.02


def ib_curve(
    p_xy: Any,
    betas: Any = None,
    kind: Kind = "ib",
    *,
    alpha: float | None = None,
    form: Form = "lagrangian",
    points: int = 50,
    tol: float = 1e-6,
    locate: int | None = None,
    device: str | None = None,
    on_point: Callable[[int, int], None] | None = None,
) -> IBCurve:
    """The information bottleneck's curve: for each β the T that minimises I(X;T) − β I(T;Y), in nats.

    For ``kind="ib"`` every point carries a bound on its distance from the best of *all* encoders (``gap``): the
    problem is convex in the measure that T puts on the p(y|t), so no restarts are needed. Points are solved upwards
    in β, each from the one below; clusters are added where the bound shows that one is missing, and dropped where
    they are not used.

    Args:
        p_xy: ``(n_x, n_y)`` counts or probabilities; it is copied and normalised, never changed. A row of zeros is an x
            that does not occur: it keeps its column in the encoders, where it is mapped to p(t).
        betas: β ≥ 0, in any order; by default chosen from before the first onset to saturation, evenly along the curve.
        kind: ``ib``; ``dib``, H(T) − β I(T;Y), hard clusterings, exact for two values of y; or ``generalised``,
            H(T) − α H(T|X) − β I(T;Y).
        alpha: the α of ``generalised``, between 0 and 1.
        form: ``squared`` minimises I(X;T)² − β I(T;Y) instead, which reaches every point where the curve has straight
            pieces; where Y is a function of X, nothing else does. ``notes`` say when it is needed.
        points: how many, where betas are chosen; fewer where the curve jumps.
        tol: the ``gap`` that counts as converged, nats.
        locate: how many bifurcations above the onset to locate; by default 3 where betas are chosen, else none.
        device: ``cpu``, ``cuda``, …: on torch instead of NumPy, for large tables.
        on_point: called with how many points are done, and of how many.

    Returns:
        The curve, by increasing β, one point for each β that was asked for.

    Raises:
        BadInput: p_xy is no table of finite numbers ≥ 0, a β is negative or not finite, or options do not go together.
        UnknownName: no such kind or form.
    """
    weight = _checked(kind, form, alpha)
    if not (points >= 2 and tol > 0):
        raise BadInput(f"points={points}, tol={tol:g}: expected at least 2 points and a tolerance above 0")
    given = None if betas is None else positive_betas(betas)
    joint = Joint.of(p_xy)
    first = onset(joint)
    tracer = Tracer(joint, first, tol=tol, device=device)
    solver = _solver(joint, tracer, weight, form)
    found, notes = _points(solver, joint, first, given, points, form, on_point)
    count = (3 if given is None else 0) if locate is None else locate
    highest = found[-1].beta if form == "lagrangian" and weight == 1 else math.inf
    critical = [first, *bifurcations(joint, first, count, highest=highest)] if math.isfinite(first) else []
    kept = _curve(joint, kind, weight, form, found, tracer.tangents(), critical)
    return replace(kept, notes=(*notes, *_notes(joint, kept)))


def ib_curve_from_samples(x: Any, y: Any, betas: Any = None, kind: Kind = "ib", **options: Any) -> IBCurve:
    """:func:`ib_curve` of the counts of pairs of symbols.

    The counts' curve lies above the population's: I(X;Y) of counts is too large by about (n_x − 1)(n_y − 1)/2n nats,
    and the whole curve with it (Miller 1955; for the IB curve Shamir, Sabato & Tishby 2010). ``notes`` say by how
    much.

    Args:
        x: ``(n,)`` symbols or ``(n, d)`` rows, each of which is one symbol.
        y: likewise, aligned with x.
        betas: see :func:`ib_curve`, as for all other options.
        kind: likewise.
        options: likewise.

    Raises:
        BadInput: lengths differ, there are no rows, or what :func:`ib_curve` raises.
    """
    counts = joint_from_samples(x, y)
    curve = ib_curve(counts, betas, kind, **options)
    bias = (counts.shape[0] - 1) * (counts.shape[1] - 1) / (2 * int(counts.sum()))
    note = f"from {int(counts.sum()):,} samples: I(X;Y) = {curve.i_xy:.4f} is too large by about {bias:.4f} nats"
    warn = "; the curve says little of the population" if bias > max(_BIASED, 0.2 * curve.i_xy) else ""
    return replace(curve, notes=(note + warn, *curve.notes))


def _checked(kind: str, form: str, alpha: float | None) -> float:
    """The α that goes with the options."""
    if kind not in (*_ALPHA, "generalised"):
        raise UnknownName("kind", kind, (*_ALPHA, "generalised"))
    if form not in ("lagrangian", "squared"):
        raise UnknownName("form", form, ("lagrangian", "squared"))
    if form == "squared" and kind != "ib":
        raise BadInput(f'form="squared" goes with kind="ib", not with {kind!r}')
    if (kind == "generalised") != (alpha is not None):
        raise BadInput(f'alpha={alpha}: kind="generalised" needs an α between 0 and 1, the other kinds take none')
    if alpha is None:
        return _ALPHA[kind]
    if not 0 <= alpha <= 1:
        raise BadInput(f"alpha={alpha:g}: expected 0 (DIB) to 1 (IB)")
    return float(alpha)


def positive_betas(betas: Any) -> Float[np.ndarray, " b"]:
    """As a sorted array.

    Raises:
        BadInput: there are none, or some are negative or not finite.
    """
    try:
        given = np.sort(np.array(betas, dtype=np.float64).reshape(-1))
    except (TypeError, ValueError) as e:
        raise BadInput(f"betas: expected numbers, got {betas!r}") from e
    if not len(given) or not np.isfinite(given).all() or given[0] < 0:
        raise BadInput(f"betas: expected at least one finite number ≥ 0, got {np.asarray(betas).reshape(-1)[:5]}")
    return given


def _solver(joint: Joint, tracer: Tracer, alpha: float, form: Form) -> Solver:
    if form == "squared":
        return SquaredSolver(joint, tracer)
    if alpha == 1:
        return tracer
    return HardSolver(joint) if alpha == 0 else GeneralisedSolver(joint, alpha, tracer)


def _points(
    solver: Solver, joint: Joint, first: float, given: Any, points: int, form: Form, told: Told | None
) -> tuple[list[Point], list[str]]:
    if math.isinf(first):
        asked = [1.0] if given is None else list(given)
        trivial = np.ones((1, len(joint.mass)))
        return [Point.of(joint, float(b), trivial, 0.0, True) for b in asked], ["X and Y are independent"]
    if given is None and isinstance(solver, SquaredSolver):
        given = np.linspace(0.0, 1.05 * solver.largest(), points)
    if given is None:
        return evenly(solver, joint, first, points, told)
    found = []
    for beta in given:
        found.append(solver(float(beta)))
        if told is not None:
            told(len(found), len(given))
    return found, []


def _curve(
    joint: Joint, kind: str, alpha: float, form: str, found: Sequence[Point], tangents: Any, critical: Sequence[float]
) -> IBCurve:
    def column(name: str) -> Any:
        return np.array([getattr(p, name) for p in found])

    beta, i_xt, i_ty, h_t = (column(name) for name in ("beta", "i_xt", "i_ty", "h_t"))
    kept = i_xt**2 if form == "squared" else h_t - alpha * (h_t - i_xt)
    return IBCurve(
        kind=kind, alpha=alpha, form=form, beta=beta, i_xt=i_xt, i_ty=i_ty, h_t=h_t, objective=kept - beta * i_ty,
        gap=column("gap"), converged=column("converged").astype(bool),
        encoders=tuple(joint.spread(p.encoder) for p in found), h_x=joint.h_x, h_y=joint.h_y, i_xy=joint.i_xy,
        onset=critical[0] if critical else math.inf, local_onset=local_onset(joint),
        critical_betas=np.array(critical, dtype=float), tangents=tangents,
    )  # fmt: skip


def _notes(joint: Joint, curve: IBCurve) -> list[str]:
    notes = []
    if curve.kind == "ib" and curve.form == "lagrangian" and joint.i_xy > 0:
        if joint.deterministic:
            notes.append(
                "Y is a function of X: the curve is I(T;Y) = min(I(X;T), H(Y)), of which β finds the ends only; "
                'form="squared" finds the points between'
            )
        else:
            notes += _straight(curve)
    if not curve.converged.all():
        at = ", ".join(f"{b:.4g}" for b in curve.beta[~curve.converged][:5])
        notes.append(f"{int((~curve.converged).sum())} points did not converge (β = {at}): see gap")
    return notes


def _straight(curve: IBCurve) -> list[str]:
    """Where neighbouring betas are all but equal and their points far apart."""
    near = curve.beta[1:] <= curve.beta[:-1] * 1.001
    far = np.diff(curve.i_ty) > _JUMP * curve.i_xy
    at = curve.beta[:-1][near & far]
    text = 'the curve has a straight piece, which β jumps over; form="squared" finds the points on it'
    return [f"at β = {at[0]:.4g} {text}"] if len(at) else []

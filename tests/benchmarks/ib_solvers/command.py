"""The command line of the solver benchmark."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ibprobe.bottleneck import IBCurve, ib_curve

from .joints import BETAS, SIZES, Array, annealed, converged, proved, random_joint
from .peers import ask

GOAL = 1e-6
"""Nats that the objective may be above the reference's."""
_DIT = (((4, 2), 8.0), ((8, 2), 8.0), ((16, 2), 8.0))
_BELOW = 256
"""References take too long beyond this many inputs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and return 1 if a goal is missed."""
    options = _options(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    lines = ["| joint | ours, s (CPU) | gap, nats | embo, s (CPU) | gap, nats | points | faster |", "|---" * 7 + "|"]
    missed = []
    for n, k in SIZES:
        if not options.size or f"{n}x{k}" in options.size:
            missed.append(_compared(n, k, options, lines))
            print(lines[-1], file=sys.stderr, flush=True)
    if options.peers and not options.size:
        lines += ["", "| joint, one β | ours, s | dit, s | dit's gap, nats |", "|---|---|---|---|"]
        lines += [_beside_dit(*size, beta, options.out) for size, beta in _DIT]
    print(*lines, sep="\n")
    (options.out / "solver.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(any(missed))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="IB curves of random joints at 50 betas: time and objective.")
    names = [f"{n}x{k}" for n, k in SIZES]
    parser.add_argument("--size", action="append", choices=names, help="only this one; may be given again")
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True, help="run embo and dit too")
    parser.add_argument("--out", type=Path, default=Path("runs/solver"), help="the table, and the peers' environments")
    return parser.parse_args(arguments)


def _timed(p: Array, betas: Any) -> tuple[IBCurve, float, float]:
    start, cpu = time.perf_counter(), time.process_time()
    curve = ib_curve(p, betas)
    return curve, time.perf_counter() - start, time.process_time() - cpu


def _compared(n: int, k: int, options: argparse.Namespace, lines: list[str]) -> bool:
    """One row of the table; whether a goal is missed."""
    print(f"{n}x{k} …", file=sys.stderr, flush=True)
    p = random_joint(n, k)
    curve, wall, cpu = _timed(p, BETAS)
    if n <= _BELOW or k == 2:
        best, proof = converged(p, BETAS)
    else:  # what our own proof says nothing is below
        best, proof = curve.objective - curve.gap, np.zeros(1)
    if k == 2:  # where the simplex is a line, all of it is looked at
        proof = best - proved(p, BETAS)
    gap = float((curve.objective - best).max())
    for beta, value in annealed(p) if n <= _BELOW else ():
        lead = float(np.interp(beta, BETAS, best)) - value
        print(f"  β = {beta:.2f}: the plain iteration is {-lead:.1e} nats above the reference", file=sys.stderr)
        gap = max(gap, float(np.interp(beta, BETAS, curve.objective)) - value)
    said = f"{max(gap, 0.0):.1e} (proved: ≤ {curve.gap.max():.1e}, reference {proof.max():.0e})"
    own = f"| {n}×{k} | {wall:.2f} ({cpu:.2f}) | {said}"
    if not options.peers:
        lines.append(f"{own} | | | | |")
        return gap > GOAL
    try:
        told = ask("embo", options.out.resolve(), p, BETAS.tolist())
    except (RuntimeError, subprocess.TimeoutExpired) as e:
        lines.append(f"{own} | {type(e).__name__}: {e} | | | |")
        return gap > GOAL
    beta = np.array(told["beta"])
    theirs = np.array(told["i_xt"]) - beta * np.array(told["i_ty"]) - np.interp(beta, BETAS, best)
    faster = told["wall"] / wall
    lines.append(
        f"{own} | {told['wall']:.1f} ({told['cpu']:.1f}) | {theirs.max():.4f} | {len(beta)} of 50 | {faster:.1f}× |"
    )
    return gap > GOAL or faster <= 1


def _beside_dit(n: int, k: int, beta: float, out: Path) -> str:
    print(f"dit {n}x{k} …", file=sys.stderr, flush=True)
    p = random_joint(n, k)
    curve, wall, _ = _timed(p, [beta])
    try:
        told = ask("dit", out.resolve(), p, [beta])
    except (RuntimeError, subprocess.TimeoutExpired) as e:
        return f"| {n}×{k}, {beta:g} | {wall:.3f} | {type(e).__name__}: {e} | |"
    gap = told["i_xt"][0] - beta * told["i_ty"][0] - curve.objective[0]
    return f"| {n}×{k}, {beta:g} | {wall:.3f} | {told['wall']:.1f} | {gap:.1e} |"

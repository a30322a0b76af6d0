"""The article's β-VAE table for real: pictures with known factors, the lamp on the other side as the shift, intervals.

    python examples/beta_vae.py --out beta-vae

Stop it at any time; the same command goes on. It writes `table.md` and `figure.svg`; all numbers are below `runs`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ibprobe.lens import Design, Done, Measuring, run_design
from ibprobe.lens.outcomes import outcomes, write_outcomes

COLUMNS = {
    "mse_train": "train MSE", "mse_held_out": "held-out MSE", "mse_shifted": "opposite light MSE", "mig": "MIG",
    "dci": "DCI disentanglement", "factor_vae": "FactorVAE score", "norm": "norm of μ", "rate": "rate, nats",
    "information_low": "I(X;Z), lower end", "information_high": "I(X;Z), upper end", "active": "active units",
}  # fmt: skip


def main() -> None:
    """Run what is missing, then write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("beta-vae"))
    parser.add_argument("--betas", type=float, nargs="+", default=[1.0, 4.0, 8.0, 16.0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--bodies", type=int, default=5400, help="of 5,400, under five lights each")
    parser.add_argument("--jobs", type=int, help="processes at a time")
    options = parser.parse_args()

    def told(done: Done, left: int) -> None:
        print(f"{left} left; {done}", flush=True)

    fixed = {"steps": options.steps, "bodies": options.bodies}
    betas, seeds = {"beta_rate": tuple(options.betas)}, tuple(range(options.seeds))
    design = Design("ibprobe.lens.beta_vae:shapes", betas, seeds, fixed=fixed)
    run_design(design, Measuring(), options.out, jobs=options.jobs, on_done=told)
    print(write_outcomes(options.out, "beta_rate", COLUMNS))
    print(f"{len(outcomes(options.out))} runs; table.md and figure.svg in {options.out}")


if __name__ == "__main__":
    main()

"""The article's β-VAE table for real: pictures with known factors, the lamp on the other side as the shift, intervals.

    python examples/beta_vae.py --out beta-vae

Stop it at any time; the same command goes on. It writes `table.md` and `figure.svg`; all numbers are below `runs`.
With --data, a folder with dSprites' file or with photographs such as CelebA's takes the place of the drawn pictures.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ibprobe.lens import Design, Done, Measuring, run_design
from ibprobe.lens.summary import write_outcomes

TITLES = {
    "mse_train": "train MSE", "mse_held_out": "held-out MSE", "mse_shifted": "shifted MSE", "mig": "MIG",
    "dci": "DCI disentanglement", "factor_vae": "FactorVAE score", "norm": "norm of μ", "rate": "rate, nats",
    "information_low": "I(X;Z), lower end", "information_high": "I(X;Z), upper end",
    "gap_low": "rate − I(X;Z), at least", "active": "active units",
}  # fmt: skip
BETAS = (1.0, 4.0, 8.0, 16.0)
SCORES = ("mig", "dci", "factor_vae")
ARTICLE = {
    "mse_train": (0.041, 0.052, 0.068, 0.094), "mse_shifted": (0.187, 0.094, 0.089, 0.112),
    "norm": (14.2, 4.8, 2.1, 1.3), **dict.fromkeys(SCORES, (0.43, 0.71, 0.79, 0.81)),
}  # fmt: skip


def main() -> None:
    """Run what is missing, then write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("beta-vae"))
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--bodies", type=int, default=5400, help="at most")
    parser.add_argument("--data", type=Path, help="folder with dSprites' file or with .jpg files")
    parser.add_argument("--jobs", type=int, help="processes at a time")
    options = parser.parse_args()

    def told(done: Done, left: int) -> None:
        print(f"{left} left; {done}", flush=True)

    fixed = {"steps": options.steps, "bodies": options.bodies}
    fixed |= {"data": str(options.data.resolve())} if options.data else {}
    betas, seeds = {"beta_rate": tuple(options.betas)}, tuple(range(options.seeds))
    design = Design("ibprobe.lens.beta_vae:pictures", betas, seeds, fixed=fixed)
    ended = run_design(design, Measuring(), options.out, jobs=options.jobs, on_done=told)
    if failed := sum(bool(done.failed) for done in ended):
        parser.exit(1, f"{failed} of {len(ended)} runs failed, as said above\n")
    whole = set(BETAS) <= set(options.betas)
    published = {name: dict(zip(BETAS, column, strict=True)) for name, column in ARTICLE.items() if whole}
    print(write_outcomes(options.out, "beta_rate", TITLES, published=published, optional=SCORES))
    print(f"table.md and figure.svg in {options.out}")


if __name__ == "__main__":
    main()

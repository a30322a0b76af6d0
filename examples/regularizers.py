"""What six regularizers do to an MLP on MNIST, with ReLU and with tanh: eight seeds, all differences paired.

    python examples/regularizers.py --root folder-with-the-four-mnist-files --out lens

Stop it at any time; the same command goes on. A page, a table in Markdown and all numbers as JSON for each activation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from ibprobe.lens import Design, Done, Measuring, find, run_design, write_report

FACTORS = {
    "dropout": (0.0, 0.2, 0.5),
    "weight_decay": (0.0, 0.01, 0.1, 0.4),
    "augmentation": (0.0, 0.1),
    "label_smoothing": (0.0, 0.1),
    "patience": (0, 3),
}


def main() -> None:
    """Run what is missing, then write what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=Path, help="folder with the four MNIST files")
    parser.add_argument("--out", type=Path, default=Path("lens"))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--jobs", type=int, help="processes at a time")
    options = parser.parse_args()

    def told(done: Done, left: int) -> None:
        print(f"{left} left; {done}", flush=True)

    measuring = Measuring(rows=options.rows, shifts=("noise", "translation", "brightness", "occlusion"))
    fixed = {"root": str(options.root.resolve()), "epochs": options.epochs, "images": options.images}
    for activation in ("relu", "tanh"):
        design = Design(
            "ibprobe.lens.training:mnist",
            FACTORS,
            tuple(range(options.seeds)),
            fixed=fixed | {"activation": activation},
        )
        folder = options.out / activation
        run_design(design, measuring, folder, jobs=options.jobs, on_done=told)
        found = find([folder])
        for ending in ("md", "json", "html"):
            print(write_report(found, folder / f"lens.{ending}"))
        words = [claim.found for claim in found.claims]
        print(f"{activation}: {words.count('supported')} claims supported, {words.count('refuted')} refuted")


if __name__ == "__main__":
    main()

"""Draw the 12-bit task's IB curve with the layers of two trained networks on it, from the recorded activations.

``python tests/benchmarks/twelve_bit_frontier.py --out docs/frontier.svg``; the data are found as the tests find them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from ibprobe import estimate_channel
from ibprobe.bottleneck import IBCurve, ib_curve, joint_from_samples
from ibprobe.show.frontier import Mark, frontier_chart
from ibprobe.show.pictures import rendered
from ibprobe.show.theme import themed

ROOT = Path(__file__).parents[2]
SIGMA = 0.1
NETS = {"tanh0": "tanh", "relu0": "ReLU"}


def frontier(data: Path) -> IBCurve:
    """The curve of all 4,096 patterns, each as likely as any other, and their labels."""
    with np.load(data / "szt12_activations.npz") as kept:
        return ib_curve(joint_from_samples(kept["X"], kept["y"]), form="squared", points=20)


def layers(data: Path) -> Iterator[Mark]:
    """Both coordinates of every layer, with noise of absolute size 0.1, exact for these patterns up to its draws."""
    with np.load(data / "szt12_activations.npz") as kept:
        for net, name in NETS.items():
            for layer in (f"T{i}" for i in range(1, 7)):
                rows = torch.from_numpy(kept[f"{net}_{layer}"])
                found = estimate_channel(rows, kept["y"], sigma=SIGMA, noise="absolute", target="probe_set")
                assert isinstance(found, tuple)
                yield Mark(name, layer, found[0].nats, found[1].nats)


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw, and print how far each layer lies below the curve."""
    parser = argparse.ArgumentParser(description="The 12-bit task's IB curve and the layers of two networks.")
    parser.add_argument("--out", type=Path, default=Path("frontier.svg"), help="an .svg or .png file")
    options = parser.parse_args(arguments)
    data = Path(os.environ.get("IBPROBE_DATA", ROOT.parent / "shared" / "data"))
    if not (data / "szt12_activations.npz").is_file():
        print(f"no recorded activations in {data}: set IBPROBE_DATA", file=sys.stderr)
        return 1
    curve, marks = frontier(data), list(layers(data))
    for mark in marks:
        below = float(curve.distance(mark.i_xt, mark.i_ty))
        place = f"I(X;T) {mark.i_xt:.3f}  I(T;Y) {mark.i_ty:.3f}"
        print(f"{mark.net:5} {mark.layer}  {place}  {below:.3f} nats below the curve")
    title = f"The 12-bit task: two networks' layers, noise of size {SIGMA:g}, beside what is possible"
    kind = "png" if options.out.suffix == ".png" else "svg"
    options.out.write_bytes(rendered(themed(frontier_chart(curve, marks, title)), kind))
    return 0


if __name__ == "__main__":
    sys.exit(main())

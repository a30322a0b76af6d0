"""Measure and draw the pictures of docs/reading.md: ``python docs/gallery --out docs/gallery``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import frozen
import torch
import trained
from scene import Scene

from ibprobe.show.pictures import write_pictures

SCENES = {
    "deterministic": frozen.deterministic,
    "ceiling": frozen.ceiling,
    "scale": frozen.scale,
    "width": frozen.width,
    "bins": trained.bins,
    "stale": trained.stale,
    "dropout": frozen.dropout,
    "critic": frozen.critic,
    "small-n": frozen.small_n,
}


def main() -> None:
    """Draw the scenes that were named, or all, and keep their numbers beside them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("gallery"), help="folder of the pictures and numbers.json")
    parser.add_argument("--kind", choices=("svg", "png"), default="svg")
    parser.add_argument("--only", nargs="+", choices=SCENES, default=list(SCENES), metavar="SCENE")
    options = parser.parse_args()
    torch.set_num_threads(1)
    kept = options.out / "numbers.json"
    facts = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    for name in options.only:
        scene: Scene = SCENES[name]()
        [path] = write_pictures({name: scene.spec}, options.out, options.kind)
        facts[name] = {what: round(value, 2) for what, value in scene.facts.items()}
        print(path, *(f"{what}: {value:g}" for what, value in facts[name].items()), sep="\n  ")
    kept.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

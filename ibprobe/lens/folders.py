"""Pictures from a folder, in place of those that are drawn by code: dSprites, or photographs such as CelebA's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.lens.shapes import Pictures, Split

SPRITES, PHOTOGRAPHS = "dsprites_ndarray_*.npz", "*.jpg"
_SCALE = 2
"""Column of dSprites' factors: colour, shape, scale, orientation, x, y."""
_DARKEST = 0.3
Array = np.ndarray[Any, np.dtype[Any]]


def pictures_in(folder: str | Path, held_out: float = 0.1, *, most: int | None = None, side: int = 32) -> Split:
    """Pictures of a folder, split at random by body.

    dSprites (Matthey et al. 2017; one file ``dsprites_ndarray_*.npz``): a body is a shape in one place and direction.
    The smaller two thirds of the scales are trained on, and the shift is to the larger ones. Its arrays are unpacked as
    a whole, which takes 3 GB.

    Photographs (``*.jpg``, CelebA's for example): a body is a file, cut to its central square. The shift is a lamp at
    the left: brightness falls linearly from 1 there to 0.3 at the right. No factors are known.

    Args:
        folder: with the files themselves, not in folders of their own.
        held_out: share of the bodies that no training picture shows.
        most: bodies at most, a random choice.
        side: pixels that pictures are reduced to; of dSprites, a divisor of theirs.

    Raises:
        BadInput: the folder holds neither, more than one file of dSprites, or files that are not what they are called.
        MissingExtra: photographs without pillow.
    """
    folder = Path(folder)
    sprites, photographs = sorted(folder.glob(SPRITES)), sorted(folder.glob(PHOTOGRAPHS))
    if len(sprites) > 1:
        raise BadInput(f"{folder} holds {len(sprites)} files {SPRITES}: leave the one that is meant")
    if not sprites and len(photographs) < 2:
        what = "is no folder" if not folder.is_dir() else f"holds neither {SPRITES} nor two {PHOTOGRAPHS}"
        raise BadInput(f"{folder} {what}; expected dSprites' file, or photographs such as CelebA's img_align_celeba")
    return _sprites(sprites[0], held_out, most, side) if sprites else _photographs(photographs, held_out, most, side)


class _Parts(NamedTuple):
    train: Array
    held_out: Array


def _parted(n: int, held_out: float, most: int | None) -> _Parts:
    """Numbers of some of n bodies in random order, the same in every run."""
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:most].numpy()
    unseen = max(1, round(held_out * len(order)))
    return _Parts(order[unseen:], order[:unseen])


def _sprites(path: Path, held_out: float, most: int | None, side: int) -> Split:
    images, classes = _arrays(path)
    if images.shape[1] % side:
        raise BadInput(f"{path.name} has pictures of {images.shape[1]} pixels, which cannot be reduced to {side}")
    bodies = np.unique(np.delete(classes, _SCALE, 1), axis=0, return_inverse=True)[1].ravel()
    scales = np.unique(classes[:, _SCALE])
    if len(scales) < 2:
        raise BadInput(f"{path.name} has one scale only; the shift is to larger ones, so that there must be two")
    small = np.isin(classes[:, _SCALE], scales[: max(1, round(len(scales) * 2 / 3))])
    parts = _parted(int(bodies.max()) + 1, held_out, most)
    known = np.ptp(classes, axis=0) > 0

    def of(which: Array, sized: Array) -> Pictures:
        place = np.full(bodies.max() + 1, -1)
        place[which] = np.arange(len(which))
        rows = np.flatnonzero((place[bodies] >= 0) & sized)
        rows = rows[np.argsort(place[bodies[rows]], kind="stable")]
        taken = torch.from_numpy(images[rows]).float()[:, None]
        return Pictures(avg_pool2d(taken, images.shape[1] // side), torch.from_numpy(classes[rows][:, known]).long())

    return Split(of(parts.train, small), of(parts.held_out, small), of(parts.held_out, ~small))


def _arrays(path: Path) -> tuple[Array, Array]:
    """Pictures ``(n, side, side)`` of zeros and ones, and the numbers of their factors ``(n, 6)``."""
    try:
        with np.load(path, allow_pickle=False) as file:
            images, classes = file["imgs"], file["latents_classes"]
    except (OSError, ValueError, KeyError, EOFError) as e:
        raise BadInput(f"{path}: expected dSprites' arrays imgs and latents_classes; {e}") from e
    if images.ndim != 3 or classes.ndim != 2 or classes.shape != (len(images), 6) or images.shape[1] != images.shape[2]:
        raise BadInput(
            f"{path}: expected imgs (n, side, side) and latents_classes (n, 6); got {images.shape} and {classes.shape}"
        )
    return images, classes


def _photographs(paths: list[Path], held_out: float, most: int | None, side: int) -> Split:
    parts = _parted(len(paths), held_out, most)
    if not len(parts.train):
        raise BadInput(f"{most} photographs are too few: give two at least, one to train on and one held out")
    train, unseen = (torch.stack([_photograph(paths[n], side) for n in part]) for part in parts)
    lamp = torch.linspace(1, _DARKEST, side)
    return Split(Pictures(train, None), Pictures(unseen, None), Pictures(unseen * lamp, None))


def _photograph(path: Path, side: int) -> Tensor:
    """``(3, side, side)`` between 0 and 1."""
    try:
        from PIL import Image, ImageOps
    except ImportError as e:
        raise MissingExtra("reading photographs", "pillow", "pictures") from e
    try:
        with Image.open(path) as file:
            picture = ImageOps.fit(file.convert("RGB"), (side, side), Image.Resampling.BOX)
    except OSError as e:
        raise BadInput(f"{path} is no picture that can be read: {e}") from e
    return torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1) / 255

"""Folders of pictures in place of drawn ones: tiny files that the tests write."""

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from lens.test_own_outcomes import watch_in

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.lens.beta_vae import pictures
from ibprobe.lens.folders import pictures_in

VALUES = (1, 2, 3, 4, 4, 4)
"""Of dSprites' factors in the tests; colour is constant there, too."""


def sprites(folder: Path, side: int = 16) -> Path:
    """Squares whose place, size and turn follow the factors, in dSprites' format."""
    classes = np.array(list(product(*map(range, VALUES))))
    images = np.zeros((len(classes), side, side), np.uint8)
    for image, (_, shape, scale, turn, x, y) in zip(images, classes, strict=True):
        image[2 * x : 2 * x + 3 + scale + shape, 2 * y : 2 * y + 3 + scale + turn] = 1
    path = folder / "dsprites_ndarray_tiny.npz"
    np.savez_compressed(path, imgs=images, latents_classes=classes, latents_values=classes.astype(float))
    return path


def photographs(folder: Path, n: int = 40) -> None:
    image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for number in range(n):
        image.fromarray(rng.integers(0, 255, (22, 18, 3), dtype=np.uint8)).save(folder / f"{number:03}.jpg")


def test_sprites_are_split_by_body_and_shifted_to_larger_scales(tmp_path: Path) -> None:
    sprites(tmp_path)
    split = pictures_in(tmp_path, side=8)
    assert split.train.factors is not None
    assert split.held_out.factors is not None
    assert split.shifted.factors is not None
    bodies = 2 * 4 * 4 * 4
    unseen = round(0.1 * bodies)
    assert split.train.images.shape == ((bodies - unseen) * 2, 1, 8, 8)
    assert split.held_out.images.shape == (unseen * 2, 1, 8, 8)
    assert split.shifted.images.shape == (unseen, 1, 8, 8)
    # Without the colour, which is constant: scale is the second.
    assert split.train.factors.shape[1] == 5
    assert set(split.train.factors[:, 1].tolist()) == {0, 1}
    assert set(split.shifted.factors[:, 1].tolist()) == {2}
    seen, held_out, shifted = (
        {tuple(row) for row in part.factors[:, [0, 2, 3, 4]].tolist()}  # type: ignore[union-attr]
        for part in (split.train, split.held_out, split.shifted)
    )
    assert held_out == shifted
    assert not seen & held_out


def test_pictures_and_factors_belong_together(tmp_path: Path) -> None:
    sprites(tmp_path)
    split = pictures_in(tmp_path, side=16)
    assert split.held_out.factors is not None
    for image, (shape, scale, turn, x, y) in zip(split.held_out.images[:, 0], split.held_out.factors, strict=True):
        assert image[2 * x, 2 * y] == 1
        assert image.sum() == min(3 + scale + shape, 16 - 2 * x) * min(3 + scale + turn, 16 - 2 * y)


def test_fewer_bodies_are_a_random_choice_that_is_the_same_each_time(tmp_path: Path) -> None:
    sprites(tmp_path)
    first, second = (pictures_in(tmp_path, most=20, side=8) for _ in range(2))
    assert len(first.train.images) == 18 * 2
    assert torch.equal(first.train.images, second.train.images)


def test_photographs_keep_their_colours_and_are_lit_from_the_left_as_the_shift(tmp_path: Path) -> None:
    photographs(tmp_path)
    split = pictures_in(tmp_path, side=8)
    assert split.train.images.shape == (36, 3, 8, 8)
    assert split.held_out.images.shape == (4, 3, 8, 8)
    assert split.train.factors is None
    assert 0 <= float(split.train.images.min()) < float(split.train.images.max()) <= 1
    share = split.shifted.images / split.held_out.images
    assert torch.allclose(share, torch.linspace(1, 0.3, 8).expand_as(share), atol=1e-5)


def test_a_vae_on_photographs_has_reconstruction_and_no_disentanglement(tmp_path: Path) -> None:
    photographs(tmp_path)
    settings = {"steps": 2, "batch": 8, "channels": 2, "units": 2, "side": 16}
    pictures(watch_in(tmp_path), seed=0, order_seed=0, beta_rate=1.0, data=str(tmp_path), **settings)  # type: ignore[arg-type]
    found = json.loads((tmp_path / "outcome.json").read_text(encoding="utf-8"))
    assert {"mse_train", "mse_held_out", "mse_shifted", "rate", "norm", "information_low"} <= found.keys()
    assert not {"mig", "dci", "factor_vae"} & found.keys()
    assert found["disentanglement"] == "absent: no factors are known"


def test_a_vae_on_sprites_is_measured_in_all_columns(tmp_path: Path) -> None:
    sprites(tmp_path)
    settings = {"steps": 2, "batch": 8, "channels": 2, "units": 2, "side": 8}
    pictures(watch_in(tmp_path), seed=0, order_seed=0, beta_rate=1.0, data=str(tmp_path), **settings)  # type: ignore[arg-type]
    found = json.loads((tmp_path / "outcome.json").read_text(encoding="utf-8"))
    assert {"mse_shifted", "mig", "dci", "factor_vae"} <= found.keys()


def test_folders_that_hold_neither_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds neither dsprites_ndarray_\*.npz nor two \*.jpg; expected"):
        pictures_in(tmp_path)
    with pytest.raises(BadInput, match="is no folder"):
        pictures_in(tmp_path / "missing")
    path = sprites(tmp_path)
    with pytest.raises(BadInput, match="16 pixels, which cannot be reduced to 32"):
        pictures_in(tmp_path)
    (tmp_path / "dsprites_ndarray_two.npz").write_bytes(path.read_bytes())
    with pytest.raises(BadInput, match="2 files"):
        pictures_in(tmp_path, side=8)


def test_files_that_are_not_what_they_are_called_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "dsprites_ndarray_x.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(BadInput, match="expected dSprites' arrays"):
        pictures_in(tmp_path)
    np.savez(path, imgs=np.zeros((3, 8, 8)))
    with pytest.raises(BadInput, match="latents_classes"):
        pictures_in(tmp_path)
    np.savez(path, imgs=np.zeros((3, 8, 8)), latents_classes=np.zeros((3, 5)))
    with pytest.raises(BadInput, match=r"got \(3, 8, 8\) and \(3, 5\)"):
        pictures_in(tmp_path)
    np.savez(path, imgs=np.zeros((3, 8, 8)), latents_classes=np.zeros((3, 6), int))
    with pytest.raises(BadInput, match="one scale only"):
        pictures_in(tmp_path, side=8)
    path.unlink()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_text("no picture", encoding="utf-8")
    pytest.importorskip("PIL")
    with pytest.raises(BadInput, match="is no picture"):
        pictures_in(tmp_path)


def test_photographs_without_pillow_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingExtra, match=r"pip install 'ibprobe\[pictures\]'"):
        pictures_in(tmp_path)


def test_another_side_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="multiple of 8"):
        pictures(watch_in(tmp_path), seed=0, order_seed=0, beta_rate=1.0, side=20)

"""Pictures drawn by code: what each factor does to them, and how they are split."""

import math

import pytest
import torch

from ibprobe.lens.shapes import FACTORS, SHIFTED, TRAINED, VALUES, lit_shapes, render

BALL = torch.tensor([[0, 0, 2, 2, 1, 2]])
"""Half-axes 1, 0.55 and 0.7 times 0.4, in the middle, bright."""


def centre(picture: torch.Tensor) -> tuple[float, float]:
    """Of what is lit at all, in pixels to the right and down."""
    inside = (picture > 0.05).double()
    at = torch.arange(len(picture)).double()
    return float((inside.sum(0) * at).sum() / inside.sum()), float((inside.sum(1) * at).sum() / inside.sum())


def test_a_body_covers_the_area_of_its_ellipse() -> None:
    [[picture]] = render(BALL, [0], side=128)
    area = float((picture > 0).double().mean()) * 4
    # Pixels on the edge count whole: half a pixel around a perimeter of 2.
    assert area == pytest.approx(math.pi * 0.4 * 0.4 * 0.55, abs=2 * 2 / 128)


def test_the_middle_is_lit_as_lambert_says() -> None:
    [[picture]] = render(BALL, [0], side=129)
    # The normal points at the viewer: ambient 0.15, and 0.85 times the sine of the lamp's height.
    assert float(picture[64, 64]) == pytest.approx(0.15 + 0.85 * math.sin(math.pi / 5), abs=0.01)


def test_the_lamp_lights_the_side_where_it_stands() -> None:
    [pictures] = render(BALL, [0, 4, 8, 12])
    right, up, left, down = (p - p.flip(1) for p in pictures)
    assert float(right[:, 16:].sum()) > 1
    assert float(left[:, 16:].sum()) < -1
    up, down = (p - p.flip(0) for p in (pictures[1], pictures[3]))
    assert float(up[:16].sum()) > 1
    assert float(down[:16].sum()) < -1
    # A turn of the lamp by half a circle is a half-turn of the picture, for bodies that are symmetric.
    assert torch.allclose(pictures[0].flip(0, 1), pictures[2], atol=1e-5)


def test_each_factor_changes_the_picture_as_its_name_says() -> None:
    def drawn(**values: int) -> torch.Tensor:
        body = BALL.clone()
        for name, value in values.items():
            body[0, FACTORS.index(name)] = value
        return render(body, [2])[0, 0]

    plain = drawn()
    # A step of 0.2 in a picture of 2 is 3.2 of 32 pixels.
    assert centre(drawn(x=3))[0] - centre(plain)[0] == pytest.approx(3.2, abs=0.3)
    assert centre(drawn(y=3))[1] - centre(plain)[1] == pytest.approx(-3.2, abs=0.3)
    assert (drawn(size=2) > 0).sum() > (plain > 0).sum()
    assert torch.allclose(drawn(albedo=0) / 0.5, plain, atol=1e-6)
    # A quarter turn of the body, lamp and all, is a quarter turn of the picture.
    assert torch.allclose(render(drawn_body(rotation=4), [6])[0, 0], plain.rot90(), atol=1e-4)
    assert (drawn(shape=1) > 0).sum() > (plain > 0).sum() > (drawn(shape=2) > 0).sum()


def drawn_body(**values: int) -> torch.Tensor:
    body = BALL.clone()
    for name, value in values.items():
        body[0, FACTORS.index(name)] = value
    return body


def test_unseen_bodies_are_drawn_under_both_kinds_of_light() -> None:
    split = lit_shapes(0.25, most=40, side=8)
    assert len(split.train.images) == 30 * 5
    seen, unseen, shifted = (
        {tuple(row) for row in part.factors[:, :-1].tolist()} for part in (split.train, split.held_out, split.shifted)
    )
    assert not seen & unseen
    assert unseen == shifted
    assert set(split.train.factors[:, -1].tolist()) == set(TRAINED)
    assert set(split.shifted.factors[:, -1].tolist()) == set(SHIFTED)
    assert all(int(split.train.factors[:, k].max()) < values for k, values in enumerate(VALUES))
    assert 0 <= float(split.train.images.min()) < float(split.train.images.max()) <= 1


def test_a_picture_and_its_factors_stay_together() -> None:
    split = lit_shapes(0.25, most=12, side=8)
    row = split.held_out.factors[7]
    assert torch.allclose(split.held_out.images[7, 0], render(row[None, :-1], [int(row[-1])], side=8)[0, 0])

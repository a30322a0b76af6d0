import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from helpers import random_states, same

from ibprobe.capture.randomness import Randomness

OWNED = {
    "torch": (torch.Generator().manual_seed(0), lambda g: torch.rand(1, generator=g)),
    "numpy": (np.random.default_rng(0), lambda g: g.random()),
    "old numpy": (np.random.RandomState(0), lambda g: g.rand()),
    "python": (random.Random(0), lambda g: g.random()),
}


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), lambda: np.random.rand(), random.random])
def test_global_generators_are_left_as_they_were_found(draw: Any) -> None:
    watched, before = Randomness(), random_states()
    state = watched.state()
    with watched.preserved():
        draw()
        assert watched.moved_since(state)
    assert not watched.moved_since(state)
    assert same(random_states(), before)


@pytest.mark.parametrize("kind", OWNED)
def test_generators_that_an_object_holds_are_left_as_they_were_found(kind: str) -> None:
    generator, draw = OWNED[kind]
    watched = Randomness([SimpleNamespace(rng=generator), object()])
    state = watched.state()
    with watched.preserved():
        first = draw(generator)
        assert watched.moved_since(state)
    assert not watched.moved_since(state)
    assert draw(generator) == first


def test_a_restart_repeats_what_is_drawn_from_every_generator() -> None:
    watched = Randomness([SimpleNamespace(rng=generator) for generator, _ in OWNED.values()])

    def drawn(seed: int) -> list[float]:
        watched.restart(seed)
        own = [float(draw(generator)) for generator, draw in OWNED.values()]
        return [*own, float(torch.rand(1)), np.random.rand(), random.random()]

    with watched.preserved():
        first = drawn(3)
        assert drawn(3) == first
        assert all(a != b for a, b in zip(drawn(4), first, strict=True))
        assert len(set(first)) == len(first)

"""The contract of views lets ours pass, and says of a broken one what was expected and what came."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from plugins.made import by_sums

from ibprobe.plugins import Plugins
from ibprobe.testing import check_view


@pytest.mark.parametrize("name", Plugins([]).offers("view"))
def test_ours_pass(name: str) -> None:
    offer = Plugins([]).offers("view")[name]
    assert all("rror" not in said for said in check_view(offer.plugin.build).values())


def test_a_good_one_passes_on_the_shapes_that_it_takes() -> None:
    assert set(check_view(lambda: by_sums).values()) == {"by_sums"}

    def of_space(t: Any) -> Any:
        return t.amax((2, 3))

    found = check_view(lambda: of_space)
    assert [said.partition(":")[0] for said in found.values()] == ["BadInput", "BadInput", "of_space"]


def noisy(t: Any) -> Any:
    return t.flatten(1) + torch.rand(1)


def drawn(t: Any) -> Any:
    return t.flatten(1) + torch.rand(1, generator=GENERATOR)


GENERATOR = torch.Generator().manual_seed(0)


def rectified(t: Any) -> Any:
    return t.relu_().flatten(1)


def centred(t: Any) -> Any:
    return t.flatten(1) - t.flatten(1).mean(0)


def logarithm(t: Any) -> Any:
    return t.flatten(1).log()


def nothing(t: Any) -> Any:
    return torch.zeros(len(t), 3)


def as_wide_as_long(t: Any) -> Any:
    return t.flatten(1)[:, :1].expand(len(t), len(t))


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (noisy, "the global generator of torch was drawn from"),
        (drawn, "expected the same rows for the same output, got others"),
        (rectified, "the module's output was changed in place"),
        (centred, "the first half: expected each row to depend on that row of the output alone"),
        (logarithm, "expected finite rows, got"),
        (nothing, "expected other rows of another output, got the same"),
        (as_wide_as_long, r"the first half: expected \(6, 12\), got \(6, 6\)"),
        (lambda t: t.sum(), "expected rows of one shape at least; none was taken: .*has shape"),
        (lambda t: t.tolist(), "none was taken: .*gave a list; expected a tensor"),
        (3, "expected a function, got 3"),
    ],
)
def test_a_broken_one_is_told(view: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_view(lambda: view)

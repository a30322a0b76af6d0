"""Every estimator on data that people really have: a finite value, or one clear sentence."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ibprobe import BadInput, estimate_mi
from ibprobe.plugins import Plugins

N = 160
NAMES = [name for name in Plugins([]).offers("estimator") if name != "channel"]
FAST = [name for name in NAMES if name not in ("mine", "infonce", "classifier")]


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


X, E = draw(N, 3, seed=1), draw(N, 3, seed=2)
Y = torch.arange(N) % 4
CAUCHY = draw(N, 2, seed=3) / draw(N, 2, seed=4)
RARE = (torch.arange(N) == 0).long()
HOLES = torch.where(torch.arange(N)[:, None] % 10 == 3, math.nan, X)

AWKWARD: dict[str, tuple[Any, Any]] = {
    "heavy tails": (CAUCHY, CAUCHY[:, :1] + E[:, :1]),
    "heavy tails, labels": (CAUCHY, Y),
    "one outlier": (torch.where(torch.arange(N)[:, None] == 5, 1e12, X), X + E),
    "dead columns": (torch.cat([X, torch.zeros(N, 2), torch.full((N, 1), 3.3)], 1), X + E),
    "duplicated columns": (torch.cat([X, X], 1), X + E),
    "the same on both sides": (X, X),
    "more columns than rows": (draw(N, 200, seed=5), draw(N, 200, seed=6)),
    "more columns than rows, labels": (draw(N, 200, seed=5), Y),
    "half precision": (X.half(), (X + E).half()),
    "bfloat16": (X.bfloat16(), (X + E).bfloat16()),
    "integers": ((3 * X).int(), (3 * (X + E)).int()),
    "discrete columns": ((2 * X[:, :1]).round(), Y),
    "booleans": (X, X[:, 0] > 0),
    "one class missing": (X, 2 * Y),
    "a class of one row": (X, RARE),
    "forty classes": (X, torch.arange(N) % 40),
    "labels on both sides": (Y, (Y + 1) % 4),
    "rows that are not finite": (HOLES, X + E),
    "rows that are not finite, labels": (HOLES, Y),
    "repeated rows": (X.repeat(2, 1), E.repeat(2, 1)),
    "images": (draw(N, 2, 4, 4, seed=7), Y),
    "huge": (1e200 * X.double(), X + E),
    "tiny": (1e-40 * X, X + E),
    "far from zero": (1e6 + X, X + E),
    "lists": (X[:, 0].tolist(), Y.tolist()),
    "separated classes": (X + 50 * Y[:, None], Y),
}
FEW = ["heavy tails", "one class missing", "a class of one row", "huge", "rows that are not finite, labels"]


@pytest.mark.parametrize(
    ("name", "kind"), [*((n, k) for n in FAST for k in AWKWARD), *((n, k) for n in NAMES if n not in FAST for k in FEW)]
)
def test_a_finite_value_or_a_sentence(name: str, kind: str) -> None:
    try:
        found = estimate_mi(*AWKWARD[kind], estimator=name)
    except BadInput as e:
        why = str(e)
        assert " cannot work on x" in why  # either outcome will do
        return
    assert all(map(math.isfinite, (found.nats, found.ci_low, found.ci_high, found.lower_confidence)))
    assert found.ci_low <= found.nats <= found.ci_high
    assert ("nonfinite_rows" in found.flags) == ("not finite" in kind)
    assert found.rows + found.dropped_rows == len(AWKWARD[kind][0])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("x", "flag"), [(torch.full((N, 2), 0.1), "constant"), (torch.ones(N).long(), "one_class")])
def test_a_side_that_never_changes_shares_nothing(name: str, x: Tensor, flag: str) -> None:
    found = estimate_mi(x, X, estimator=name)
    assert (found.nats, found.ci_high) == (0, 0)
    assert flag in found.flags


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        (X, X[:-1], "aligned"),
        (X[:20], X[:20], "at least 32"),
        (X[:0], X[:0], "at least one row"),
        (X[:, :0], X, "at least one row and one column"),
        (torch.tensor(1.0), X, "at least one row"),
        ("words", X, "array or tensor"),
        (["a"] * N, X, "array or tensor"),
        ([[1, 2], [3]], X, "array or tensor"),
        (None, X, "array or tensor"),
        (X + 1j, X, "complex"),
        (torch.arange(N), X, "pass x as floats"),
        (torch.where(torch.arange(N)[:, None] < 100, math.inf, X), X, "60 finite rows of 160"),
    ],
)
def test_unusable_arrays_are_clear_errors(x: object, y: object, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        estimate_mi(x, y)


def test_a_thousand_imbalanced_classes_are_counted_and_flagged() -> None:
    y = (1000 * torch.rand(4000, generator=torch.Generator().manual_seed(0)) ** 2).long()
    found = estimate_mi(draw(4000, 2, seed=8), y, estimator="ksg")
    assert "many_classes" in found.flags
    assert found.nats == pytest.approx(0, abs=0.1)

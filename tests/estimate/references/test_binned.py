import math

import pytest
import torch
from torch import Tensor

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.binned import Bins, binned, fixed, quantised, relative, symbols, width
from ibprobe.estimate.references.counts import entropy
from ibprobe.estimate.references.single import OneByOne

THIRTY = Bins("30 bins of the range", "relative", 30)
X = torch.randn(2000, 1, generator=torch.Generator().manual_seed(0))


def read(pair: Pair, bins: Bins = THIRTY) -> Reading:
    found = binned(pair, 0, bins=bins)
    assert isinstance(found, Reading)
    return found


@pytest.mark.parametrize(
    ("make", "edges"),
    [
        (relative, [0.0, 0.5, 1.0, 29.4, 30.0]),
        (fixed, [-1.0, -0.95, -0.92, 0.0, 5.0]),
        (width, [-0.1, 0.0, 0.4, 0.5, 1.2]),
        (quantised, [0.0, 0.5, 1.2, 200.0, 256.0]),
    ],
)
def test_each_convention_puts_numbers_where_it_says(make: object, edges: list[float]) -> None:
    # Worked by hand: relative 0 0 1 29 29, fixed 0 0 1 15 29, width −1 0 0 1 2, quantised 0 0 1 200 255.
    same = {relative: 1, fixed: 1, width: 2, quantised: 1}[make]  # type: ignore[index]
    built: OneByOne = make()  # type: ignore[operator]
    bins = built.read.keywords["bins"]  # type: ignore[attr-defined]
    codes = symbols(torch.tensor(edges)[:, None], bins)
    assert codes[same] == codes[same - 1]
    assert len(torch.unique(codes)) == {relative: 3, fixed: 4, width: 4, quantised: 4}[make]  # type: ignore[index]


def test_a_layer_against_itself_is_the_entropy_of_its_bins() -> None:
    found = read(Pair(X, X, 0.3))
    assert found.nats == pytest.approx(entropy(symbols(X, THIRTY)), abs=1e-9)
    assert found.noiseless
    assert found.bound == "plug-in, 30 bins of the range"


def test_labels_read_the_published_plug_in_and_the_interval_holds_chance() -> None:
    y = torch.arange(2000) % 5
    wide = torch.randn(2000, 20, generator=torch.Generator().manual_seed(1))
    found = read(Pair(y, wide))
    # Every row has a bin of its own: counting shows all of H(Y), whatever the dependence.
    assert found.nats == pytest.approx(math.log(5), abs=1e-3)
    assert found.ci_low <= 0.01
    assert "sparse_bins" in found.flags


def test_two_sides_of_numbers_are_adjusted_for_chance() -> None:
    other = torch.randn(2000, 1, generator=torch.Generator().manual_seed(2))
    assert read(Pair(X, other)).nats == pytest.approx(0, abs=0.03)
    # Thirty bins keep nearly all of a correlation of 0.8: 0.51 nats.
    assert read(Pair(X, 0.8 * X + 0.6 * other)).nats == pytest.approx(0.51, abs=0.08)


def test_two_sides_whose_cells_are_all_different_are_refused() -> None:
    a, b = (torch.randn(200, 8, generator=torch.Generator().manual_seed(s)) for s in (3, 4))
    assert "too fine" in binned(Pair(a, b), 0, bins=THIRTY)


def test_everything_in_one_bin_is_nothing() -> None:
    far = Tensor([[9.0], [8.0], [7.0]]).repeat(20, 1)
    assert read(Pair(far, far.flip(0)), Bins("30 bins of [-1, 1]", "fixed", 30)).nats == 0

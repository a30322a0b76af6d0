import math

import pytest
import torch
from torch import Tensor

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.counts import Counted, counts, entropy, pointwise


def symbols(table: Tensor, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows drawn from a joint distribution."""
    cells = torch.multinomial(table.flatten(), n, True, generator=torch.Generator().manual_seed(seed))
    return cells // table.shape[1], cells % table.shape[1]


def information(p: Tensor) -> float:
    ratio = p / (p.sum(0, keepdim=True) * p.sum(1, keepdim=True))
    return float(torch.special.xlogy(p, ratio).sum())


def read(a: Tensor, b: Tensor) -> Reading:
    found = counts(Pair(a, b), 0)
    assert isinstance(found, Reading)
    return found


def mixed(share: float, k: int = 10) -> Tensor:
    """A diagonal, of which a share is spread evenly."""
    return (1 - share) * torch.eye(k).double() / k + share / k**2


def test_the_plug_in_is_the_sum_over_cells() -> None:
    a, b = symbols(mixed(0.4), 500, 0)
    table = torch.zeros(10, 10).double().index_put_((a, b), torch.ones(500).double(), accumulate=True)
    assert float(pointwise(a, b).mean()) == pytest.approx(information(table / 500), abs=1e-12)


@pytest.mark.parametrize("k", [2, 10, 30])
def test_independent_labels_read_zero_on_average(k: int) -> None:
    found = [read(*symbols(mixed(1.0, k), 512, seed)) for seed in range(12)]
    # The plug-in reads (k − 1)²/1024 here, 0.8 nats at k = 30; clipping at 0 leaves half of the scatter.
    assert sum(r.nats for r in found) / 12 < 0.03
    assert sum(r.ci_low <= 0 for r in found) >= 11


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_adjusted_value_beats_the_plug_in_and_the_interval_holds_the_truth(share: float) -> None:
    truth, errors, held = information(mixed(share)), [], 0
    for seed in range(40):
        a, b = symbols(mixed(share), 512, seed)
        r = read(a, b)
        errors.append((r.nats - truth, float(pointwise(a, b).mean()) - truth))
        held += r.ci_low <= truth <= r.ci_high
    adjusted, plug_in = (sum(e[i] ** 2 for e in errors) for i in (0, 1))
    assert adjusted < plug_in
    # 95 % of 40, less three standard errors of that count.
    assert held >= 34


def test_a_side_that_determines_the_other_reads_its_entropy() -> None:
    a = torch.randint(300, (512,), generator=torch.Generator().manual_seed(0))
    # The plug-in is 0.34 short of ln 300 at 512 rows; Grassberger's entropy is not.
    assert read(a, a).nats == pytest.approx(math.log(300), abs=0.1)


def test_rows_that_are_all_different_are_refused() -> None:
    assert "cannot tell dependence from chance" in counts(Pair(torch.arange(99), torch.arange(99) % 3), 0)


def test_numbers_are_refused() -> None:
    assert "labels on both sides" in counts(Pair(torch.randn(40, 1), torch.arange(40) % 3), 0)


def test_entropy_and_top_are_counted() -> None:
    a = torch.tensor([0, 0, 1, 1])
    assert entropy(a) == pytest.approx(math.log(2))
    assert Counted.of(a, a, 0).top == pytest.approx(math.log(2))
    assert Counted.of(torch.zeros(4).long(), a, 0).adjusted(1.0) == 0

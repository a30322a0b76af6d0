"""Kernel sums against an obvious float64 twin, closed forms and identities."""

import math

import pytest
import torch
from torch import Tensor

from ibprobe.estimate import kernel
from ibprobe.estimate.channel import Channel, NoisyRows, noisy_rows
from ibprobe.estimate.kernel import input_terms, kernel_sums, label_terms, within_class_terms


def twin(rows: NoisyRows, y: Tensor) -> tuple[Tensor, Tensor]:
    """log Σ_{j≠i} p(t̃ᵢ|tⱼ)/p(t̃ᵢ|tᵢ), over all rows and over those of the class, one pair at a time in float64."""
    u, n = rows.u.double(), len(rows.u)
    others, same = [], []
    for eps in rows.draws():
        z = u + eps.double()
        density = torch.stack([-(z[i] - u).square().sum(1) / 2 for i in range(n)])
        ratio = density - density.diagonal()[:, None]
        ratio.fill_diagonal_(-math.inf)
        others.append(ratio.logsumexp(1))
        same.append(ratio.masked_fill(y[:, None] != y[None], -math.inf).logsumexp(1))
    return torch.stack(others), torch.stack(same)


@pytest.fixture
def labelled() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    y = torch.randint(0, 3, (200,), generator=g)
    return torch.randn(200, 7, generator=g) + 2 * y[:, None], y


def test_sums_agree_with_the_obvious_twin(labelled: tuple[Tensor, Tensor]) -> None:
    t, y = labelled
    rows = noisy_rows(t, Channel())
    fast, (others, same) = kernel_sums(rows, y), twin(rows, y)
    # float32 products of numbers near 10 are good to about 1e-5.
    assert torch.allclose(fast.others, others, atol=1e-4)
    assert fast.same_class is not None
    assert torch.allclose(fast.same_class, same, atol=1e-4)


def test_blocks_do_not_change_the_result(labelled: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    t, y = labelled
    whole = kernel_sums(noisy_rows(t, Channel()), y)
    monkeypatch.setattr(kernel, "_BLOCK_BYTES", 1)
    blocks = kernel_sums(noisy_rows(t, Channel()), y)
    assert torch.allclose(whole.others, blocks.others, atol=1e-5)
    # Classes span blocks, in whatever order their rows come.
    assert whole.same_class is not None
    assert blocks.same_class is not None
    assert torch.allclose(whole.same_class, blocks.same_class, atol=1e-5)


def test_float32_agrees_with_float64_far_from_zero_in_many_dimensions() -> None:
    # An uncentred float32 distance is off by 100 nats here.
    t = 3 + torch.randn(512, 4096, generator=torch.Generator().manual_seed(0))
    single, double = (input_terms(kernel_sums(noisy_rows(v, Channel("absolute", 0.05)))) for v in (t, t.double()))
    assert float(single.low.mean()) == pytest.approx(float(double.low.mean()), abs=1e-3)
    assert float(single.high.mean()) == pytest.approx(float(double.high.mean()), rel=1e-3)


def test_products_of_ten_bits_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    # Why brackets are of float64 where a GPU may round operands so (TF32): two clusters of 64 units, thirty noise
    # scales apart in each.
    def rounded(t: Tensor) -> Tensor:
        return ((t.contiguous().view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)

    generator = torch.Generator().manual_seed(0)
    sides = torch.randint(2, (2048, 1), generator=generator) * 2 - 1
    t = 15 * sides + 0.5 * torch.randn(2048, 64, generator=generator)
    exact, single = (input_terms(kernel_sums(noisy_rows(v, Channel("absolute", 1.0)))) for v in (t.double(), t))
    addmm = torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda c, a, b, **k: addmm(c, rounded(a), rounded(b), **k))
    coarse = input_terms(kernel_sums(noisy_rows(t, Channel("absolute", 1.0))))
    assert float(single.high.mean()) == pytest.approx(float(exact.high.mean()), abs=1e-4)
    assert float(exact.high.mean() - coarse.high.mean()) == pytest.approx(0.018, abs=0.004)


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_gaussian_rows_are_bracketed(truth: float) -> None:
    # I = d/2 ln(1 + 1/σ²) for d alive dimensions; the ends are right in expectation, so 3 standard errors.
    d, n = 4, 2048
    sigma = 1 / math.sqrt(math.expm1(2 * truth / d))
    t = torch.randn(n, d, generator=torch.Generator().manual_seed(1))
    terms = input_terms(kernel_sums(noisy_rows(t, Channel("absolute", sigma))))
    low, high = terms.low.mean(0), terms.high.mean(0)
    assert low.mean() - 3 * low.std() / math.sqrt(n) <= truth <= high.mean() + 3 * high.std() / math.sqrt(n)
    assert high.mean() - low.mean() < 0.1


def test_two_points_under_noise_match_the_antipodal_channel() -> None:
    # Capacity of ±a over Gaussian noise at a/σ = 1, by quadrature: 0.336831 nats.
    t = torch.tensor([-1.0, 1.0]).repeat_interleave(2048)[:, None]
    low = input_terms(kernel_sums(noisy_rows(t, Channel("absolute", 1.0)))).low
    assert float(low.mean()) == pytest.approx(0.336831, abs=3 * float(low.mean(0).std()) / 64)


def test_self_included_sums_obey_the_chain_rule_exactly(labelled: tuple[Tensor, Tensor]) -> None:
    t, y = labelled
    sums = kernel_sums(noisy_rows(t, Channel()), y)
    whole, label, within = input_terms(sums), label_terms(sums, y), within_class_terms(sums, y)
    parts = label.high.mean() + within.low.mean()
    assert float(whole.low.mean()) == pytest.approx(float(parts), abs=1e-9)


def test_random_labels_carry_nothing_at_the_lower_end_and_are_memorised_at_the_upper_end() -> None:
    g = torch.Generator().manual_seed(0)
    t, y = torch.randn(1024, 64, generator=g), torch.randint(0, 10, (1024,), generator=g)
    terms = label_terms(kernel_sums(noisy_rows(t, Channel()), y), y)
    assert abs(float(terms.low.mean())) < 0.01
    assert float(terms.high.mean()) > 1.0


def test_labels_of_a_gaussian_mixture_are_bracketed() -> None:
    g = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 8, generator=g)
    y = torch.randint(0, 10, (2048,), generator=g)
    t = centres[y] + 0.5 * torch.randn(2048, 8, generator=g)
    rows = noisy_rows(t, Channel())
    many = torch.randint(0, 10, (100_000,), generator=g)
    noisy = centres[many] + math.hypot(0.5, rows.std) * torch.randn(100_000, 8, generator=g)
    posterior = torch.log_softmax(-torch.cdist(noisy, centres).square() / 2 / (0.25 + rows.std**2), 1)
    truth = math.log(10) + float(posterior.gather(1, many[:, None]).mean())
    terms = label_terms(kernel_sums(rows, y), y)
    # Both ends carry a standard error of about 0.02; the truth's is 0.002.
    assert float(terms.low.mean()) - 0.06 <= truth <= float(terms.high.mean()) + 0.06


def test_a_class_out_of_reach_costs_a_bounded_amount() -> None:
    t = torch.zeros(64, 2)
    t[:2] = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    y = torch.tensor([0, 0, *([1] * 62)])
    terms = label_terms(kernel_sums(noisy_rows(t, Channel("absolute", 1.0)), y), y)
    assert terms.low.isfinite().all()
    assert terms.high.isfinite().all()

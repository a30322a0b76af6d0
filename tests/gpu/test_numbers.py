"""Estimates of a GPU: the CPU's within rounding, true ones where TF32 is allowed, large ones within stated memory."""

import math
from collections.abc import Iterator

import pytest
import torch
from helpers import NEEDS_CUDA, random_states, same
from torch import Tensor

from ibprobe.estimate import channel
from ibprobe.estimate.channel import Channel, noisy_rows
from ibprobe.estimate.critic.critics import fit_critics
from ibprobe.estimate.kernel import SCRATCH_BYTES, Terms, input_terms, kernel_sums
from ibprobe.estimate.pairs import Pair

pytestmark = NEEDS_CUDA


@pytest.fixture
def tf32() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


def far_rows() -> Tensor:
    """Two clusters thirty noise scales apart in each of 64 units: TF32 cannot tell their squares from each other."""
    generator = torch.Generator().manual_seed(0)
    side = torch.randint(2, (2048, 1), generator=generator) * 2 - 1
    return (15 * side + 0.5 * torch.randn(2048, 64, generator=generator)).cuda()


def ends(t: Tensor) -> Terms:
    return input_terms(kernel_sums(noisy_rows(t, Channel("absolute", 1.0))))


def mean_difference(a: Terms, b: Terms) -> float:
    return max(float((x.mean() - y.mean()).abs()) for x, y in ((a.low, b.low), (a.high, b.high)))


def test_kernel_sums_of_rows_with_the_same_noise_are_the_cpu_s() -> None:
    rows = noisy_rows(torch.randn(1024, 32, generator=torch.Generator().manual_seed(0)), Channel())
    noise = list(rows.draws())

    def sums(device: str) -> Tensor:
        there = noisy_rows(rows.clean.to(device), Channel())
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(channel.NoisyRows, "draws", lambda self: (eps.to(device) for eps in noise))
            return kernel_sums(there).others.cpu()

    # float32 products of numbers near 10, added in another order, are good to about 1e-5.
    assert torch.allclose(sums("cpu"), sums("cuda"), atol=1e-4)


@pytest.mark.usefixtures("tf32")
def test_tf32_changes_no_bracket() -> None:
    t = far_rows()
    assert mean_difference(ends(t), ends(t.double())) < 1e-3
    assert torch.get_float32_matmul_precision() == "high"


@pytest.mark.usefixtures("tf32")
def test_it_would_without_the_wider_products(monkeypatch: pytest.MonkeyPatch) -> None:
    t = far_rows()
    monkeypatch.setattr(channel, "_products_are_coarse", lambda device: False)
    # 0.018 where the products' operands are rounded to ten bits on a CPU.
    assert mean_difference(ends(t), ends(t.double())) > 5e-3


@pytest.mark.parametrize("noise", [1.0, 0.5])
def test_sums_of_16384_rows_of_4096_units_stay_within_scratch_and_copies_of_the_rows(noise: float) -> None:
    n, d = 16384, 4096
    sides = (torch.arange(n, device="cuda") % 2 * 2.0 - 1)[:, None]
    t = torch.zeros(n, d, device="cuda")
    t[:, :16] = sides / 4  # ‖t‖ = 1: two points at a distance of two
    y = (sides[:, 0] > 0).long()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    sums = kernel_sums(noisy_rows(t, Channel("absolute", noise, draws=2)), y)
    torch.cuda.synchronize()
    # Rows: centred, in noise units, in class order; noise in both orders; noisy rows of this draw and of the last; ε·u.
    assert torch.cuda.max_memory_allocated() - before <= SCRATCH_BYTES + 8 * t.numel() * t.element_size()
    # ±a over Gaussian noise, by quadrature; three standard errors of 16,384 rows are 0.01.
    truth = {1.0: 0.336831, 0.5: 0.632720}[noise]
    assert float(input_terms(sums).low.mean()) == pytest.approx(truth, abs=0.01)


def test_critics_read_on_a_gpu_what_is_there() -> None:
    generator = torch.Generator(device="cuda").manual_seed(0)
    x = torch.randn(2048, 1, generator=generator, device="cuda")
    y = 0.8 * x + 0.6 * torch.randn(2048, 1, generator=generator, device="cuda")
    folds = torch.arange(2048, device="cuda") % 2
    state = (torch.cuda.get_rng_state(), *random_states())
    with torch.autocast("cuda", torch.bfloat16):
        (reading,) = fit_critics([Pair(x, y, 0.0)], folds, seed=0)
        assert torch.is_autocast_enabled("cuda")
    # ½ ln 1/(1 − 0.8²) = 0.51 nats; the standard error of 2,048 rows is about 0.02.
    assert reading.held.nats == pytest.approx(-math.log(0.6), abs=0.06)
    assert same((torch.cuda.get_rng_state(), *random_states()), state)

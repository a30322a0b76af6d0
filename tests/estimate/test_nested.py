"""Layers that draw random numbers, against answers known in closed form or by quadrature."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from ibprobe import Estimate
from ibprobe.capture.rows import LayerRows
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel
from ibprobe.estimate.labels import as_classes
from ibprobe.estimate.nested import _sums_of_other_rows
from ibprobe.estimate.within import queries

N, PASSES = 1024, 16


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def additive(d: int, kept: float, drawn: float, passes: int = PASSES, seed: int = 0) -> Tensor:
    """Gaussian rows with Gaussian noise of the layer's own: I(X;T̃) = kept and I(T;T̃|X) = drawn, by log-determinants."""
    own = math.expm1(2 * drawn / d)
    signal = (1 + own) * math.expm1(2 * kept / d)
    return signal**0.5 * random(N, 1, d, seed=seed) + own**0.5 * random(N, passes, d, seed=seed + 1000)


def estimates(passes: Tensor, y: Tensor | None = None, target: str = "population") -> dict[str, Estimate]:
    layer = LayerRows(passes[:, 0], "layer", stochastic=True, passes=passes)
    channel = Channel("absolute", 1.0, target=target)  # type: ignore[arg-type]
    return {e.quantity: e for e in channel_estimates(layer, y, channel)[0]}


def by_quadrature(density: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> float:
    """I(X;T̃) of one unit: the entropy of the mixture less the mean entropy of its parts, on a grid."""
    grid = torch.linspace(-30, 40, 7001, dtype=torch.float64)
    parts = density(grid, x[:, None])

    def entropy(p: Tensor) -> Tensor:
        return -(p * p.clamp_min(1e-300).log()).sum(-1) * (grid[1] - grid[0])

    return float(entropy(weight @ parts) - weight @ entropy(parts))


def normal(z: Tensor, mean: Tensor, variance: Tensor | float) -> Tensor:
    return (-((z - mean) ** 2) / (2 * variance)).exp() / (2 * math.pi * torch.as_tensor(variance)) ** 0.5


def standard_normal() -> tuple[Tensor, Tensor]:
    x = torch.linspace(-6, 6, 601, dtype=torch.float64)
    return x, (-(x**2) / 2).exp() / (-(x**2) / 2).exp().sum()


def holds(e: Estimate, truth: float) -> bool:
    return e.ci_low <= truth <= e.ci_high


@pytest.mark.parametrize(("d", "kept", "drawn"), [(2, 1.0, 1.0), (8, 1.0, 2.0), (8, 3.0, 2.0), (32, 1.0, 3.0)])
def test_additive_noise_of_the_layer_is_taken_off(d: int, kept: float, drawn: float) -> None:
    e = estimates(additive(d, kept, drawn))["I_XT"]
    # Spread of the value over seeds is 0.02 to 0.06 at these sizes.
    assert e.nats == pytest.approx(kept, abs=0.15)
    assert holds(e, kept)
    assert e.bracket_low < e.nats < e.bracket_high < kept + drawn  # I(T;T̃) is what the kernel alone would say


def test_gaussian_dropout_agrees_with_quadrature() -> None:
    d, scale, alpha = 16, 0.6, 0.5
    x = scale * (1 + random(N, 1, d))
    e = estimates(x * (1 + alpha * random(N, PASSES, d, seed=1)))["I_XT"]
    at, weight = standard_normal()
    inputs = scale * (1 + at)
    truth = d * by_quadrature(lambda z, x: normal(z, x, (alpha * x) ** 2 + 1), inputs, weight)
    assert truth == pytest.approx(2.2, abs=0.2)
    assert e.nats == pytest.approx(truth, abs=0.15)
    assert holds(e, truth)


@pytest.mark.parametrize(
    ("d", "scale", "rate", "off"), [(64, 0.5, 0.1, 0.15), (64, 0.4, 0.5, 0.3), (4, 3.0, 0.5, 0.35)]
)
def test_dropout_agrees_with_the_mixture_of_both_masks(d: int, scale: float, rate: float, off: float) -> None:
    # Few large units leave passes far apart: 16 of 2⁴ masks do not show them all, and the value is low.
    x = scale * random(N, 1, d).abs()
    mask = torch.rand(N, PASSES, d, generator=torch.Generator().manual_seed(2)) > rate
    e = estimates(x * mask / (1 - rate))["I_XT"]
    at, weight = standard_normal()

    def density(z: Tensor, x: Tensor) -> Tensor:
        return rate * normal(z, 0 * x, 1.0) + (1 - rate) * normal(z, x / (1 - rate), 1.0)

    truth = d * by_quadrature(density, scale * at.abs(), weight)
    assert e.nats == pytest.approx(truth, abs=off)
    assert holds(e, truth)


@pytest.mark.parametrize("drawn", [1.0, 3.0, 5.0])
def test_a_layer_that_ignores_its_input_keeps_nothing(drawn: float) -> None:
    e = estimates(additive(32, 0.0, drawn))["I_XT"]
    assert e.nats < 0.02
    assert holds(e, 0.0)
    assert e.lower_confidence <= 0.0


def test_a_layer_that_ignores_its_input_and_is_far_from_gaussian_keeps_nothing() -> None:
    mask = torch.rand(N * PASSES, 64, generator=torch.Generator().manual_seed(0)) > 0.5
    e = estimates((mask * 1.6 @ (random(64, 64) / 8)).relu().view(N, PASSES, 64))["I_XT"]
    assert e.nats < 0.02
    assert holds(e, 0.0)


def test_ends_close_in_as_passes_grow() -> None:
    found = [estimates(additive(8, 1.0, 2.0)[:, :m])["I_XT"] for m in (4, 8, 16)]
    widths = [e.bracket_high - e.bracket_low for e in found]
    assert widths[0] > 1.4 * widths[1] > 1.96 * widths[2]
    assert all(holds(e, 1.0) for e in found)


def test_the_error_is_the_spread_over_independent_repetitions() -> None:
    found = [estimates(additive(4, 1.0, 1.0, 8, seed))["I_XT"] for seed in range(12)]
    lows = torch.tensor([e.bracket_low for e in found])
    stated = sum(e.bracket_low_se for e in found) / 12
    # The spread of twelve values is known to about a fifth.
    assert 0.5 < float(lows.std()) / stated < 1.6


def test_a_layer_without_randomness_gives_what_its_kernel_gives() -> None:
    t = 0.7 * random(N, 6)
    nested = estimates(t[:, None].repeat(1, PASSES, 1))["I_XT"]
    kernel = channel_estimates(LayerRows(t, "layer"), None, Channel("absolute", 1.0))[0][0]
    # Copies of a row fit themselves exactly; what is left are the two sides of the marginal.
    assert nested.bracket_low == pytest.approx(kernel.bracket_low, abs=0.01)
    assert nested.bracket_high == pytest.approx(kernel.bracket_high, abs=0.01)


def test_what_is_left_within_classes_adds_up() -> None:
    y = torch.arange(N) % 2
    passes = additive(4, 0.7, 1.0) + 3.0 * y[:, None, None]
    found = estimates(passes, y)
    assert found["I_XT_given_Y"].nats == pytest.approx(0.7, abs=0.1)
    assert found["I_XT"].nats == pytest.approx(found["I_TY"].nats + found["I_XT_given_Y"].nats, abs=0.1)


def test_labels_are_read_from_one_pass_and_agree_with_quadrature() -> None:
    y = torch.arange(2048) % 2
    passes = (2.0 * y - 1)[:, None, None] * (1 + random(2048, 4, 1))  # T̃ is ±1 with variance 1 + 1
    e = estimates(passes, y)["I_TY"]
    two = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    truth = by_quadrature(lambda z, x: normal(z, x, 2.0), two, torch.tensor([0.5, 0.5], dtype=torch.float64))
    assert e.bound == "kernel"
    assert e.nats == pytest.approx(truth, abs=0.04)
    assert holds(e, truth)


def test_all_inputs_there_are_bound_the_value_by_their_logarithm() -> None:
    # 64 inputs far apart, each with noise of its own: every one can be told, I(X;T̃) = ln 64.
    passes = 40 * random(64, 1, 8) + random(64, PASSES, 8, seed=1)
    e = estimates(passes, target="probe_set")["I_XT"]
    assert e.nats == pytest.approx(math.log(64), abs=0.02)
    assert e.bracket_high <= math.log(64)


def test_all_inputs_there_are_agree_with_quadrature() -> None:
    # 64 inputs on a line, which the layer's own noise and the channel's, both of variance 1, mix up.
    x = torch.linspace(-8, 8, 64)
    found = [estimates(x[:, None, None] + random(64, PASSES, 1, seed=s), target="probe_set")["I_XT"] for s in range(8)]
    truth = by_quadrature(lambda z, at: normal(z, at, 2.0), x.double(), torch.full((64,), 1 / 64).double())
    # Means of eight: 64 rows a time have an error of about 0.1.
    assert sum(e.bracket_low for e in found) / 8 < truth < sum(e.bracket_high for e in found) / 8
    assert sum(e.nats for e in found) / 8 == pytest.approx(truth, abs=0.1)
    assert sum(holds(e, truth) for e in found) >= 7


def test_the_record_says_that_it_is_nested_and_carries_no_flag_of_the_kernel() -> None:
    found = estimates(additive(8, 1.0, 2.0), torch.arange(N) % 3)
    assert [found[q].bound for q in ("I_XT", "I_TY", "I_XT_given_Y")] == ["nested", "kernel", "nested"]
    assert not any("stochastic" in e.flags for e in found.values())
    assert found["I_XT"].ceiling == pytest.approx(math.log(N))


def test_rows_that_are_not_finite_are_left_out_of_every_pass() -> None:
    passes = additive(8, 1.0, 1.0)
    passes[3, 7] = math.nan
    passes[5, 0] = math.inf
    e = estimates(passes)["I_XT"]
    assert (e.rows, e.dropped_rows) == (N - 2, 2)
    assert e.nats == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(("k", "passes"), [(8, 16), (64, 2)])
def test_too_few_rows_or_passes_leave_the_upper_end(k: int, passes: int) -> None:
    e = estimates(additive(4, 1.0, 1.0, passes)[:k])["I_XT"]
    assert e.bound == "upper end"
    assert "stochastic" in e.flags


def test_sums_over_other_rows_have_a_slow_twin() -> None:
    u, y = random(24, 3, 5).double(), torch.tensor([0, 1, -100] * 8)
    classes = as_classes(y)
    asked = queries(u, (1, 2), 2)
    others, same = _sums_of_other_rows(u, asked, classes)
    for q, query in enumerate(asked):
        for i in range(24):
            all_others = [j for j in range(24) if j != i]
            of_class = [j for j in all_others if y[j] == y[i] >= 0]
            for found, rows in ((others, all_others), (same, of_class)):
                terms = [-(query.z[i] - c).square().sum() / 2 for j in rows for c in u[j]]
                if terms:
                    expected = torch.stack(terms).logsumexp(0) + query.half_norm[i]
                    assert found[q, i] == pytest.approx(float(expected), abs=1e-6)

"""Known answers on the user's own machine and device: truth, estimate, verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ibprobe.arrays import estimate_mi
from ibprobe.capture.rows import LayerRows
from ibprobe.estimate.brackets import channel_estimates
from ibprobe.estimate.channel import Channel
from ibprobe.record.records import Estimate

ROWS = 2048


@dataclass(frozen=True, slots=True)
class Check:
    """One known answer and what came out."""

    name: str
    truth: str
    estimate: str
    passed: bool


def run_checks(device: str) -> Iterator[Check]:
    """Yield the checks as they finish; about ten seconds on one core.

    Args:
        device: where the estimates are computed, such as ``cpu`` or ``cuda``.
    """
    generator = torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    checks: tuple[Callable[[torch.Generator, str], Check], ...] = (
        lambda g, d: gaussian_channel(1.0, g, d),
        lambda g, d: gaussian_channel(3.0, g, d),
        counted_inputs,
        counted_labels,
        additivity,
        data_processing,
        float32_against_float64,
        independence,
        gaussian_critic,
    )
    for check in checks:
        yield check(generator, device)
    same = torch.equal(before, torch.get_rng_state())
    yield Check("global random state is left alone", "same", "same" if same else "changed", same)


def gaussian_channel(truth: float, generator: torch.Generator, device: str) -> Check:
    """Gaussian rows in 784 dimensions, 16 of them alive: I = ½ Σ ln(1 + λᵢ/std²)."""
    alive = 16
    scale = math.sqrt(math.expm1(2 * truth / alive))
    t = torch.zeros(ROWS, 784)
    t[:, :alive] = scale * torch.randn(ROWS, alive, generator=generator)
    return _bracketed(f"Gaussian channel, 784 dimensions, I = {truth:g}", truth, _channel(t, 1.0, device)[0])


def _twelve_bits() -> tuple[Tensor, Tensor]:
    """All 4,096 inputs of a small network with ±1 units, and a label rule that is not linear in them."""
    x = (torch.arange(4096)[:, None] >> torch.arange(12)) % 2 * 2.0 - 1
    weight = torch.randn(12, 5, generator=torch.Generator().manual_seed(12))
    y = ((x[:, 0] * x[:, 1] + x[:, 2:7].sum(1) + x[:, 7] * x[:, 8] * x[:, 9]) > 0).long()
    return (x @ weight).sign(), y


def _counted_entropy(symbols: Sequence[tuple[float, ...]]) -> float:
    counts: dict[tuple[float, ...], int] = {}
    for s in symbols:
        counts[s] = counts.get(s, 0) + 1
    return -sum(c / len(symbols) * math.log(c / len(symbols)) for c in counts.values())


def counted_inputs(generator: torch.Generator, device: str) -> Check:
    """Units of ±1 under noise of 0.1 lose nothing: I(X;T̃) = H(T), counted."""
    t, y = _twelve_bits()
    truth = _counted_entropy([tuple(row) for row in t.tolist()])
    return _near("12-bit network, I(X;T), counted", truth, _channel(t, 0.1, device, y)[0].nats, 0.01)


def counted_labels(generator: torch.Generator, device: str) -> Check:
    """I(T̃;Y) = H(T) + H(Y) − H(T,Y), counted."""
    t, y = _twelve_bits()
    rows, labels = [tuple(row) for row in t.tolist()], [(float(v),) for v in y.tolist()]
    joint = [(*row, *label) for row, label in zip(rows, labels, strict=True)]
    truth = _counted_entropy(rows) + _counted_entropy(labels) - _counted_entropy(joint)
    return _near("12-bit network, I(T;Y), counted", truth, _channel(t, 0.1, device, y)[1].nats, 0.01)


def additivity(generator: torch.Generator, device: str) -> Check:
    """Independent halves add up."""
    a, b = (0.6 * torch.randn(ROWS, 4, generator=generator) for _ in range(2))
    parts = sum(_channel(t, 1.0, device)[0].nats for t in (a, b))
    return _near("additivity over independent halves", parts, _channel(torch.cat([a, b], 1), 1.0, device)[0].nats, 0.06)


def data_processing(generator: torch.Generator, device: str) -> Check:
    """Dropping units cannot add information."""
    t = torch.randn(ROWS, 8, generator=generator) @ torch.randn(8, 8, generator=generator)
    whole, part = (_channel(v, 1.0, device)[0] for v in (t, t[:, :4]))
    passed = part.lower_confidence <= whole.ci_high
    return Check("data processing: half of the units", f"≤ {whole.nats:.3f}", f"{part.nats:.3f}", passed)


def float32_against_float64(generator: torch.Generator, device: str) -> Check:
    """4,096 dimensions far from zero, small noise: the arithmetic must not lose the answer."""
    t = 3 + torch.randn(512, 4096, generator=generator)
    wide = "cpu" if device.startswith("mps") else device
    truth, found = _channel(t.double(), 0.05, wide)[0].nats, _channel(t, 0.05, device)[0].nats
    return _near("float32 against float64", truth, found, 1e-3)


def independence(generator: torch.Generator, device: str) -> Check:
    """The critic must read nothing where there is nothing; a textbook loop reads 2.9 nats here."""
    a, b = (torch.randn(ROWS, 20, generator=generator).to(device) for _ in range(2))
    return _near("MINE on independent data, 20 dimensions", 0.0, estimate_mi(a, b).nats, 0.05)


def gaussian_critic(generator: torch.Generator, device: str) -> Check:
    """Correlated Gaussians: I = −d/2 ln(1 − ρ²)."""
    d, truth = 5, 1.0
    rho = math.sqrt(-math.expm1(-2 * truth / d))
    a, b = (torch.randn(ROWS, d, generator=generator) for _ in range(2))
    found = estimate_mi(a.to(device), (rho * a + math.sqrt(1 - rho**2) * b).to(device))
    return _near("MINE on Gaussians, 5 dimensions", truth, found.nats, 0.1)


def _channel(t: Tensor, sigma: float, device: str, y: Tensor | None = None) -> list[Estimate]:
    channel = Channel("absolute", sigma, target="population" if y is None else "probe_set")
    labels = None if y is None else y.to(device)
    return channel_estimates(LayerRows(t.to(device)), labels, channel)[0]


def _near(name: str, truth: float, found: float, tolerance: float) -> Check:
    passed = abs(found - truth) <= tolerance
    return Check(name, f"{truth:.3f} ± {tolerance:g}", f"{found:.3f}", passed)


def _bracketed(name: str, truth: float, e: Estimate) -> Check:
    low, high = e.bracket_low or 0.0, e.bracket_high or 0.0
    inside = low - 3 * (e.bracket_low_se or 0.0) <= truth <= high + 3 * (e.bracket_high_se or 0.0)
    return Check(name, f"{truth:.3f}", f"[{low:.3f}, {high:.3f}]", inside)

"""The channel: what the noise is relative to, and that it is the same at every step."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from ibprobe import BadInput
from ibprobe.estimate import channel
from ibprobe.estimate.channel import Channel, noisy_rows, stable_seed


def rows(n: int = 256, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_relative_noise_scales_with_the_rows() -> None:
    t = rows()
    one, ten = (noisy_rows(k * t + 5, Channel()) for k in (1.0, 10.0))
    assert ten.std == pytest.approx(10 * one.std, rel=1e-5)
    assert torch.allclose(one.u, ten.u, atol=1e-4)


def test_relative_noise_is_sigma_times_the_root_of_the_trace() -> None:
    t = rows()
    expected = 0.25 * torch.trace(torch.cov(t.T, correction=0)).sqrt()
    assert noisy_rows(t, Channel()).std == pytest.approx(float(expected), rel=1e-5)


def test_duplicated_units_double_the_noise_of_four_copies() -> None:
    t = rows()
    assert noisy_rows(t.repeat(1, 4), Channel()).std == pytest.approx(2 * noisy_rows(t, Channel()).std, rel=1e-5)


def test_absolute_noise_is_sigma() -> None:
    assert noisy_rows(rows(), Channel("absolute", 0.1)).std == 0.1


def test_per_unit_noise_ignores_the_scale_of_a_unit() -> None:
    t = rows()
    scaled = t.clone()
    scaled[:, 3] *= 300
    a, b = (noisy_rows(v, Channel("per_unit")) for v in (t, scaled))
    assert torch.allclose(a.u, b.u, atol=1e-4)


def test_dead_units_add_nothing_under_per_unit_noise() -> None:
    t = torch.cat([rows(), torch.full((256, 3), 7.3)], 1)
    assert torch.equal(noisy_rows(t, Channel("per_unit")).clean[:, 16:], torch.zeros(256, 3))


def test_a_constant_layer_far_from_zero_has_no_spread() -> None:
    # 1e4 + rounding: a spread of one unit in the last place is no signal.
    t = torch.full((64, 4), 1e4) + torch.randn(64, 4) * 1e-4
    assert noisy_rows(t, Channel()).std == 0.0


def test_noise_is_equal_at_every_step_and_different_between_layers_and_seeds() -> None:
    def draw(layer: str, seed: int) -> torch.Tensor:
        return next(noisy_rows(rows(seed=seed + 1), Channel(seed=seed), layer).draws())

    first = next(noisy_rows(rows(seed=0), Channel(seed=0), "fc1").draws())
    assert torch.equal(first, draw("fc1", 0))
    assert not torch.equal(first, draw("fc2", 0))
    assert not torch.equal(first, draw("fc1", 1))


def test_the_global_generator_is_neither_read_nor_advanced() -> None:
    before = torch.get_rng_state()
    list(noisy_rows(rows(), Channel()).draws())
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_are_the_same_on_every_machine() -> None:
    assert stable_seed(0, "fc1", 0) == 1497445825958003


@pytest.mark.parametrize(
    "bad",
    [{"noise": "gaussian"}, {"sigma": -1.0}, {"sigma": float("nan")}, {"sigma": "0.1"}, {"draws": 1}, {"target": "x"}],
)
def test_bad_settings_are_refused(bad: dict[str, object]) -> None:
    channel, (field, value) = Channel(), *bad.items()
    object.__setattr__(channel, field, value)  # past the type check that only tests make
    with pytest.raises(BadInput, match=f"{field}=.*got"):
        channel.__post_init__()


@pytest.fixture
def tf32() -> Iterator[None]:
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.usefixtures("tf32")
def test_tf32_is_seen_on_a_gpu_alone_and_left_as_it_is() -> None:
    assert channel._products_are_coarse(torch.device("cuda", 0))
    assert not channel._products_are_coarse(torch.device("cpu"))
    assert noisy_rows(rows(), Channel()).u.dtype == torch.float32
    assert torch.get_float32_matmul_precision() == "high"


@pytest.mark.parametrize("setting", ["torch.backends.fp32_precision", "torch.backends.cuda.matmul.fp32_precision"])
def test_so_is_tf32_that_was_allowed_in_the_newer_way(setting: str) -> None:
    program = f"""
import torch
from ibprobe.estimate.channel import _products_are_coarse
assert not _products_are_coarse(torch.device("cuda"))
{setting} = "tf32"
assert _products_are_coarse(torch.device("cuda"))
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_products_that_would_be_coarse_are_of_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    fine = noisy_rows(rows(), Channel())
    monkeypatch.setattr(channel, "_products_are_coarse", lambda device: True)
    wide = noisy_rows(rows(), Channel())
    assert wide.u.dtype == torch.float64
    assert torch.equal(wide.u.float(), fine.u)
    assert torch.equal(next(wide.draws()).float(), next(fine.draws()))

import math

import pytest
import torch
from helpers import random_states, same

from ibprobe.estimate.classifier import Classifier
from ibprobe.estimate.classifier.coordinates import drawn_rows
from ibprobe.estimate.classifier.crossfit import CrossFit, cross_fit
from ibprobe.estimate.classifier.reading import reading_of
from ibprobe.estimate.pairs import Pair


def generator(seed):
    return torch.Generator().manual_seed(seed)


def read(t, y, std=0.0, seed=0):
    return Classifier()({"a layer": Pair(y, t, std)}, torch.arange(len(y)) % 2, seed=seed)["a layer"]


def mean_log_ratio(log_likelihoods, y):
    """I(T;Y) by Monte Carlo from ln p(t|y) of equally frequent classes."""
    posterior = log_likelihoods.log_softmax(1)
    return float(posterior.gather(1, y[:, None]).mean()) + math.log(log_likelihoods.shape[1])


def centres_of(scale, classes=10, d=64):
    return scale * torch.randn(classes, d, generator=generator(99))


def gaussian_classes(n, scale, seed):
    """Rows and labels of ten unit Gaussians around random centres in 64 dimensions."""
    y = torch.randint(10, (n,), generator=generator(seed))
    return centres_of(scale)[y] + torch.randn(n, 64, generator=generator(seed + 1000)), y


def truth_of(scale):
    centres, (t, y) = centres_of(scale), gaussian_classes(100_000, scale, 7)
    return mean_log_ratio(t @ centres.T - 0.5 * centres.square().sum(1), y)


def shells(n, seed, d=8):
    """Three classes that differ in spread alone; truth 0.599 by the same Monte Carlo with 200,000 rows."""
    y = torch.randint(3, (n,), generator=generator(seed))
    return torch.randn(n, d, generator=generator(seed + 1000)) * (0.5 * y).exp()[:, None], y


def checkerboard(n, seed, d=8):
    """Two classes of two clusters each, at the corners of a square; truth 0.407 by the same Monte Carlo."""
    sign = 2 * torch.randint(2, (n, 2), generator=generator(seed)) - 1
    t = torch.randn(n, d, generator=generator(seed + 1000))
    t[:, :2] += 1.5 * sign
    return t, (sign.prod(1) > 0).long()


def fitted(t, y) -> CrossFit:
    with torch.no_grad():
        return cross_fit(t, y, 0.0, torch.arange(len(y)) % 2, generator(0))


@pytest.mark.parametrize("scale", [0.183, 0.37])
def test_gaussian_classes_read_the_truth_between_held_out_and_training_value(scale):
    fit, truth = fitted(*gaussian_classes(2048, scale, 3)), truth_of(scale)
    reading = reading_of(fit)
    # The mean of 2,048 log-ratios has a standard error of 0.018 to 0.024: three of the larger.
    assert reading.nats == pytest.approx(truth, abs=0.07)
    assert reading.ci_low < truth < reading.ci_high
    assert reading.lower_confidence < truth
    assert float(fit.ratios.held.mean()) < reading.nats < float(fit.ratios.seen.mean())


def test_classes_far_apart_read_the_entropy_of_the_labels_and_no_more():
    t, y = gaussian_classes(600, 0.8, 3)
    reading = read(t, y)
    # What ln 10 is short of here is the imbalance of the draw.
    assert math.log(10) - 0.02 < reading.nats <= reading.ci_high <= math.log(10) + 1e-9


def test_unequal_classes_read_their_entropy_when_told_apart():
    y = torch.tensor([0] * 600 + [1] * 300 + [2] * 100)
    t = 9 * torch.nn.functional.one_hot(y) + torch.randn(1000, 3, generator=generator(0))
    entropy = -sum(p * math.log(p) for p in (0.6, 0.3, 0.1))
    assert read(t, y).nats == pytest.approx(entropy, abs=0.01)  # Miller's correction is 0.001


@pytest.mark.parametrize(("n", "widest"), [(512, 0.15), (2048, 0.06)])
def test_shuffled_labels_read_nothing(n, widest):
    t, y = gaussian_classes(n, 0.37, 3)
    reading = read(t, y[torch.randperm(n, generator=generator(0))])
    # A standard error of √(P/2)/n for the P = 9·64 numbers of the centres: 0.033 and 0.008. Never below 0.
    assert 0 <= reading.nats < 50 / n
    assert reading.ci_low == reading.lower_confidence == 0
    assert reading.ci_high < widest


def test_curved_classes_are_read_though_a_linear_discriminant_sees_nothing():
    fit = fitted(*shells(2048, 5))
    assert fit.held_margin < 0.05  # linear score of the own class over the mean of the others
    assert reading_of(fit).nats == pytest.approx(0.599, abs=0.05)  # standard error 0.014


def test_classes_of_several_clusters_are_read_though_their_means_agree():
    t, y = checkerboard(2048, 5)
    assert read(t, y).nats == pytest.approx(0.407, abs=0.05)  # standard error 0.012


def test_the_network_finds_what_discriminants_do_not(monkeypatch):
    t = torch.randn(2048, 4, generator=generator(1))
    wave = torch.sigmoid(4 * torch.sin(2 * t[:, 0] + t[:, 1]))
    y = (torch.rand(2048, generator=generator(2)) < wave).long()
    # Truth 0.40. The boundary is a wave, of which discriminants see a tenth.
    monkeypatch.setattr("ibprobe.estimate.classifier.crossfit.MOST_ROWS", 0)  # near rows would find it too
    assert read(t, y).nats == pytest.approx(0.40, abs=0.08)
    monkeypatch.setattr("ibprobe.estimate.classifier.crossfit.MIN_NETWORK_ROWS", 10**9)
    assert read(t, y).nats < 0.06


def test_known_noise_reads_the_same_as_noise_that_is_in_the_rows():
    (_, y), truth = gaussian_classes(1024, 0.37, 3), truth_of(0.37)
    drawn = read(centres_of(0.37)[y], y, 1.0)
    # Eight draws of the noise are as many rows: a standard error below 0.01, and every row's noise is fitted eightfold.
    assert drawn.nats == pytest.approx(truth, abs=0.04)
    assert drawn.ci_high - drawn.ci_low < 0.05


def test_memorising_lifts_nothing():
    t, y = torch.randn(300, 200, generator=generator(0)), torch.arange(300) % 3
    reading = read(t, y)
    # Two thirds of the rows are fewer than the columns: training rows are told apart without error, to no avail.
    assert reading.nats < 0.15
    assert reading.ci_low == 0


def test_pairs_do_not_influence_each_other():
    t, y = gaussian_classes(200, 0.3, 3)
    alone = read(t[:, :5], y)
    pairs = {"wide": Pair(y, t * 1e6, 0.1), "a layer": Pair(y, t[:, :5]), "other": Pair(t, y)}
    assert Classifier()(pairs, torch.arange(200) % 2, seed=0)["a layer"] == alone


def test_the_same_seed_gives_the_same_reading_and_global_generators_stay():
    t, y = gaussian_classes(200, 0.3, 3)
    t = t[:, :5]
    before = random_states()
    first = read(t, y, 0.2, seed=5)
    assert same(random_states(), before)
    torch.manual_seed(3)
    assert read(t, y, 0.2, seed=5) == first
    assert read(t, y, 0.2, seed=6) != first


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16), torch.enable_grad]
)
def test_the_callers_mode_changes_nothing(mode):
    t, y = checkerboard(300, 0)
    expected = read(t, y)
    with mode():
        assert read(t, y) == expected


def test_labels_may_be_on_either_side():
    t, y = gaussian_classes(200, 0.3, 3)
    assert Classifier()({"a layer": Pair(t, y)}, torch.arange(200) % 2, seed=0)["a layer"] == read(t, y)


def test_noise_is_drawn_again_for_every_copy_of_a_row():
    u = drawn_rows(torch.zeros(500, 3) + torch.arange(3), 1.0, 4, generator(0))
    assert u.shape == (1, 500, 1)  # constant columns: nothing to tell, noise or not
    u = drawn_rows(torch.randn(500, 3, generator=generator(1)), 1.0, 4, generator(0))
    assert u.shape == (4, 500, 3)
    # Equal variances of signal and noise: two draws of a row correlate by a half.
    assert float((u[0] * u[1]).mean() / u.square().mean()) == pytest.approx(0.5, abs=0.08)

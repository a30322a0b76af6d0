import math

import pytest
import torch

from ibprobe.estimate.classifier import Classifier
from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.record.flags import FLAGS


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def read(t, y, std=0.0, folds=None):
    folds = torch.arange(len(y)) % 2 if folds is None else folds
    return Classifier()({"t": Pair(y, t, std)}, folds, seed=0)["t"]


def labelled(n=160, d=12, classes=5):
    y = torch.arange(n) % classes
    return torch.randn(n, d, generator=generator()) + 1.5 * torch.nn.functional.one_hot(y, d), y


def is_sound(reading):
    values = (reading.nats, reading.ci_low, reading.ci_high, reading.lower_confidence)
    assert all(map(math.isfinite, values))
    assert 0 <= reading.ci_low <= reading.nats <= reading.ci_high
    assert 0 <= reading.lower_confidence <= reading.ci_high
    assert reading.flags <= FLAGS.keys()
    return True


def cauchy(n, d):
    return torch.randn(n, d, generator=generator(1)) / torch.randn(n, d, generator=generator(2))


T, Y = labelled()
HARD = {
    "constant": (torch.full((160, 3), 0.1), Y),
    "one row for all": (T[:1].expand(160, -1), Y),
    "constant column": (torch.cat([T, torch.full((160, 2), 3.3)], 1), Y),
    "duplicated columns": (torch.cat([T, T, T], 1), Y),
    "fewer rows than columns": (torch.randn(60, 160, generator=generator()), Y[:60]),
    "heavy tails": (cauchy(160, 4), Y),
    "one far row": (torch.cat([T[:-1], T[-1:] * 1e6]), Y),
    "huge": (T * 1e30, Y),
    "tiny": (T * 1e-30, Y),
    "booleans": (T > 0, Y),
    "integers": ((4 * T).long(), Y),
    "mostly zeros": ((T - 2).relu(), Y),
    "class of one row": (T, torch.where(torch.arange(160) == 7, 5, Y)),
    "class in one fold": (T, torch.where((torch.arange(160) % 2 == 0) & (Y == 3), 1, Y)),
    "rare class": (T, (torch.arange(160) < 2).long()),
    "sixteen rows": (T[:16], Y[:16]),
    "labels on both sides": (Y % 2, Y),
    "rows that equal their label": (torch.nn.functional.one_hot(Y), Y),
}


@pytest.mark.parametrize("case", HARD)
def test_hard_input_gives_a_sound_reading(case):
    assert is_sound(read(*HARD[case]))


@pytest.mark.parametrize(
    "case", ["constant", "duplicated columns", "fewer rows than columns", "heavy tails", "integers"]
)
def test_hard_input_with_noise_gives_a_sound_reading(case):
    assert is_sound(read(*HARD[case], 0.5))


@pytest.mark.parametrize(
    "folds", [torch.zeros(160), torch.arange(160) % 7, torch.arange(160) % 60, torch.arange(160) < 3]
)
def test_any_folds_will_do(folds):
    assert is_sound(read(T, Y, folds=folds.long()))


def test_a_thousand_classes_are_read():
    y = torch.arange(2048) % 1000
    centres = 3 * torch.randn(1000, 16, generator=generator())
    reading = read(centres[y] + 0.3 * torch.randn(2048, 16, generator=generator(1)), y)
    assert is_sound(reading)
    # Two rows a class, all told apart: the entropy of the labels, ln 1000 as they are equally frequent.
    assert reading.nats == pytest.approx(math.log(1000), abs=0.1)


def test_equal_labels_read_exactly_zero():
    reading = read(T, torch.full((160,), 3))
    assert (reading.nats, reading.ci_low, reading.ci_high, reading.lower_confidence) == (0, 0, 0, 0)
    assert reading.flags == {"one_class"}


def test_heavy_tails_hide_no_shift_and_show_none():
    t, y = cauchy(600, 3), torch.arange(600) % 2
    shifted = t + torch.tensor([6.0, 0.0, 0.0]) * y[:, None]
    # Two Cauchy distributions 6 apart: 0.418 nats by numerical integration; 600 rows miss some of the tails.
    assert read(t, y).nats < 0.02
    assert read(shifted, y).nats == pytest.approx(0.418, abs=0.1)


def test_one_far_row_costs_little():
    t, y = labelled(300)
    far = t.clone()
    far[0] *= 1e6
    assert read(far, y).nats == pytest.approx(read(t, y).nats, abs=0.1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_precision_changes_little(dtype):
    # bfloat16 rounds to a 256th of a value, far below the spread within classes.
    assert read(T.to(dtype), Y).nats == pytest.approx(read(T, Y).nats, abs=0.02)


def test_scale_offset_and_duplicated_columns_change_nothing_of_note():
    expected = read(T, Y).nats
    assert read(T.double() * 1e-12 + 5, Y).nats == pytest.approx(expected, abs=0.02)
    assert read(torch.cat([T, T], 1), Y).nats == pytest.approx(expected, abs=0.03)


def test_wide_rows_with_few_directions_lose_nothing():
    t, y = labelled(300)
    spread = torch.linalg.qr(torch.randn(400, 12, generator=generator(3))).Q
    assert read(t @ spread.T, y).nats == pytest.approx(read(t, y).nats, abs=0.05)


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (Pair(T, T), "class labels"),
        (Pair(Y[:9], T[:9]), "9 rows"),
        (Pair(torch.arange(160), T), "no class has two rows"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(pair, reason):
    told = Classifier()({"t": pair}, torch.arange(len(pair.a)) % 2, seed=0)["t"]
    assert isinstance(told, str)
    assert reason in told


def test_no_pairs_give_no_readings():
    assert Classifier()({}, torch.zeros(0).long(), seed=0) == {}


def test_over_fitting_is_flagged():
    reading = read(torch.randn(100, 400, generator=generator()), torch.arange(100) % 10)
    assert isinstance(reading, Reading)
    assert "over_fitted" in reading.flags or reading.nats < 0.05

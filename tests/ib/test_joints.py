"""What comes in: tables, samples, files, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import unchecked
from ib.joints import random_joint

from ibprobe.bottleneck import (
    ib_curve,
    ib_curve_from_samples,
    joint_from_probabilities,
    joint_from_samples,
    load_curve,
    read_joint,
)
from ibprobe.errors import BadInput, UnknownName

# What embo 1.1.0 gets wrong, one by one.


def test_integer_counts_are_a_joint() -> None:
    counts = np.array([[8, 2], [1, 9]])
    assert ib_curve(counts, [5.0]).i_ty == pytest.approx(ib_curve(counts / 20, [5.0]).i_ty, abs=1e-15)
    assert ib_curve(counts.astype(np.uint8), [5.0]).i_ty[0] > 0


def test_the_callers_table_is_not_changed() -> None:
    counts = np.array([[8.0, 2.0], [1.0, 9.0]])
    before = counts.copy()
    counts.flags.writeable = False
    ib_curve(counts)
    assert np.array_equal(counts, before)


def test_an_x_that_never_occurs_is_kept_and_harmless() -> None:
    p = random_joint(10, 3)
    holed = np.insert(p, 4, 0.0, axis=0)
    curve, whole = ib_curve(holed, [8.0]), ib_curve(p, [8.0])
    assert curve.i_xt == pytest.approx(whole.i_xt, abs=1e-12)
    encoder = curve.encoders[0]
    assert encoder.shape[1] == 11
    assert np.isfinite(encoder).all()
    assert encoder[:, 4] == pytest.approx(encoder @ holed.sum(1), abs=1e-12)


def test_the_default_betas_reach_beyond_the_first_bifurcation() -> None:
    # In noisy joints it lies above 5, where embo's default range ends.
    p = random_joint(64, 10, noise=3.0)
    curve = ib_curve(p, points=12)
    assert curve.onset > 5
    assert curve.i_ty[-1] > 0.9 * curve.i_xy


def test_every_beta_that_is_asked_for_is_answered() -> None:
    betas = [0.1, 9.0, 3.0, 3.0, 1e3, 7.2]
    curve = ib_curve(random_joint(20, 2), betas)
    assert curve.beta.tolist() == sorted(betas)
    assert len(curve.encoders) == len(curve) == 6


def test_nested_lists_tensors_and_columns_of_zeros_are_fine() -> None:
    p = random_joint(6, 3)
    wanted = ib_curve(p, [6.0]).objective
    for given in (p.tolist(), torch.tensor(p), 7 * p, np.insert(p, 1, 0.0, axis=1)):
        assert ib_curve(given, [6.0]).objective == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[0.5, -0.1], [0.3, 0.3]], r"≥ 0, got -0.1 at \(0, 1\)"),
        ([[0.5, np.nan], [0.3, 0.3]], r"finite numbers, got nan at \(0, 1\)"),
        ([[0.5, np.inf], [0.3, 0.3]], "finite numbers, got inf"),
        (np.zeros((0, 3)), r"got shape \(0, 3\)"),
        ([0.5, 0.5], r"got shape \(2,\)"),
        (np.zeros((2, 2)), "all entries are 0"),
        ([["a", "b"]], "table"),
        (None, "table"),
    ],
)
def test_what_is_no_joint_is_refused(table: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ib_curve(table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"betas": [-1.0]}, "≥ 0"),
        ({"betas": []}, "at least one"),
        ({"betas": [np.nan]}, "finite"),
        ({"betas": "many"}, "expected numbers"),
        ({"points": 1}, "at least 2 points"),
        ({"tol": 0.0}, "tolerance above 0"),
        ({"kind": "generalised"}, "needs an α"),
        ({"alpha": 0.5}, "take none"),
        ({"kind": "generalised", "alpha": 1.5}, r"0 \(DIB\) to 1 \(IB\)"),
        ({"kind": "dib", "form": "squared"}, 'goes with kind="ib"'),
        ({"device": "nowhere"}, "cannot be used here"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ib_curve(random_joint(4, 2), **options)


def test_an_unknown_kind_lists_what_there_is() -> None:
    with pytest.raises(UnknownName, match="no kind named 'idb'; did you mean: "):
        unchecked(ib_curve)(random_joint(4, 2), kind="idb")
    with pytest.raises(UnknownName, match="there are: lagrangian, squared"):
        unchecked(ib_curve)(random_joint(4, 2), form="x")


def test_samples_are_counted_and_the_bias_is_said() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 4, 2000)
    y = np.where(rng.random(2000) < 0.8, x % 2, rng.integers(0, 2, 2000))
    counts = joint_from_samples(x, y)
    assert counts.sum() == 2000
    assert counts[1, 1] == ((x == 1) & (y == 1)).sum()
    curve = ib_curve_from_samples(x, y, [5.0])
    assert curve.i_ty == pytest.approx(ib_curve(counts, [5.0]).i_ty, abs=1e-15)
    assert curve.notes[0].startswith("from 2,000 samples: ")
    assert f"too large by about {3 * 1 / 4000:.4f} nats" in curve.notes[0]
    few = ib_curve_from_samples(rng.integers(0, 50, 100), rng.integers(0, 2, 100), [5.0])
    assert "says little of the population" in few.notes[0]


def test_rows_are_symbols_too() -> None:
    bits = np.array([[0, 1], [0, 1], [1, 0], [1, 1]])
    assert joint_from_samples(bits, ["a", "b", "a", "a"]).tolist() == [[1, 1], [1, 0], [1, 0]]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [([1, 2], [1], "must be aligned"), ([], [], "expected symbols"), ([0.5, np.nan], [1, 2], "NaN is no symbol")],
)
def test_samples_that_are_none_are_refused(x: list[float], y: list[int], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        ib_curve_from_samples(x, y)


def test_class_probabilities_are_a_joint() -> None:
    p = torch.randn(50, 4).softmax(-1)
    joint = joint_from_probabilities(p)
    assert joint.sum(1) == pytest.approx(1 / 50, abs=1e-12)
    with pytest.raises(BadInput, match="pass logits"):
        joint_from_probabilities(np.full((3, 2), 1.0))


def test_tables_are_read_from_files(tmp_path: Path) -> None:
    p = random_joint(5, 3)
    np.save(tmp_path / "p.npy", p)
    (tmp_path / "p.csv").write_text("cat,dog,none\n" + "\n".join(",".join(map(repr, row)) for row in p.tolist()) + "\n")
    assert np.array_equal(read_joint(tmp_path / "p.npy"), p)
    assert np.array_equal(read_joint(tmp_path / "p.csv"), p)


def test_files_that_hold_no_table_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ragged.csv").write_text("1,2\n3\n")
    (tmp_path / "words.csv").write_text("a,b\n1,x\n")
    (tmp_path / "text.npy").write_text("1,2")
    for name in ("ragged.csv", "words.csv", "text.npy"):
        with pytest.raises(BadInput, match="holds no table of numbers"):
            read_joint(tmp_path / name)
    with pytest.raises(BadInput, match="cannot read"):
        read_joint(tmp_path / "missing.npy")
    with pytest.raises(BadInput, match=r"as \.npy or \.csv"):
        read_joint(tmp_path / "p.xlsx")


def test_a_curve_is_saved_and_loaded(tmp_path: Path) -> None:
    curve = ib_curve(random_joint(10, 3), points=6)
    again = load_curve(curve.save(tmp_path / "new" / "curve.npz"))
    assert np.array_equal(again.i_ty, curve.i_ty)
    assert (again.onset, again.kind, again.notes, again.i_xy) == (curve.onset, curve.kind, curve.notes, curve.i_xy)
    assert again.bound(0.5) == curve.bound(0.5)
    with pytest.raises(BadInput, match=r"ends in \.npz"):
        curve.save(tmp_path / "curve.npy")
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(BadInput, match="holds no IB curve"):
        load_curve(tmp_path / "other.npz")
    with pytest.raises(BadInput, match="cannot read"):
        load_curve(tmp_path / "missing.npz")

"""What every estimator promises."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from ibprobe.estimate.pairs import Estimator, Reading
from ibprobe.testing.answers import ROWS, Known, dependent, independent
from ibprobe.testing.built import built
from ibprobe.testing.untouched import untouched

Found = dict[str, Reading | str]
_NUMBERS = ("nats", "ci_low", "ci_high", "lower_confidence")


def check_estimator(build: Callable[[], Estimator], *, tolerance: float = 0.1, seconds: float = 60.0) -> Found:
    """Check an estimator against known answers, a thousand rows each.

    It must read one kind of pair at least and say in a sentence why it does not read the others: two columns, a column
    and its noisy self (noise of known size), labels and a column, two sides of labels. Where it reads, the value is
    within ``tolerance`` of the truth, or within 0.5 and the interval holds the truth; a value without noise
    (``noiseless``) may lie below. Values are finite, ``ci_low ≤ nats ≤ ci_high`` and ``lower_confidence ≤ nats``; one
    seed gives one result; inputs, folds and the global generators are left as they are; a second call with the same
    names, a later step, works, and so does one after ``state_dict()``, where there is one.

    Args:
        build: makes the estimator, as a plugin's ``build``.
        tolerance: nats.
        seconds: of processor time that the five pairs of one call may take.

    Returns:
        What was read of every pair, or why not.

    Raises:
        AssertionError: a promise is broken; the message says what was expected and what came.
    """
    estimator: Any = built(build)
    assert callable(estimator), f"build(): expected a function (pairs, folds, *, seed), got {estimator!r}"
    assert not isinstance(estimator, type), f"build(): expected an instance, got the class {estimator.__name__}"
    _called(estimator, {}, 0)
    found = {**_read(build(), independent(), seconds), **_read(estimator, dependent(), seconds)}
    answers = {**independent(), **dependent()}
    read = {name: reading for name, reading in found.items() if isinstance(reading, Reading)}
    assert read, f"expected a reading of one kind of pair at least; of all it said why not: {found}"
    for name, reading in read.items():
        _check_value(name, reading, answers[name][1], answers[name][0].std, tolerance)
    again = _read(build(), dependent(), seconds)
    _check_same("another estimator with the same seed", {name: found[name] for name in again}, again)
    _check_later_steps(build, estimator, seconds)
    return found


def _read(estimator: Any, known: Known, seconds: float, seed: int = 3) -> Found:
    started = time.process_time()
    found = _called(estimator, known, seed)
    took = time.process_time() - started
    assert took <= seconds, (
        f"expected at most {seconds:g} s for {len(known)} pairs of {ROWS} rows; it took {took:.1f} s"
    )
    for name, reading in found.items():
        _check_form(name, reading)
    return found


def _called(estimator: Any, known: Known, seed: int) -> dict[str, Any]:
    pairs, folds = {name: pair for name, (pair, _) in known.items()}, torch.arange(ROWS) % 2
    sides = {f"{side} of {name!r}": getattr(pair, side) for name, pair in pairs.items() for side in ("a", "b")}
    with untouched("the estimator", {**sides, "folds": folds}):
        found = estimator(pairs, folds, seed=seed)
    assert isinstance(found, Mapping), f"expected readings by name, got {found!r}"
    assert set(found) == set(pairs), f"expected one reading or reason for each of {list(pairs)}, got {list(found)}"
    return {name: found[name] for name in pairs}


def _check_form(name: str, reading: Any) -> None:
    assert isinstance(reading, Reading | str), f"{name}: expected a Reading or a sentence, got {reading!r}"
    if isinstance(reading, str):
        assert len(reading) > 10, f"{name}: expected a sentence that says why there is no reading, got {reading!r}"
        return
    values = {field: getattr(reading, field) for field in _NUMBERS}
    for field, value in values.items():
        fits = isinstance(value, int | float) and not math.isnan(value) and (field == "ci_high" or math.isfinite(value))
        assert fits, f"{name}: expected {field} to be a finite Python number, got {value!r}"
    assert reading.ci_low <= reading.nats <= reading.ci_high, f"{name}: expected ci_low ≤ nats ≤ ci_high, got {values}"
    assert reading.lower_confidence <= reading.nats, f"{name}: expected lower_confidence ≤ nats, got {values}"
    assert reading.bound, f"{name}: expected `bound` to say what the value was read by; it is empty"


def _check_value(name: str, r: Reading, truth: float, std: float, tolerance: float) -> None:
    came = f"{r.nats:.3f} in [{r.ci_low:.3f}, {r.ci_high:.3f}]"
    if not r.noiseless:
        near, held = abs(r.nats - truth), r.ci_low <= truth <= r.ci_high
        assert near <= tolerance or (near <= 0.5 and held), f"{name}: expected {truth:.3f} nats, got {came}"
    elif not std:
        # Bins lose information and can add none, chance apart, which the interval holds.
        assert r.ci_low <= truth + tolerance, f"{name}: expected at most {truth:.3f} nats, got {came}"
        assert r.nats > 0.05 or not truth, f"{name}: expected something of {truth:.3f} nats, got {came}"


def _check_same(who: str, one: Found, other: Found) -> None:
    for name, a in one.items():
        b = other[name]
        alike = type(a) is type(b)
        if isinstance(a, Reading) and isinstance(b, Reading):
            # Where an array lies in memory decides in which order float32 sums are taken.
            values = [(getattr(a, field), getattr(b, field)) for field in _NUMBERS]
            alike = a.flags == b.flags and all(x == y or abs(x - y) <= 1e-5 for x, y in values)
        assert alike, f"{name}, {who}: expected the same result, got {a} and {b}"


def _check_later_steps(build: Callable[[], Estimator], estimator: Any, seconds: float) -> None:
    """What it has learned at one step is of use at the next, for a resumed run too."""
    state = io.BytesIO()
    keeps = callable(getattr(estimator, "state_dict", None))
    if keeps:
        torch.save(estimator.state_dict(), state)
    later = _read(estimator, dependent(), seconds)
    if keeps:
        resumed: Any = build()
        state.seek(0)
        resumed.load_state_dict(torch.load(state, weights_only=True))
        _check_same("after state_dict() and load_state_dict()", later, _read(resumed, dependent(), seconds))

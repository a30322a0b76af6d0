"""Every specification is valid Vega-Lite, compiles, and is strict JSON, whatever the records hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair
import jsonschema
import pytest
import vl_convert
from record_factory import INF, critic, estimate, interval
from show.scenes import training_run

from ibprobe.record.records import Estimate, Logged, Records
from ibprobe.show.cases import cases
from ibprobe.show.lines import curves
from ibprobe.show.panels import panels
from ibprobe.show.pictures import pictures
from ibprobe.show.plane import plane
from ibprobe.show.summaries import critics, sweep
from ibprobe.show.theme import Spec, themed

Runs = Sequence[tuple[str, Records]]
NAN = math.nan
NO_FALL = {"peak_step": None, "fall": None, "fall_low": None, "fall_high": None}


@pytest.fixture(scope="module")
def check() -> Callable[[Spec], None]:
    """One validator, for it reads a schema of 2 MB."""
    schema = Path(altair.__file__).parent / "vegalite/v6/schema/vega-lite-schema.json"
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text()))

    def check(spec: Spec) -> None:
        whole = json.loads(json.dumps(themed(spec), allow_nan=False))
        assert [error.message[:200] for error in validator.iter_errors(whole)] == []
        assert vl_convert.vegalite_to_vega(whole)["marks"]

    return check


def twice(**changes: Any) -> tuple[Estimate, ...]:
    """Two snapshots of both coordinates, with I(X;T̃) changed as asked."""
    return tuple(e for step in (0, 90) for e in (estimate(step=step, **changes), interval("I_TY", 0.4, 0.6, step=step)))


def seeds(records: Records, count: int = 3) -> Runs:
    return [(f"run{i}", replace(records, meta={"seed": i})) for i in range(count)]


def one_run(*estimates: Estimate) -> Runs:
    return [("run", Records(estimates))]


SCENES: dict[str, Runs] = {
    "few layers": [("run", training_run(layers=3, snapshots=4))],
    "many layers": [("run", training_run(layers=50, snapshots=4, splits=("train",)))],
    "seeds": seeds(training_run(layers=3, snapshots=4, splits=("train",))),
    "other settings": [
        (lr, replace(training_run(2, 4, ("train",)), meta={"config": {"lr": lr}})) for lr in ("0.1", "0.01")
    ],
    "one-sided": one_run(*twice(bound="upper end", bracket_low=None, bracket_low_se=None, ci_low=0.0)),
    "no labels": one_run(estimate(step=0), estimate(step=90)),
    "one snapshot": one_run(estimate(), interval("I_TY", 0.4, 0.6)),
    "several channels": one_run(*twice(), *(replace(e, sigma=0.5) for e in twice())),
    "infinite upper end": one_run(*twice(bracket_high=INF, ci_high=INF)),
    "infinite ceiling": one_run(*twice(bracket_high=INF, ci_high=INF, ceiling=INF)),
    "infinite lower end": one_run(*twice(ci_low=-INF, bracket_low=None, bracket_high=None)),
    "not a number": one_run(*twice(nats=NAN), *twice(layer="fc2", ci_low=NAN, ci_high=NAN)),
    "open critics": one_run(*(critic("I_XT", 5.0 - s / 90, step=s, ci_high=INF, **NO_FALL) for s in (0, 90))),
    "one value for all": one_run(estimate(), interval("I_TY", 2.3, 2.3)),
    "whole model": one_run(*twice(layer="")),
    "odd names": one_run(*twice(layer="a.b[0]'\"<x>&")),
}


@pytest.mark.parametrize("scene", SCENES)
def test_every_picture_of_a_report_is_valid_and_compiles(scene: str, check: Callable[[Spec], None]) -> None:
    made = pictures(SCENES[scene])
    assert made or scene == "one snapshot"
    for spec in made.values():
        check(spec)


def test_no_specification_names_a_colour():
    for spec in pictures(SCENES["few layers"]).values():
        assert "#" not in json.dumps({k: v for k, v in spec.items() if k not in ("data", "datasets")})


@pytest.mark.parametrize("end", [5.4, INF, NAN])
def test_critics_beside_brackets_are_valid(end: float, check: Callable[[Spec], None]) -> None:
    beside = critic("I_XT", 4.9, headline=False, ci_high=end)
    [panel] = panels(cases(one_run(estimate(bracket_high=end), beside)))
    spec = critics(panel, "I_XT")
    assert spec is not None
    check(spec)


@pytest.mark.parametrize("changes", [{}, {"ci_high": INF, "bracket_high": INF, "ceiling": INF}, {"bracket_low": None}])
def test_a_sweep_is_valid(changes: dict[str, Any], check: Callable[[Spec], None]) -> None:
    values = [estimate(sigma=s, layer=name, **changes) for s in (0.1, 0.2, 0.4) for name in ("a", "b")]
    check(sweep(Records(tuple(values)), "I_XT"))


@pytest.mark.parametrize("last", [0.5, NAN, INF])
def test_a_curve_is_valid_when_the_loss_is_no_longer_a_number(last: float, check: Callable[[Spec], None]) -> None:
    logged = [Logged(0, {"loss": 2.0}), Logged(5, {"loss": last}), Logged(9, {"acc": 1.0})]
    spec = curves(logged, "loss", "loss · run")
    check(spec)
    rows = spec["data"]["values"]
    assert rows == [{"step": 0, "value": 2.0}, {"step": 5, "value": 0.5 if last == 0.5 else None}]


def test_an_ib_curve_is_drawn(check: Callable[[Spec], None]) -> None:
    [train, _] = panels(cases(SCENES["few layers"]))
    check(plane(train, frontier=[(0.0, 0.0), (1.0, 0.8), (3.0, 1.2)]))

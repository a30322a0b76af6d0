"""A run whose records go into another tracker, and what the tracker's own reader must find there."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from helpers import Setup

from ibprobe import Estimate, load_run
from ibprobe.plugins.loading import GROUP
from ibprobe.record.records import Records
from ibprobe.sinks.wandb_keys import LayerKeys, metrics_of, summary_of

ROOT = Path(__file__).parents[2]
Scalars = Mapping[str, list[tuple[int, float]]]
"""Steps and values by key, in the order in which they are held."""


def own_entry(name: str) -> EntryPoint:
    """An entry point of this distribution, as it will be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return EntryPoint(name, project["entry-points"][GROUP][name], GROUP)


def watched(sink: Any, folder: Path, **options: Any) -> Records:
    """Train a net of three layers with one sink; what the run directory has of it."""
    run = Setup()
    with run.probe(every=2, run_dir=folder, sinks=[sink], **options):
        run.train()
    return load_run(folder)


def expected(records: Iterable[Estimate], within: str = "/") -> dict[str, list[tuple[int, float]]]:
    """What every record's numbers are under W&B's keys, and the summary at the last step."""
    keys, made = LayerKeys(within), list(records)
    found: dict[str, list[tuple[int, float]]] = {}
    for e in made:
        for key, value in metrics_of(e, keys[e.layer]).items():
            if not isinstance(value, str):
                found.setdefault(key, []).append((e.step, float(value)))
    last = max(e.step for e in made)
    for key, value in summary_of(made, keys, each=True).items():
        found[key] = [(last, float(value))]
    return found


def assert_same(found: Scalars, wanted: Scalars, *, exact: bool = True) -> None:
    """Every key, every step, every value.

    Args:
        found: as read back.
        wanted: as recorded.
        exact: whether the tool keeps 64 bits; with 32, values agree to seven digits.
    """
    assert set(found) == set(wanted)
    for key, points in wanted.items():
        assert [step for step, _ in found[key]] == [step for step, _ in points], key
        for (_, a), (_, b) in zip(found[key], points, strict=True):
            same = a == b or (math.isnan(a) and math.isnan(b))
            assert same or (not exact and a == pytest.approx(b, rel=1e-6)), key

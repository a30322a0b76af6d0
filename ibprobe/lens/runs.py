"""Finished runs as one table: what each measured, with which settings, from a design's folder or any run directory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from ibprobe.errors import BadRun
from ibprobe.lens.design import PLACEBO, Setting
from ibprobe.lens.watch import ABSOLUTE, OF_WATCH, OUTCOME, SAMPLED, TRAINING
from ibprobe.record.records import SYMBOLS, Estimate, Records
from ibprobe.record.rundir import load_run

_FAULTS = {"at_ceiling", "outside_bracket", "dtype_resolution", "constant"}
"""Flags of values that say nothing of a difference; broken guards are others."""
_OF_A_DESIGN = {"order_seed", PLACEBO, "train"}
"""Keys that the engine adds to a run's config, beside its seed."""
_SAID = ("note", "disarmed")
"""Events by which a run lacks something that others have."""
OF_RUN = ""
"""Stands for a layer where a value is of the whole run."""
KEPT = "kept"


class Key(NamedTuple):
    """What a value is of."""

    how: str
    """``training`` (eval mode, relative noise), ``absolute``, ``sampled``, ``outcome``, or ``kept`` (what a training
    function measured itself)."""
    split: str
    """Which rows."""
    layer: str
    """Empty for values of the whole run."""
    quantity: str
    """``I_XT``, ``I_TY``, ``I_XT_given_Y``, ``fall``, ``peak_step``, ``effective_rank``, ``r``; ``accuracy``, ``gap``,
    ``norm``; or the name under which it was kept."""


NAMES = SYMBOLS | {"fall": "fall of I(X;T̃) from its peak", "accuracy": "accuracy", "gap": "generalisation gap"}
"""What quantities are called."""
HELD_OUT = Key("outcome", "held_out", OF_RUN, "accuracy")
SHIFTED = Key("outcome", "shifted", OF_RUN, "accuracy")
"""Mean over all shifts."""
GAP = Key("outcome", "held_out", OF_RUN, "gap")
"""Accuracy on training rows less that on held-out ones."""


@dataclass(slots=True)
class Run:
    """One run's settings and values at its end."""

    name: str
    """Of its folder."""
    seed: int
    """Runs of one seed are paired."""
    settings: Mapping[str, Setting]
    """Its ``config`` but for the seed."""
    order: int = 0
    """Level of the placebo."""
    values: dict[Key, float] = field(default_factory=dict)
    """What was measured, by what it is of."""
    flagged: int = 0
    """Values left out for their flags."""
    folder: Path | None = None
    """Of the records while it trained."""
    channels: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    """Noise, size and view of each layer: what must not differ between runs that are compared."""

    def others(self, factor: str) -> str:
        """All settings but ``factor``, as text: runs of one seed with the same are a pair."""
        # W&B gives 0.0 back as 0.
        told = {k: float(v) if type(v) is int else v for k, v in self.settings.items() if k != factor}
        return json.dumps(told, sort_keys=True, default=str)


def begun(name: str, config: Mapping[str, Any], said: list[str]) -> Run:
    """A run without values as yet.

    Args:
        name: for messages.
        config: its settings and its ``seed``.
        said: gets a line where it has none.
    """
    seed = config.get("seed")
    if seed is None:
        said.append(f"{name}: its config has no seed; it counts as seed 0")
    # What other runs call order or train is a setting like any other.
    designed = _OF_A_DESIGN <= config.keys()
    settings = {k: v for k, v in _flat(config) if k not in (_OF_A_DESIGN | {"seed"} if designed else {"seed"})}
    return Run(name, int(seed or 0), settings, int(config[PLACEBO]) if designed else 0)


def _flat(config: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Setting]]:
    """Settings of nested mappings by dotted names; what is no number and no text is its text."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{within}{key}.")
        else:
            yield f"{within}{key}", value if isinstance(value, bool | int | float | str) else str(value)


def recorded_run(folder: Path, said: list[str]) -> Run:
    """A run from its folder: a design's, or a run directory.

    Args:
        folder: of the run.
        said: gets a line where something of the run is missing.

    Raises:
        BadRun: its records cannot be read.
    """
    designed = (folder / TRAINING).is_dir()
    if not designed and (folder / OUTCOME).is_file():
        return _kept(folder, said)
    outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8")) if designed else {}
    run: Run | None = None
    for how in (TRAINING, ABSOLUTE, SAMPLED) if designed else (TRAINING,):
        records, problems = _records(folder / how if designed else folder)
        if run is None:
            run = begun(folder.name, records.meta.get("config", {}), said)
            run.folder = folder / how if designed else folder
        if designed and outcome["steps"] not in records.steps:
            problems = [*problems, f"nothing of {how} at its last step, {outcome['steps']}, is there"]
        said += [f"{folder.name}: {problem}" for problem in problems]
        take(run, how, records, outcome.get("steps"))
    assert run is not None
    if designed:
        _outcome(run, outcome)
    return run


def _kept(folder: Path, said: list[str]) -> Run:
    """A run whose training function measured itself: its numbers."""
    outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    run = begun(folder.name, outcome["config"], said)
    numbers = {name: value for name, value in outcome.items() if type(value) in (int, float) and name not in OF_WATCH}
    run.values = {kept_as(name): float(value) for name, value in numbers.items() if math.isfinite(value)}
    said += [
        f"{folder.name}: {name} is {value}: left out" for name, value in numbers.items() if not math.isfinite(value)
    ]
    return run


def kept_as(name: str) -> Key:
    """What a value of ``watch.keep`` is of."""
    return Key(KEPT, "", OF_RUN, name)


def _records(folder: Path) -> tuple[Records, list[str]]:
    """A torn file as far as it goes, and what is wrong with it."""
    try:
        records = load_run(folder)
    except BadRun as e:
        if not e.records:
            raise
        torn: Records = e.records
        return torn, [str(e)]
    return records, [f"{folder.name}: {event.why}" for event in records.events if event.kind in _SAID]


def take(run: Run, how: str, records: Records, last: int | None = None) -> None:
    """Add the headline values of the last step, which a torn file does not know of itself."""
    last = max(records.steps, default=0) if last is None else last
    for e in records.select(step=last, headline=True):
        if e.flags & _FAULTS or any(flag.startswith("guard:") for flag in e.flags):
            run.flagged += 1
            continue
        # Rank and spread are of the layer itself, whatever noise is added to it.
        of_layer = how != ABSOLUTE
        for quantity, value in (_values(e) if of_layer else {e.quantity: e.nats}).items():
            run.values[Key(how, e.split, e.layer, quantity)] = value
        run.channels[how, e.layer] = (e.noise, e.sigma, e.view, e.target)


def _values(e: Estimate) -> dict[str, float]:
    values: dict[str, float] = {e.quantity: e.nats}
    if e.quantity == "I_XT":
        values |= {"fall": e.fall} if e.fall is not None else {}
        values |= {"peak_step": float(e.peak_step)} if e.peak_step is not None else {}
        values |= {"effective_rank": e.effective_rank} if e.effective_rank is not None else {}
        values |= {"r": e.std / e.sigma} if e.noise == "relative" and e.sigma else {}
    return values


def _outcome(run: Run, outcome: Mapping[str, Any]) -> None:
    accuracy = outcome["accuracy"]
    for split, value in {**accuracy, **outcome["shifted"]}.items():
        run.values[Key("outcome", split, OF_RUN, "accuracy")] = value
    if outcome["shifted"]:
        run.values[SHIFTED] = fmean(outcome["shifted"].values())
    run.values[GAP] = accuracy["train"] - accuracy["held_out"]
    for name, value in outcome["norms"].items():
        run.values[Key("outcome", "train", name, "norm")] = value

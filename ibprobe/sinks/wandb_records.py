"""Records out of what a W&B run holds: the way back from its keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ibprobe.record.records import Estimate, Records
from ibprobe.sinks.wandb_keys import AXIS, DETAILS, HEADLINES, Measured, details_in, headline_prefix, layer_names

_ALWAYS = {"nats", "ci_low", "ci_high", "lower_confidence", "ceiling", "rows", "distinct_rows", "std", "flags"}
_COUNTS = {"rows", "distinct_rows", "dropped_rows", "peak_step", "rank"}


def records_of(config: Mapping[str, Any], values: Mapping[str, Any]) -> Records:
    """The estimates of a run's last snapshot.

    Args:
        config: of the run; its ``ibprobe`` says how the numbers were made.
        values: of the row of the last snapshot, or the run's summary: each key's last value.

    Returns:
        Estimates at the run's last step. Names of ceilings and bounds, and the numbers of units, are in no key: they
        are empty and 0. Nothing where W&B has no scalars of ours, as with more layers than panels can show.
    """
    meta = config.get("ibprobe", {})
    details, names = details_in(values), layer_names(meta.get("layers", ()))
    step = int(values.get(AXIS, 0))
    found = []
    for of, numbers in details.items():
        if _ALWAYS <= numbers.keys():
            shown = of.estimator == _headline(of, values, details)
            found.append(_estimate(of, numbers, meta, step=step, layer=_name(of.layer, names), headline=shown))
    places = {name: place for place, name in enumerate(names.values())}
    # W&B keeps no order; that of the layers is the user's.
    found.sort(key=lambda e: (places.get(e.layer.partition("#")[0], len(places)), e.layer, e.split, e.quantity))
    return Records(tuple(found), meta=meta)


def _headline(of: Measured, values: Mapping[str, Any], details: Mapping[Measured, Mapping[str, Any]]) -> str | None:
    """The estimator whose value is the layer's headline; without a key of its own, that of I(X;T̃)."""
    quantity = of.quantity if of.quantity in HEADLINES else HEADLINES[0]
    value = values.get(f"{headline_prefix(quantity, of.split)}/{of.layer}")
    value = value.get("last") if isinstance(value, Mapping) else value
    same = [m for m in details if (m.quantity, m.split, m.layer) == (quantity, of.split, of.layer)]
    equal = [m.estimator for m in same if value is not None and details[m].get("nats") == value]
    return min(equal, key=lambda name: name != "channel", default=None)


def _name(key: str, names: Mapping[str, str]) -> str:
    call = re.fullmatch(r"(.+)/call(\d+)", key)
    if call and call[1] in names and key not in names:
        return f"{names[call[1]]}#{call[2]}"
    return names.get(key, key)


def _estimate(of: Measured, numbers: Mapping[str, Any], meta: Mapping[str, Any], **placed: Any) -> Estimate:
    given = {
        name: int(numbers[name]) if name in _COUNTS else float(numbers[name]) for name in DETAILS if name in numbers
    }
    channel = {"noise": str(meta["noise"]), "sigma": float(meta["sigma"]), "target": str(meta["target"])}
    made: dict[str, Any] = {
        **given, **channel, "view": str(numbers.get("view", meta.get("view"))), "mode": str(meta["mode"]),
        "flags": frozenset(filter(None, numbers["flags"].split(","))), "span": (placed["step"], placed["step"]),
        "quantity": of.quantity, "estimator": of.estimator, "split": of.split,
        "dim": 0, "bound": "", "ceiling_name": "",
    }  # fmt: skip
    return Estimate(**made, **placed)

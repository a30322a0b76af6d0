"""Names of everything that the probe writes into a W&B run: the one source for sink, workspace and tests."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any, NamedTuple

from ibprobe.record.records import Estimate

AXIS = "ib/step"
PLANE = "ib/plane"
PLANE_TABLE = f"{PLANE}_table"
"""W&B derives the name of a chart's table from that of the chart."""
PLANE_HTML = f"{PLANE}_html"
RECORDS = "ib/records"
FINAL = "ib_final/"
FINAL_STEP = f"{FINAL}step"
"""Summary values that are written when the probe ends."""

HEADLINES = ("I_XT", "I_TY")
DETAILS = (
    "nats", "ci_low", "ci_high", "lower_confidence", "bracket_low", "bracket_low_se", "bracket_high",
    "bracket_high_se", "ceiling", "rows", "distinct_rows", "dropped_rows", "std", "ess", "effective_rank",
    "dead_share", "peak_step", "fall", "fall_low", "fall_high", "rank", "seconds",
)  # fmt: skip


def layer_key(layer: str) -> str:
    """A layer's name as W&B can store it: dots and signs would lose axis or summary."""
    return re.sub(r"[^A-Za-z0-9_/]", "_", layer.replace(".", "/").replace("#", "/call")) or "model"


class LayerKeys:
    """Each layer's own key: ``conv-1`` and ``conv_1`` must not overwrite each other.

    Args:
        within: what separates the parts of a name.
    """

    def __init__(self, within: str = "/") -> None:
        self._within = within
        self._keys: dict[str, str] = {}

    def __getitem__(self, layer: str) -> str:
        if layer not in self._keys:
            key = layer_key(layer)
            same = sum(k == key or k.startswith(f"{key}__") for k in self._keys.values())
            self._keys[layer] = f"{key}__{same + 1}" if same else key
        return self._keys[layer].replace("/", self._within)


def headline_prefix(quantity: str, split: str) -> str:
    """First segment of a headline's key, by which W&B groups panels."""
    return f"ib_{quantity}{'_held_out' if split == 'held_out' else ''}"


def final_key(quantity: str, split: str, layer: str, *, fall: bool = False) -> str:
    """Where the summary holds a layer's last headline value, or how far that lies below its peak."""
    return f"{FINAL}{headline_prefix(quantity, split)[3:]}{'_fall' if fall else ''}/{layer}"


def mean_key(quantity: str, split: str = "", *, fall: bool = False) -> str:
    """Where the summary holds the mean over layers, a name that runs with different layers share."""
    return f"ib_mean/{headline_prefix(quantity, split)[3:]}{'_fall' if fall else ''}"


def metrics_of(e: Estimate, layer: str) -> dict[str, float | int | str]:
    """The metrics of one estimate: the headline where people look, everything else under ``ib_detail``.

    Args:
        e: the estimate.
        layer: its layer's key.
    """
    detail = f"ib_detail/{e.quantity}/{e.estimator}/{e.split}/{layer}"
    values = {name: getattr(e, name) for name in DETAILS}
    metrics: dict[str, float | int | str] = {f"{detail}/{name}": v for name, v in values.items() if v is not None}
    metrics[f"{detail}/flags"] = ",".join(sorted(e.flags))
    metrics[f"{detail}/view"] = e.view
    if e.headline and e.quantity in HEADLINES:
        metrics[f"{headline_prefix(e.quantity, e.split)}/{layer}"] = e.nats
    return metrics


class Measured(NamedTuple):
    """What the details of one estimate are of, as its keys say it."""

    quantity: str
    estimator: str
    split: str
    layer: str
    """The layer's key."""


def details_in(values: Mapping[str, Any]) -> dict[Measured, dict[str, Any]]:
    """The inverse of :func:`metrics_of`: the details among a row's or a summary's values, estimate by estimate."""
    found: dict[Measured, dict[str, Any]] = {}
    for key, value in values.items():
        if key.startswith("ib_detail/") and key.count("/") > 4:
            _, quantity, estimator, split, rest = key.split("/", 4)
            layer, _, name = rest.rpartition("/")
            found.setdefault(Measured(quantity, estimator, split, layer), {})[name] = value
    return found


def layer_names(layers: Iterable[str]) -> dict[str, str]:
    """The inverse of :func:`layer_key`; keys that two of the layers would have are left out."""
    keys = {name: layer_key(name) for name in layers}
    shared = Counter(keys.values())
    return {key: name for name, key in keys.items() if shared[key] == 1}


def summary_of(estimates: Iterable[Estimate], keys: LayerKeys, *, each: bool) -> dict[str, float | int]:
    """Summary values: the last headline values, their falls, their means over layers, and the step.

    Args:
        estimates: all of a run, in the order of their steps.
        keys: of the layers.
        each: whether to give each layer's values beside the means.
    """
    last = {(e.quantity, e.split, e.layer): e for e in estimates if e.headline and e.quantity in HEADLINES}
    found: dict[str, float | int] = {FINAL_STEP: max(e.step for e in last.values())} if last else {}
    means: dict[str, list[float]] = defaultdict(list)
    for (quantity, split, layer), e in last.items():
        for fall, value in ((False, e.nats), (True, e.fall)):
            if value is not None:
                means[mean_key(quantity, split, fall=fall)].append(value)
                if each:
                    found[final_key(quantity, split, keys[layer], fall=fall)] = value
    return found | {key: fmean(values) for key, values in means.items()}

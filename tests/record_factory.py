"""Records with every field set, so that a test names only what it is about."""

from __future__ import annotations

from typing import Any

from ibprobe.record.records import Estimate

INF = float("inf")


def estimate(**changes: Any) -> Estimate:
    """A plausible bracket of I(X;T̃), changed as asked."""
    fields: dict[str, Any] = {
        "step": 40, "layer": "fc1", "quantity": "I_XT", "nats": 5.25, "headline": True, "ci_low": 5.0, "ci_high": 5.5,
        "lower_confidence": 5.05, "bracket_low": 5.1, "bracket_low_se": 0.02, "bracket_high": 5.4,
        "bracket_high_se": 0.03, "ceiling": 7.6, "ceiling_name": "ln(distinct rows)", "rows": 2000,
        "distinct_rows": 1998, "dropped_rows": 2, "span": (38, 40), "split": "train", "mode": "replay",
        "target": "population", "view": "flatten", "dim": 64, "noise": "relative", "sigma": 0.25, "std": 1 / 3,
        "estimator": "channel", "bound": "kernel", "ess": None, "effective_rank": 12.5,
        "dead_share": 0.25, "peak_step": 5, "fall": 0.75, "fall_low": 0.5, "fall_high": 1.0, "rank": 1, "seconds": 0.1,
        "flags": frozenset({"few_rows"}),
    }  # fmt: skip
    return Estimate(**fields | changes)


def interval(quantity: str, low: float, high: float, **changes: Any) -> Estimate:
    """A bracket whose 95 % interval is ``[low, high]``."""
    around = {"nats": (low + high) / 2, "ci_low": low, "ci_high": high, "lower_confidence": low}
    ends = {"bracket_low": low, "bracket_high": high}
    limit = {"ceiling": 2.3, "ceiling_name": "H(Y)"} if quantity == "I_TY" else {}
    return estimate(**{"quantity": quantity} | around | ends | limit | changes)


def critic(quantity: str, nats: float, se: float = 0.1, **changes: Any) -> Estimate:
    """A held-out MINE value: a lower bound, with no upper end."""
    around = {"nats": nats, "ci_low": nats - 1.96 * se, "ci_high": nats + 1.96 * se, "estimator": "mine"}
    ends = {"bracket_low": None, "bracket_low_se": None, "bracket_high": None, "bracket_high_se": None}
    limit = {"ceiling": 2.3, "ceiling_name": "H(Y)"} if quantity == "I_TY" else {}
    made = {"quantity": quantity, "lower_confidence": nats - 1.645 * se, "bound": "dv", "ess": 900.0}
    return estimate(**made | around | ends | limit | changes)

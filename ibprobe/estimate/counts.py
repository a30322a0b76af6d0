"""Records that are counted, where there is no noise to measure through."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from ibprobe.estimate.ends import WIDE, Bracket
from ibprobe.estimate.kernel import Terms
from ibprobe.record.records import Estimate

if TYPE_CHECKING:
    from jaxtyping import Int
    from torch import Tensor


def entropy_of(symbols: Int[Tensor, " n"]) -> float:
    """Entropy of the symbols' shares, in nats (plug-in)."""
    p = torch.unique(symbols, return_counts=True)[1].double() / len(symbols)
    return float((p * -p.log()).sum())


def counted(base: Estimate, kept: Int[Tensor, " n"], nats: float, draws: int) -> Bracket:
    """A count; of a constant layer, every row is known to add nothing."""
    nothing = torch.zeros(draws, len(kept), dtype=torch.float64, device=kept.device)
    return Bracket(_exactly(base, nats), kept, Terms(nothing, nothing) if "constant" in base.flags else None)


def _exactly(base: Estimate, nats: float) -> Estimate:
    """A count, which is certain only about these rows, not about a population or a layer that draws at random."""
    certain = "deterministic" not in base.flags or (base.target == "probe_set" and "stochastic" not in base.flags)
    floor = nats if certain else 0.0
    near = {"at_ceiling"} if base.quantity != "I_TY" and base.ceiling > 0 and nats > base.ceiling - WIDE else set()
    return replace(base, nats=nats, ci_low=floor, ci_high=nats, lower_confidence=floor, flags=base.flags | near)

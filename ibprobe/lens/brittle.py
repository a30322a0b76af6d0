"""Robust and brittle: runs of equal accuracy on held-out rows and of different accuracy on shifted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean

from ibprobe.lens.effects import SEEDS_FOR_A_VERDICT, Effect, judged, paired
from ibprobe.lens.runs import HELD_OUT, SHIFTED, Key, Run

EQUAL, DIFFERENT = 0.005, 0.02
"""Shares of rows: held-out accuracies that differ by less are equal, shifted ones that differ by more are different."""
RECORDS = ("I_XT", "I_TY", "I_XT_given_Y", "fall", "effective_rank")


@dataclass(frozen=True, slots=True)
class Telling:
    """Whether a layer's record tells the robust run of a pair from the brittle one.

    A share is of a seed's pairs; 0.5 tells nothing. Pairs are of one seed, so that no seed counts twice; shares of
    seeds are averaged, with Student's interval.
    """

    pairs: int
    lower: Mapping[Key, Effect]
    """Share of the pairs in which the robust run has the lower value, less 0.5."""
    unseen: Effect
    """The check: the record and the direction that tell most in all other seeds, tried on each seed in turn. Share of
    its pairs that they get right, less 0.5."""
    right: int
    """Pairs of all seeds that the check got right."""
    chosen: Key
    """The record that is chosen when all seeds are seen."""

    @property
    def tells(self) -> bool | None:
        """Whether some record tells them apart in seeds that did not choose it; None: not decided."""
        return {"more": True, "less": False, "no effect": False}.get(self.unseen.verdict)


def telling(runs: Sequence[Run], *, fewest: int = SEEDS_FOR_A_VERDICT) -> Telling | None:
    """Look for records that tell pairs apart; None where no two seeds have a pair.

    Args:
        runs: of a design, with accuracies on shifted rows.
        fewest: seeds with a pair without which there is no verdict.
    """
    pairs = _pairs(runs)
    common = set.intersection(*(set(run.values) for run in runs)) if runs else set()
    keys = sorted(k for k in common if k.how == "training" and k.quantity in RECORDS)
    if len(pairs) < 2 or not keys:
        return None
    shares = {key: {seed: _share_lower(of, key) - 0.5 for seed, of in pairs.items()} for key in keys}
    lower = judged({k: paired(list(of.values())) for k, of in shares.items()}, fewest=fewest)
    unseen = {}
    for seed in pairs:
        key, sign = _choice(shares, [other for other in pairs if other != seed])
        unseen[seed] = sign * shares[key][seed]
    right = round(sum((share + 0.5) * len(pairs[seed]) for seed, share in unseen.items()))
    check = judged({"": paired(list(unseen.values()))}, fewest=fewest, negligible=0.1)[""]
    return Telling(sum(map(len, pairs.values())), lower, check, right, _choice(shares, list(pairs))[0])


def _pairs(runs: Sequence[Run]) -> dict[int, list[tuple[Run, Run]]]:
    """By seed, the robust run of each pair first."""
    found: dict[int, list[tuple[Run, Run]]] = {}
    told = [run for run in runs if HELD_OUT in run.values and SHIFTED in run.values]
    for a, b in combinations(told, 2):
        apart = a.values[SHIFTED] - b.values[SHIFTED]
        if a.seed == b.seed and abs(a.values[HELD_OUT] - b.values[HELD_OUT]) <= EQUAL and abs(apart) >= DIFFERENT:
            found.setdefault(a.seed, []).append((a, b) if apart > 0 else (b, a))
    return found


def _share_lower(pairs: Sequence[tuple[Run, Run]], key: Key) -> float:
    """Ties count half."""
    apart = [brittle.values[key] - robust.values[key] for robust, brittle in pairs]
    return fmean(1.0 if d > 0 else 0.5 if d == 0 else 0.0 for d in apart)


def _choice(shares: Mapping[Key, Mapping[int, float]], seeds: Sequence[int]) -> tuple[Key, float]:
    means = {key: fmean(of[seed] for seed in seeds) for key, of in shares.items()}
    best = max(means, key=lambda key: abs(means[key]))
    return best, 1.0 if means[best] > 0 else -1.0

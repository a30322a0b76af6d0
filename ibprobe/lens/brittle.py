"""Robust and brittle: runs of equal accuracy on held-out rows and of different accuracy on shifted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ibprobe.lens.effects import SEEDS_FOR_A_VERDICT, Effect, judged
from ibprobe.lens.runs import HELD_OUT, SHIFTED, Key, Run

EQUAL, DIFFERENT = 0.005, 0.02
"""Shares of rows: held-out accuracies that differ by less are equal, shifted ones that differ by more are different."""
Array = np.ndarray[Any, np.dtype[Any]]
RECORDS = ("I_XT", "I_TY", "I_XT_given_Y", "fall", "effective_rank")


@dataclass(frozen=True, slots=True)
class Telling:
    """Whether a layer's record tells the robust run of a pair from the brittle one.

    Shares of pairs, less 0.5: at 0 a record tells nothing. Pairs are of one seed and two settings; settings are what is
    independent, so intervals and p are from what is found when settings swap their records, all seeds alike.
    """

    pairs: int
    lower: Mapping[Key, Effect]
    """Pairs in which the robust run has the lower value; their ``seeds`` are the settings that occur."""
    unseen: Effect
    """The check: for each pair, the record and the direction that tell most among all pairs of other seeds and other
    settings; pairs that these get right."""
    right: int
    """How many those are; ties, and pairs without such others, count half."""
    chosen: Key
    """The record that is chosen when all pairs are seen."""

    @property
    def tells(self) -> bool | None:
        """Whether some record tells pairs apart that did not choose it; None: not decided."""
        return {"more": True, "less": False, "no effect": False}.get(self.unseen.verdict)


def telling(runs: Sequence[Run], *, fewest: int = SEEDS_FOR_A_VERDICT) -> Telling | None:
    """Look for records that tell pairs apart; None where there are no pairs of four settings or more.

    Args:
        runs: of a design, with accuracies on shifted rows.
        fewest: settings and seeds in pairs without which there is no verdict.
    """
    told = [run for run in runs if HELD_OUT in run.values and SHIFTED in run.values and not run.order]
    pairs = _pairs(told)
    keys = list(dict.fromkeys(k for r in told for k in r.values if k.how == "training" and k.quantity in RECORDS))
    occurring = {run.others("") for pair in pairs for run in pair}
    if len(occurring) < FEWEST_SETTINGS or not keys:
        return None
    table = _Table.of(told, pairs, keys)
    scores = table.scores(np.arange(len(table.settings)))
    unseen = _unseen(scores, table)
    draw = np.random.default_rng(0)
    null = [table.scores(draw.permutation(len(table.settings))) for _ in range(_DRAWS)]
    units = min(len(occurring), len({robust.seed for robust, _ in pairs}))
    lower = _against(scores.mean(1), np.array([s.mean(1) for s in null]), units)
    check = _against(unseen.mean(keepdims=True), np.array([[_unseen(s, table).mean()] for s in null]), units)
    return Telling(
        len(pairs),
        judged(dict(zip(keys, lower, strict=True)), fewest=fewest),
        judged({"": check[0]}, fewest=fewest, negligible=0.1)[""],
        round(float((unseen + 0.5).sum())),
        keys[int(np.abs(scores.mean(1)).argmax())],
    )


FEWEST_SETTINGS, _DRAWS = 4, 499


def _pairs(runs: Sequence[Run]) -> list[tuple[Run, Run]]:
    """The robust run of each pair first."""
    found = []
    for a, b in combinations(runs, 2):
        apart = a.values[SHIFTED] - b.values[SHIFTED]
        if a.seed == b.seed and abs(a.values[HELD_OUT] - b.values[HELD_OUT]) <= EQUAL and abs(apart) >= DIFFERENT:
            found.append((a, b) if apart > 0 else (b, a))
    return found


@dataclass(frozen=True, slots=True)
class _Table:
    """Records by key, seed and setting, and the pairs as indices into them."""

    settings: Sequence[str]
    values: Array
    seed: Array
    robust: Array
    brittle: Array

    @classmethod
    def of(cls, runs: Sequence[Run], pairs: Sequence[tuple[Run, Run]], keys: Sequence[Key]) -> _Table:
        seeds, settings = sorted({run.seed for run in runs}), sorted({run.others("") for run in runs})
        values = np.full((len(keys), len(seeds), len(settings)), np.nan)
        for run in runs:
            at = seeds.index(run.seed), settings.index(run.others(""))
            values[:, at[0], at[1]] = [run.values.get(key, np.nan) for key in keys]
        robust, brittle = (np.array([settings.index(pair[i].others("")) for pair in pairs]) for i in (0, 1))
        return cls(settings, values, np.array([seeds.index(a.seed) for a, _ in pairs]), robust, brittle)

    def scores(self, order: Array) -> Array:
        """0.5 where the robust run has the lower value, −0.5 where it has the higher one, 0 where neither is known.

        Args:
            order: whose record each setting gets.

        Returns:
            (keys, pairs).
        """
        robust, brittle = (self.values[:, self.seed, order[of]] for of in (self.robust, self.brittle))
        scores: Array = np.nan_to_num(0.5 * np.sign(brittle - robust))
        return scores

    def of_others(self, scores: Array) -> Array:
        """Sums over the pairs that share neither seed nor setting with each; (keys, pairs).

        Those are all, less those of its seed and of each of its settings, and back what was taken away twice. A matrix
        of pairs by pairs would need gigabytes for a full grid.
        """
        many, seeds = len(self.settings), int(self.seed.max(initial=0)) + 1
        ends = (self.robust, self.brittle)
        both = np.minimum(*ends) * many + np.maximum(*ends)
        seed = _sums(scores, [self.seed], seeds)
        setting, pair = _sums(scores, ends, many), _sums(scores, [both], many * many)
        of_seed = _sums(scores, [self.seed * many + end for end in ends], seeds * many)
        sums: Array = scores.sum(1, keepdims=True) - seed[:, self.seed] + pair[:, both] - scores
        for end in ends:
            sums += of_seed[:, self.seed * many + end] - setting[:, end]
        return sums


def _sums(scores: Array, groups: Sequence[Array], many: int) -> Array:
    """Sums of scores by group; a pair may be in several; (keys, many)."""
    return np.stack([sum(np.bincount(of, row, many) for of in groups) for row in scores])


def _unseen(scores: Array, table: _Table) -> Array:
    """Each pair's score by the record and the direction that its others choose; (pairs,)."""
    sums = table.of_others(scores)
    best = np.abs(sums).argmax(0)
    each = np.arange(len(best))
    return np.asarray(np.sign(sums[best, each]) * scores[best, each])


def _against(observed: Array, null: Array, units: int) -> list[Effect]:
    """Effects with an interval as wide as chance is, and the share of chance that is as large; one a column."""
    half = np.quantile(np.abs(null), 0.95, axis=0)
    p = (1 + (np.abs(null) >= np.abs(observed)).sum(0)) / (1 + len(null))
    return [
        Effect(mean, mean - width, mean + width, 0, units, of)
        for mean, width, of in zip(observed.tolist(), half.tolist(), p.tolist(), strict=True)
    ]

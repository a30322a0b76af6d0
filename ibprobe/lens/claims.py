"""What is said about regularizers, restated so that a design can decide it, and what this one found."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from ibprobe.lens.association import Association
from ibprobe.lens.brittle import Telling
from ibprobe.lens.compare import Comparison, Values, by_settings
from ibprobe.lens.effects import SEEDS_FOR_A_VERDICT, Effect, differences, judged, paired
from ibprobe.lens.runs import GAP, SHIFTED, Key, Run

Found = Literal["supported", "refuted", "not decided", "not in this design"]
Direction = Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One claim and what was found of it."""

    said: str
    tested: str
    """What would have to be seen."""
    found: Found
    numbers: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What claims are held against."""

    runs: Sequence[Run]
    comparisons: Mapping[str, Sequence[Comparison]]
    associations: Sequence[Association]
    telling: Telling | None
    split: str = "train"
    """Rows that networks were trained on."""
    fewest: int = SEEDS_FOR_A_VERDICT

    def strongest(self, factors: Sequence[str]) -> Comparison | None:
        """The level of the first of these factors that regularizes most; None where the baseline does."""
        name = next((name for name in factors if name in self.comparisons), None)
        more = [c for c in self.comparisons[name] if _stronger(c)] if name else []
        return max(reversed(more), key=_strength, default=None)


def _stronger(of: Comparison) -> bool:
    """Than the baseline; of words nobody knows."""
    if isinstance(of.level, str) or isinstance(of.baseline, str):
        return True
    return _strength(of) > _strength(replace(of, level=of.baseline))


def _strength(of: Comparison) -> float:
    """Least patience stops first, and none never does; of words, the last counts."""
    if isinstance(of.level, str):
        return math.inf
    return 1 / of.level if of.factor in _STOPPING and of.level else float(of.level)


def claims(evidence: Evidence) -> list[Claim]:
    """Every claim of the list with its verdict.

    A claim about layers is supported where it is found in half of them at least, and refuted where most show no effect
    or its opposite; where both directions are found, layers disagree and nothing is decided. What is found in one layer
    is decided by :func:`ibprobe.lens.effects.judged`.
    """
    return [Claim(said, tested, *test(evidence)) for said, tested, test in _CLAIMS]


_Answer = tuple[Found, str]
_Test = Callable[[Evidence], _Answer]
_ABSENT: _Answer = ("not in this design", "")


def _decided(effects: Mapping[str, Effect], direction: Direction) -> _Answer:
    if not effects:
        return _ABSENT
    words = [e.verdict for e in effects.values()]
    with_it, against = words.count(direction), words.count("less" if direction == "more" else "more")
    numbers = "; ".join(f"{layer} {_told(e)}" for layer, e in effects.items())
    if with_it and against:
        return "not decided", f"layers disagree; {numbers}"
    if 2 * with_it >= len(words):
        return "supported", numbers
    return ("refuted" if 2 * (against + words.count("no effect")) > len(words) else "not decided"), numbers


def _told(e: Effect) -> str:
    return e.shown() + ("" if e.verdict == "not decided" else f": {e.verdict}")


def _moves(factors: Sequence[str], quantity: str, direction: Direction, how: str = "training", on: str = "") -> _Test:
    """The strongest level moves layers in this direction."""

    def test(evidence: Evidence) -> _Answer:
        comparison = evidence.strongest(factors)
        return _decided(comparison.select(how, on or evidence.split, quantity) if comparison else {}, direction)

    return test


def _goes_with(quantity: str, outcome: Key, direction: Direction) -> _Test:
    """The record is rank-correlated with the outcome over settings."""

    def test(evidence: Evidence) -> _Answer:
        of = {
            a.record.layer: a.correlation
            for a in evidence.associations
            if (a.record.quantity, a.outcome, a.across) == (quantity, outcome, "settings")
        }
        return _decided(of, direction)

    return test


def _spreads(factors: Sequence[str]) -> _Test:
    """Over seeds, distances from the median are larger (Brown and Forsythe 1974, paired)."""

    def test(evidence: Evidence) -> _Answer:
        comparison = evidence.strongest(factors)
        if comparison is None:
            return _ABSENT
        level, base = (
            {
                k.layer: _distances(of)
                for k, of in by_settings(evidence.runs, comparison.factor, at).items()
                if (k.how, k.split, k.quantity) == ("training", evidence.split, "I_XT")
            }
            for at in (comparison.level, comparison.baseline)
        )
        apart = {layer: differences(level[layer], base[layer]) for layer in level if layer in base}
        # Two seeds are equally far from their median: one difference, said twice.
        raw = {layer: paired(of if len(of) > 2 else of[:1]) for layer, of in apart.items()}
        # Seeds spread by less than what is negligible of a value, so that there is no such line here.
        return _decided(judged(raw, fewest=evidence.fewest), "more")

    return test


def _distances(values: Values) -> Values:
    of: dict[str, list[float]] = {}
    for (_, others), value in values.items():
        of.setdefault(others, []).append(value)
    middles = {others: median(found) for others, found in of.items()}
    return {(seed, others): abs(value - middles[others]) for (seed, others), value in values.items()}


def _masks(evidence: Evidence) -> _Answer:
    """With masks drawn less than in eval mode, in the runs of the strongest level."""
    comparison = evidence.strongest(_DROPOUT)
    if comparison is None:
        return _ABSENT
    values = by_settings(evidence.runs, comparison.factor, comparison.level)
    raw = {
        k.layer: paired(differences(values[k], values[k._replace(how="training")]))
        for k in values
        if (k.how, k.split, k.quantity) == ("sampled", evidence.split, "I_XT") and k._replace(how="training") in values
    }
    return _decided(judged(raw, fewest=evidence.fewest, negligible=0.1), "less")


def _tells(evidence: Evidence) -> _Answer:
    found = evidence.telling
    if found is None:
        return _ABSENT
    numbers = f"right in {found.right} of {found.pairs} pairs; share less a half {found.unseen.shown()}"
    if found.tells is None:
        return "not decided", numbers
    return ("supported" if found.tells else "refuted"), numbers


_DROPOUT, _DECAY = ("dropout",), ("weight_decay",)
_AUGMENTATION, _STOPPING = ("augmentation",), ("patience", "early_stopping")
_CLAIMS: Sequence[tuple[str, str, _Test]] = (
    (
        "Dropout raises the variance of I(X;Z).",
        "I(X;T̃) spreads more over seeds at its strongest level.",
        _spreads(_DROPOUT),
    ),
    (
        "Dropout makes a network average over noisy representations.",
        "With masks drawn, layers tell less of X than in eval mode.",
        _masks,
    ),
    (
        "Dropout compresses.",
        "Less I(X;T̃) in eval mode, at relative noise.",
        _moves(_DROPOUT, "I_XT", "less"),
    ),
    (
        "Weight decay pushes activations to smaller magnitudes …",
        "Less I(X;T̃) at noise that is the same for all runs.",
        _moves(_DECAY, "I_XT", "less", how="absolute"),
    ),
    (
        "… which compresses the representation.",
        "Less I(X;T̃) at noise relative to each layer's own spread, too: more than scale.",
        _moves(_DECAY, "I_XT", "less"),
    ),
    (
        "Augmentation raises the effective I(X;Y).",
        "More I(T̃;Y) on held-out rows (no function of X can raise I(X;Y) itself).",
        _moves(_AUGMENTATION, "I_TY", "more", on="held_out"),
    ),
    (
        "Augmentation makes layers forget what the label does not need.",
        "Less I(X;T̃|Y) on training rows.",
        _moves(_AUGMENTATION, "I_XT_given_Y", "less"),
    ),
    (
        "Early stopping compresses.",
        "Less I(X;T̃) at the end of runs that stop early.",
        _moves(_STOPPING, "I_XT", "less"),
    ),
    (
        "Compression drives generalisation.",
        "Over settings, a larger fall from the peak goes with a smaller gap (a correlation, no cause).",
        _goes_with("fall", GAP, "less"),
    ),
    (
        "The robust model has the more compressed representation.",
        "Over settings, less I(X;T̃) goes with higher accuracy on shifted rows.",
        _goes_with("I_XT", SHIFTED, "less"),
    ),
    (
        "The brittle model memorised irrelevant details.",
        "Over settings, less I(X;T̃|Y) goes with higher accuracy on shifted rows.",
        _goes_with("I_XT_given_Y", SHIFTED, "less"),
    ),
    (
        "Of two models of equal held-out accuracy, the representation tells which is brittle.",
        "Among pairs whose seeds and settings did not choose it, some layer's record does.",
        _tells,
    ),
)

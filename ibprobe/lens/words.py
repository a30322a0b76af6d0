"""What runs show, in words: one verdict a level, what is of all runs together, and the limits of all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ibprobe.lens.association import Association
from ibprobe.lens.brittle import DIFFERENT, EQUAL, FEWEST_SETTINGS
from ibprobe.lens.compare import Comparison
from ibprobe.lens.design import PLACEBO
from ibprobe.lens.effects import FALSE_DISCOVERIES, Effect, Verdict
from ibprobe.lens.findings import Findings
from ibprobe.lens.runs import NAMES, SHIFTED


def title_of(comparison: Comparison) -> str:
    """Level and baseline."""
    if comparison.factor == PLACEBO:
        return "placebo, another order of the data"
    return f"{comparison.factor} = {comparison.level} against {comparison.baseline}"


def verdict(comparison: Comparison, found: Findings) -> str:
    """One sentence on what a level does to the layers' I(X;T̃), or to what training functions kept."""
    effects = comparison.judged_by(found.split)
    seeds = max((e.seeds for e in effects.values()), default=0)
    if seeds < found.fewest:
        few = f"{seeds} seed{'s are' if seeds != 1 else ' is'} too few ({found.fewest} are asked for)"
        # Values that were kept have units of their own, so that none is the largest.
        largest = "" if comparison.kept else f"; {_largest(effects)}"
        return f"{title_of(comparison)}: not decided, for {few}{largest}"
    of = "" if comparison.kept else " of X"
    parts = [
        f"{shown}{of if word in ('less', 'more') else ''} in {', '.join(layers)}"
        for word, shown in _SHOWN.items()
        if (layers := [name for name, e in effects.items() if e.verdict == word])
    ]
    return f"{title_of(comparison)}: {'; '.join(parts)}{_scale(comparison, found.split)}"


_SHOWN: Mapping[Verdict, str] = {
    "less": "less", "more": "more", "no effect": "no effect", "not decided": "not decided",
}  # fmt: skip


def _largest(effects: Mapping[str, Effect]) -> str:
    if not effects:
        return "nothing was measured"
    name, effect = max(effects.items(), key=lambda item: abs(item[1].mean))
    return f"largest difference of {NAMES['I_XT']}, in nats, in {name}: {effect}"


def _scale(comparison: Comparison, split: str) -> str:
    """Effects at absolute noise that relative noise does not show are of the scale of activations."""
    relative = comparison.select("training", split, "I_XT")
    absolute = comparison.select("absolute", split, "I_XT")
    only = [n for n, e in absolute.items() if _found(e) and n in relative and relative[n].verdict == "no effect"]
    return f"; a matter of scale only in {', '.join(only)}" if only else ""


def _found(effect: Effect) -> bool:
    return effect.verdict in ("more", "less")


def placebo(found: Findings) -> str:
    """What the placebo shows; nothing where there is none, or where nothing is decided."""
    of = found.comparisons.get(PLACEBO, ())
    effects = {k: e for c in of for k, e in c.effects.items() if e.seeds >= found.fewest}
    kinds = {(k.how, k.split, k.quantity) for k in effects}
    alarms = {(k.how, k.split, k.quantity) for k, e in effects.items() if _found(e)}
    if not kinds:
        return ""
    return (
        f"The placebo shows an effect in {len(alarms)} of {len(kinds)} kinds of values; by chance, one kind in "
        f"{round(1 / FALSE_DISCOVERIES)} does"
    )


def telling_words(found: Findings) -> str:
    """Whether records tell robust runs from brittle ones."""
    told = found.telling
    if told is None and not any(SHIFTED in run.values for run in found.runs):
        return "Robust and brittle runs are not told apart, for no accuracy on shifted rows was measured"
    if told is None:
        return (
            f"Robust and brittle runs are not told apart: pairs of a seed with held-out accuracies within {EQUAL:.1%} "
            f"and shifted ones at least {DIFFERENT:.0%} apart are of fewer than {FEWEST_SETTINGS} settings"
        )
    if told.unseen.seeds < found.fewest:
        return (
            f"Not decided whether records tell robust runs from brittle ones: {told.pairs} pairs of runs with equal "
            f"held-out accuracies are of too few seeds or settings ({found.fewest} of each are asked for)"
        )
    word = {True: "Records tell", False: "Records do not tell", None: "Not decided whether records tell"}[told.tells]
    key, share = told.chosen, told.unseen
    return (
        f"{word} the robust run from the brittle one where neither seed nor settings chose the record: right in "
        f"{told.right} of {told.pairs} pairs, share less a half {share.shown()}. Chosen from all pairs: "
        f"{NAMES.get(key.quantity, key.quantity)} of {key.layer}, {key.split.replace('_', ' ')} rows"
    )


def verdicts(found: Findings, factors: Sequence[str] = ()) -> Iterator[str]:
    """One line a level, then what is of all runs together."""
    for name in factors or found.comparisons:
        yield from (f"- {verdict(c, found)}" for c in found.comparisons[name])
    if not factors:
        yield from (f"- {text}" for text in (placebo(found), telling_words(found)) if text)


def cell(e: Effect, digits: int = 2) -> str:
    """An effect in a table; one without a word is not decided."""
    word = "" if e.verdict == "not decided" else f": {e.verdict}"
    return f"{e.shown(digits)}, {e.higher}/{e.seeds}{word}"


def association_cell(a: Association | None) -> str:
    """A rank correlation in a table."""
    if a is None:
        return "–"
    word = {"more": ": rises with it", "less": ": falls with it", "not decided": ""}[a.correlation.verdict]
    return f"{a.correlation.shown()}{word}"


def limits(found: Findings) -> str:
    """How many runs, what does not count, and which verdicts mean what."""
    return (
        f"{len(found.runs)} runs of {found.seeds} seeds; {found.flagged} flagged values do not count. "
        "Differences are paired by seed, with 95 % intervals and the number of seeds that are higher; one without a "
        f"word is not decided. False discoveries at {FALSE_DISCOVERIES:.0%} over the layers of a column; no verdict "
        f"below {found.fewest} seeds"
    )

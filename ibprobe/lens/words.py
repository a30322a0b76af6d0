"""What runs show, in words: one verdict a level, tables of paired differences, claims, and the limits of all of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ibprobe.lens.association import Association
from ibprobe.lens.brittle import DIFFERENT, EQUAL, FEWEST_SETTINGS
from ibprobe.lens.chart_effects import NAMES
from ibprobe.lens.compare import Comparison
from ibprobe.lens.design import PLACEBO
from ibprobe.lens.effects import FALSE_DISCOVERIES, Effect, Verdict
from ibprobe.lens.findings import Findings
from ibprobe.lens.runs import GAP, SHIFTED, Key

Column = tuple[str, dict[str, Effect]]


def title_of(comparison: Comparison) -> str:
    """Level and baseline."""
    if comparison.factor == PLACEBO:
        return "placebo, another order of the data"
    return f"{comparison.factor} = {comparison.level} against {comparison.baseline}"


def verdict(comparison: Comparison, found: Findings) -> str:
    """One sentence on what a level does to the layers' I(X;T̃)."""
    effects = comparison.select("training", found.split, "I_XT")
    seeds = max((e.seeds for e in effects.values()), default=0)
    if seeds < found.fewest:
        few = f"{seeds} seed{'s are' if seeds != 1 else ' is'} too few ({found.fewest} are asked for)"
        return f"{title_of(comparison)}: not decided, for {few}; {_largest(effects)}"
    parts = [
        f"{shown} in {', '.join(layers)}"
        for word, shown in _SHOWN.items()
        if (layers := [name for name, e in effects.items() if e.verdict == word])
    ]
    return f"{title_of(comparison)}: {'; '.join(parts)}{_scale(comparison, found.split)}"


_SHOWN: Mapping[Verdict, str] = {
    "less": "less of X", "more": "more of X", "no effect": "no effect", "not decided": "not decided",
}  # fmt: skip


def _largest(effects: Mapping[str, Effect]) -> str:
    if not effects:
        return "nothing was measured"
    name, effect = max(effects.items(), key=lambda item: abs(item[1].mean))
    return f"largest difference, in nats, in {name}: {effect}"


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


def markdown(found: Findings, factors: Sequence[str] = ()) -> Iterator[str]:
    """Verdicts, then a table a level, then what goes along with what, claims and limits.

    Args:
        found: everything.
        factors: only these, without what is of all factors together.
    """
    comparisons = [c for name in (factors or found.comparisons) for c in found.comparisons[name]]
    yield from verdicts(found, factors)
    yield from _overview(comparisons, found.split)
    for comparison in comparisons:
        yield from ("", f"### {title_of(comparison)[0].upper()}{title_of(comparison)[1:]}", "")
        yield from _rows("layer", columns(comparison, found.split))
        yield from _outcomes(comparison)
    for name in factors or found.doses:
        if name in found.doses:
            yield from ("", f"### Along {name}, change a level", "")
            yield from _rows("layer", slopes(found, name))
    if not factors:
        yield from _associations(found)
        yield from _claims(found)
    if found.said:
        yield from ("", "### What is missing", "", *(f"- {line}" for line in found.said))
    yield from ("", limits(found))


def overview(comparisons: Sequence[Comparison], split: str) -> tuple[list[str], dict[str, dict[str, Effect]]]:
    """Layers, and the effects on each one's I(X;T̃) at relative noise by level."""
    rows = {title_of(c): c.select("training", split, "I_XT") for c in comparisons}
    return list(dict.fromkeys(layer for of in rows.values() for layer in of)), rows


def _overview(comparisons: Sequence[Comparison], split: str) -> Iterator[str]:
    layers, rows = overview(comparisons, split)
    yield from ("", "### I(X;T̃) at relative noise, nats", "")
    yield from ("| | " + " | ".join(map(_escaped, layers)) + " |", "| --- |" + " ---: |" * len(layers))
    for name, of in rows.items():
        cells = (cell(of[layer]) if layer in of else "–" for layer in layers)
        yield "| " + " | ".join([_escaped(name), *cells]) + " |"


def columns(comparison: Comparison, split: str) -> list[Column]:
    """The effects that a table shows, by layer."""
    of = (
        ("I(X;T̃), nats", "training", split, "I_XT"),
        ("at absolute noise, nats", "absolute", split, "I_XT"),
        ("masks drawn, nats", "sampled", split, "I_XT"),
        ("I(T̃;Y) held out, nats", "training", "held_out", "I_TY"),
        ("I(T̃;Y), nats", "training", split, "I_TY"),
        ("I(X;T̃\\|Y), nats", "training", split, "I_XT_given_Y"),
        ("fall from the peak, nats", "training", split, "fall"),
        ("spread √tr Cov(T)", "training", split, "r"),
        ("effective rank", "training", split, "effective_rank"),
    )
    return [(name, effects) for name, *what in of if (effects := comparison.select(*what))]


def slopes(found: Findings, factor: str) -> list[Column]:
    """Change from level to level, by layer."""
    of = found.doses[factor].slopes
    made = []
    for quantity in ("I_XT", "I_XT_given_Y", "I_TY", "fall"):
        effects = {
            k.layer: e for k, e in of.items() if (k.how, k.split, k.quantity) == ("training", found.split, quantity)
        }
        name = _escaped(NAMES[quantity])
        made += [(f"{name}, nats", effects)] if effects else []
    return made


def _rows(head: str, of: Sequence[Column]) -> Iterator[str]:
    layers = dict.fromkeys(layer for _, effects in of for layer in effects)
    yield f"| {head} | " + " | ".join(name for name, _ in of) + " |"
    yield "| --- |" + " ---: |" * len(of)
    for layer in layers:
        yield (
            f"| {_escaped(layer)} | "
            + " | ".join(cell(effects[layer]) if layer in effects else "–" for _, effects in of)
            + " |"
        )


def _escaped(text: str) -> str:
    """As Markdown's tables need it."""
    return text.replace("|", "\\|")


def cell(e: Effect, digits: int = 2) -> str:
    """An effect in a table; one without a word is not decided."""
    word = "" if e.verdict == "not decided" else f": {e.verdict}"
    return f"{e.shown(digits)}, {e.higher}/{e.seeds}{word}"


def outcomes(comparison: Comparison) -> dict[str, Effect]:
    """Effects on accuracies, the gap and the norms of weights, by what they are called."""
    named = {}
    for key, e in comparison.effects.items():
        if key.how == "outcome":
            named[_outcome_name(key)] = e
    return named


def _outcome_name(key: Key) -> str:
    if key.quantity == "norm":
        return f"norm of {key.layer}"
    return "generalisation gap" if key.quantity == "gap" else f"accuracy, {key.split.replace('_', ' ')} rows"


def _outcomes(comparison: Comparison) -> Iterator[str]:
    of_run = outcomes(comparison)
    if of_run:
        yield from ("", "| | difference |", "| --- | ---: |")
    yield from (f"| {_escaped(name)} | {cell(e, 3)} |" for name, e in of_run.items())


def associations(found: Findings) -> list[tuple[str, dict[str, Association]]]:
    """One row a record, outcome and way of looking across runs, with its layers."""
    rows: dict[str, dict[str, Association]] = {}
    for a in found.associations:
        outcome = "generalisation gap" if a.outcome == GAP else "accuracy on shifted rows"
        across = "over settings" if a.across == "settings" else "over chance within a setting"
        rows.setdefault(f"{NAMES[a.record.quantity]} and {outcome}, {across}", {})[a.record.layer] = a
    return list(rows.items())


def association_cell(a: Association | None) -> str:
    """A rank correlation in a table."""
    if a is None:
        return "–"
    word = {"more": ": rises with it", "less": ": falls with it", "not decided": ""}[a.correlation.verdict]
    return f"{a.correlation.shown()}{word}"


CLAIMS = ("what is said", "what would be seen", "found", "numbers (nats; of what goes along, rank correlations)")


def _associations(found: Findings) -> Iterator[str]:
    rows = associations(found)
    layers = list(dict.fromkeys(layer for _, of in rows for layer in of))
    if rows:
        yield from ("", "### What goes along with what", "", "Rank correlations, 95 %.", "")
        yield from ("| | " + " | ".join(map(_escaped, layers)) + " |", "| --- |" + " ---: |" * len(layers))
    for name, of in rows:
        cells = (association_cell(of.get(layer)) for layer in layers)
        yield "| " + " | ".join([_escaped(name), *cells]) + " |"


def _claims(found: Findings) -> Iterator[str]:
    yield from ("", "### Claims", "", "| " + " | ".join(CLAIMS) + " |", "| --- " * 4 + "|")
    for c in found.claims:
        cells = (c.said, c.tested, f"**{c.found}**", c.numbers)
        yield "| " + " | ".join(map(_escaped, cells)) + " |"


def limits(found: Findings) -> str:
    """How many runs, what does not count, and which verdicts mean what."""
    return (
        f"{len(found.runs)} runs of {found.seeds} seeds; {found.flagged} flagged values do not count. "
        "Differences are paired by seed, with 95 % intervals and the number of seeds that are higher; one without a "
        f"word is not decided. False discoveries at {FALSE_DISCOVERIES:.0%} over the layers of a column; no verdict "
        f"below {found.fewest} seeds"
    )

"""What a comparison found, as text: one verdict a level, one line a layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ibprobe.lens.compare import Comparison
from ibprobe.lens.design import PLACEBO
from ibprobe.lens.effects import SEEDS_FOR_A_VERDICT, Effect

_COLUMNS = (
    ("I(X;T̃)", "training", "train", "I_XT"),
    ("at absolute noise", "absolute", "train", "I_XT"),
    ("I(T̃;Y) held out", "training", "held_out", "I_TY"),
    ("I(X;T̃|Y)", "training", "train", "I_XT_given_Y"),
)


def verdict(comparison: Comparison, fewest: int = SEEDS_FOR_A_VERDICT) -> str:
    """One sentence on what a level does to the layers' I(X;T̃)."""
    effects = comparison.select("training", "train", "I_XT") or comparison.select("training", "probe_set", "I_XT")
    lead = f"{comparison.factor} = {comparison.level} against {comparison.baseline}"
    if comparison.factor == PLACEBO:
        lead = "placebo, another order of the data"
    seeds = max((e.seeds for e in effects.values()), default=0)
    if seeds < fewest:
        return f"{lead}: not decided, for {seeds} seeds are too few ({fewest} are asked for); {_largest(effects)}"
    parts = [
        f"{word} of X in {', '.join(layers)}"
        for word in ("less", "more")
        if (layers := [name for name, e in effects.items() if e.verdict == word])
    ]
    parts += [f"no effect in {', '.join(n)}"] if (n := _with(effects, "no effect")) else []
    parts += [f"not decided in {', '.join(n)}"] if (n := _with(effects, "not decided")) else []
    return f"{lead}: {'; '.join(parts)}"


def _with(effects: dict[str, Effect], word: str) -> list[str]:
    return [name for name, e in effects.items() if e.verdict == word]


def _largest(effects: dict[str, Effect]) -> str:
    if not effects:
        return "nothing was measured"
    name, effect = max(effects.items(), key=lambda item: abs(item[1].mean))
    return f"largest difference in {name}: {effect} nats"


def markdown(comparisons: Sequence[Comparison], fewest: int = SEEDS_FOR_A_VERDICT) -> Iterator[str]:
    """All levels of a factor: verdicts, then a table of paired differences."""
    for comparison in comparisons:
        yield f"- {verdict(comparison, fewest)}"
    for comparison in comparisons:
        yield from ("", f"### {comparison.factor} = {comparison.level} against {comparison.baseline}", "")
        columns = [(name, found) for name, *of in _COLUMNS if (found := comparison.select(*of))]
        layers = dict.fromkeys(layer for _, found in columns for layer in found)
        yield "| layer | " + " | ".join(f"{name}, nats" for name, _ in columns) + " |"
        yield "| --- |" + " ---: |" * len(columns)
        for layer in layers:
            cells = (_cell(found[layer]) if layer in found else "–" for _, found in columns)
            yield f"| {layer} | " + " | ".join(cells) + " |"
        yield from _outcomes(comparison)


def _cell(e: Effect) -> str:
    return f"{e.mean:+.2f} [{e.low:+.2f}, {e.high:+.2f}], {e.higher}/{e.seeds} higher: {e.verdict}"


def _outcomes(comparison: Comparison) -> Iterator[str]:
    of_run = {k: e for k, e in comparison.effects.items() if k.how == "outcome" and k.quantity in ("accuracy", "gap")}
    if of_run:
        yield from ("", "| | difference |", "| --- | ---: |")
    for key, e in of_run.items():
        name = "generalisation gap" if key.quantity == "gap" else f"accuracy, {key.split.replace('_', ' ')} rows"
        yield f"| {name} | {e.mean:+.3f} [{e.low:+.3f}, {e.high:+.3f}], {e.higher}/{e.seeds} higher |"

"""What a published table says, held against runs of one's own: does each column move along a factor as is said?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal

from ibprobe.errors import BadInput
from ibprobe.lens.compare import by_settings, factors_in
from ibprobe.lens.design import Setting
from ibprobe.lens.effects import Effect, differences, judged, paired
from ibprobe.lens.runs import Run, kept_as
from ibprobe.show.section import Cell, Line, Table

FEWEST_SEEDS = 5
"""Seeds without which nothing is decided here. Fewer than the lens asks for by itself: Student's interval is as wide as
few seeds make it, and what is asked is only the sign of a change that was predicted."""

Answer = Literal["agrees", "differs", "not decided"]
Said = Mapping[Setting, float]
"""A published column: its value at each level of the factor."""


def steps(runs: Sequence[Run], factor: str, name: str, levels: Sequence[Setting]) -> list[Effect]:
    """Changes of a kept value from each level to the next, paired by seed; false discoveries are held at 5 % over them.

    Raises:
        BadInput: the runs lack a level, or the value there.
    """
    values = [by_settings(runs, factor, level).get(kept_as(name), {}) for level in levels]
    raw = {n: paired(differences(above, below)) for n, (below, above) in enumerate(pairwise(values))}
    short = next((n for n, effect in raw.items() if not effect.seeds), None)
    if short is not None:
        known = ", ".join(map(str, factors_in(runs).get(factor, ())))
        raise BadInput(
            f"no seed has {name!r} at both {factor} = {levels[short]} and {levels[short + 1]}, which the published "
            f"table names; the runs have {known or 'one level only'}"
        )
    return list(judged(raw, fewest=FEWEST_SEEDS).values())


def answer(said: Said, found: Sequence[Effect]) -> Answer:
    """Whether runs move as a published column does; directions count, not sizes.

    ``agrees``: every step from level to level was found in the published direction. ``differs``: a step was found in
    the opposite one. ``not decided``: anything else.
    """
    directions = [_direction(b - a) for a, b in pairwise(said.values())]
    words = [effect.verdict for effect in found]
    if any({"more", "less"} == {word, direction} for word, direction in zip(words, directions, strict=True)):
        return "differs"
    return "agrees" if words == directions else "not decided"


def _direction(change: float) -> str:
    return "more" if change > 0 else "less" if change < 0 else "no effect"


def published_table(
    runs: Sequence[Run], factor: str, published: Mapping[str, Said], titles: Mapping[str, str]
) -> Table:
    """One row a column of a published table: what it says, what the runs show from level to level, and the answer.

    Args:
        runs: that kept the values.
        factor: the setting along which the table goes.
        published: by name of the value; several may be held against the same column.
        titles: of the values.

    Raises:
        BadInput: the runs lack a published level.
    """
    rows = []
    for name, said in published.items():
        found = steps(runs, factor, name, list(said))
        digits = 4 if max(abs(effect.mean) for effect in found) < 0.1 else 2
        changes = "; ".join(f"{e.shown(digits)}" + _word(e) for e in found)
        numbers = ", ".join(f"{value:g}" for value in said.values())
        rows.append(Line((Cell(titles[name]), Cell(numbers), Cell(changes), Cell(answer(said, found)))))
    head = ("column", "published", "change from level to level", "the runs' answer")
    levels = ", ".join(f"{level:g}" for level in next(iter(published.values())))
    text = (
        f"At {factor} = {levels}. Changes are paired by seed, with 95 % intervals; one without a word is not decided. "
        "Agrees: every change was found in the published direction; differs: one was found in the opposite direction."
    )
    return Table("published", "What was published, and what the runs say", head, tuple(rows), text)


def _word(effect: Effect) -> str:
    return "" if effect.verdict == "not decided" else f": {effect.verdict}"

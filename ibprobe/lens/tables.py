"""The tables below the charts: claims, associations, every difference, the design."""

from __future__ import annotations

from ibprobe.lens import words
from ibprobe.lens.design import PLACEBO
from ibprobe.lens.effects import Effect
from ibprobe.lens.findings import Findings
from ibprobe.show.page import Cell, Line, Table


def tables(found: Findings) -> list[Table]:
    """All of them, in order."""
    return [_overview(found), _claims(found), *_associations(found), *_effects(found), _outcomes(found), _design(found)]


def heading(factor: str) -> str:
    """What a factor's section is called."""
    return "Placebo: another order of the data" if factor == PLACEBO else factor


def _overview(found: Findings) -> Table:
    layers, by_level = words.overview([c for of in found.comparisons.values() for c in of], found.split)
    rows = [Line((Cell(name), *(_cell(of.get(layer)) for layer in layers))) for name, of in by_level.items()]
    text = "Nats, level minus baseline: mean, 95 % interval, and how many seeds are higher."
    return Table("overview", "I(X;T̃) at relative noise", ("", *layers), tuple(rows), text)


def _claims(found: Findings) -> Table:
    rows = [Line(tuple(map(Cell, (c.said, c.tested, c.found, c.numbers)))) for c in found.claims]
    text = "What is said of regularizers, restated so that runs can decide it."
    return Table("claims", "Claims", words.CLAIMS, tuple(rows), text)


def _associations(found: Findings) -> list[Table]:
    by_name = words.associations(found)
    layers = tuple(dict.fromkeys(layer for _, of in by_name for layer in of))
    rows = [
        Line((Cell(name), *(Cell(words.association_cell(of.get(layer)), number=True) for layer in layers)))
        for name, of in by_name
    ]
    text = (
        "Spearman's rank correlation with its 95 % interval. Over settings: of means over seeds, one point a setting. "
        "Over chance: of what is left of each run without its setting's mean. A correlation, no cause."
    )
    return [Table("associations", "What goes along with what", ("", *layers), tuple(rows), text)] if rows else []


def _effects(found: Findings) -> list[Table]:
    """All differences of a factor, one row a level and layer."""
    made = []
    for factor, of in found.comparisons.items():
        names = list(dict.fromkeys(name for c in of for name, _ in words.columns(c, found.split)))
        rows = [
            Line(
                (
                    Cell(words.title_of(c)),
                    Cell(layer),
                    *(_cell(dict(by_name).get(name, {}).get(layer)) for name in names),
                )
            )
            for c in of
            for by_name in [words.columns(c, found.split)]
            for layer in dict.fromkeys(layer for _, effects in by_name for layer in effects)
        ]
        head = ("level", "layer", *(name.replace("\\", "") for name in names))
        made.append(Table(f"effects-{factor}", f"Differences, {heading(factor)}", head, tuple(rows)))
    return made


def _cell(effect: Effect | None, digits: int = 2) -> Cell:
    return Cell(
        "–" if effect is None else words.cell(effect, digits),
        number=True,
        title="" if effect is None else repr(effect.mean),
    )


def _outcomes(found: Findings) -> Table:
    of = [c for factor in found.comparisons.values() for c in factor]
    rows = [
        Line((Cell(words.title_of(c)), Cell(name), _cell(e, 3))) for c in of for name, e in words.outcomes(c).items()
    ]
    return Table("outcomes", "Accuracies and weights", ("level", "of", "difference"), tuple(rows))


def _design(found: Findings) -> Table:
    told: dict[str, object] = {"runs": len(found.runs), "seeds": found.seeds, "flagged values left out": found.flagged}
    if found.design:
        told |= {"training function": found.design.train, "grid": found.design.grid}
        told |= {f"levels of {k}": ", ".join(map(str, v)) for k, v in found.design.factors.items()}
        told |= {f"fixed: {k}": v for k, v in found.design.fixed.items()}
    else:
        told |= {f"baseline of {k}": v for k, v in found.baseline.items()}
    rows = [Line((Cell(name), Cell(str(value)))) for name, value in told.items()]
    return Table("design", "Design and limits", ("", ""), tuple(rows), words.limits(found) + ".")

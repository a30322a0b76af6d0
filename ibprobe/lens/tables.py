"""What runs show as tables, for page and Markdown alike: differences, slopes, associations, claims, the design."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ibprobe.lens.association import Association
from ibprobe.lens.compare import Comparison
from ibprobe.lens.design import PLACEBO
from ibprobe.lens.effects import Effect
from ibprobe.lens.findings import Findings
from ibprobe.lens.outcomes import kept_names, outcome_table
from ibprobe.lens.runs import GAP, KEPT, NAMES, Key
from ibprobe.lens.words import association_cell, cell, limits, title_of
from ibprobe.show.section import Cell, Line, Table

Columns = Mapping[str, Mapping[str, Effect]]
"""Effects by column and layer."""


def tables(found: Findings, factors: Sequence[str] = ()) -> list[Table]:
    """All tables, in order.

    Args:
        found: everything.
        factors: only these, without what is of all factors together.
    """
    names = factors or list(found.comparisons)
    comparisons = [c for name in names for c in found.comparisons[name]]
    whole = [] if factors else [_claims(found), *_associations(found)]
    differences = [_differences(found, name) for name in names]
    doses = [found.doses[name] for name in names if name in found.doses]
    slopes = [_slopes(found, of.factor) for of in doses]
    values = [outcome_table(of, {name: name for name in kept}) for of in doses if (kept := kept_names(of))]
    design = [] if factors else [_design(found)]
    of_layers = [_overview(comparisons, found.split), *whole, *differences, *slopes]
    filled = [table for table in of_layers if table.rows]
    return [*values, *filled, *_outcomes(comparisons), *design]


def heading(factor: str) -> str:
    """What a factor's section is called."""
    return "Placebo: another order of the data" if factor == PLACEBO else factor


def _overview(comparisons: Sequence[Comparison], split: str) -> Table:
    by_level = {title_of(c): c.select("training", split, "I_XT") for c in comparisons}
    layers = list(dict.fromkeys(layer for of in by_level.values() for layer in of))
    rows = [Line((Cell(name), *(_cell(of.get(layer)) for layer in layers))) for name, of in by_level.items() if layers]
    text = "Nats, level minus baseline: mean, 95 % interval, and how many seeds are higher."
    return Table("overview", "I(X;T̃) at relative noise", ("", *layers), tuple(rows), text)


def _claims(found: Findings) -> Table:
    layers = any(key.how == "training" for run in found.runs for key in run.values)
    rows = [Line(tuple(map(Cell, (c.said, c.tested, c.found, c.numbers)))) for c in found.claims if layers]
    head = ("what is said", "what would be seen", "found", "numbers (nats; of what goes along, rank correlations)")
    text = "What is said of regularizers, restated so that runs can decide it."
    return Table("claims", "Claims", head, tuple(rows), text)


def _associations(found: Findings) -> list[Table]:
    """One row a record, outcome and way of looking across runs."""
    by_name: dict[str, dict[str, Association]] = {}
    for a in found.associations:
        outcome = "generalisation gap" if a.outcome == GAP else "accuracy on shifted rows"
        across = "over settings" if a.across == "settings" else "over chance within a setting"
        by_name.setdefault(f"{NAMES[a.record.quantity]} and {outcome}, {across}", {})[a.record.layer] = a
    layers = tuple(dict.fromkeys(layer for of in by_name.values() for layer in of))
    rows = [
        Line((Cell(name), *(Cell(association_cell(of.get(layer)), number=True) for layer in layers)))
        for name, of in by_name.items()
    ]
    text = (
        "Spearman's rank correlation with its 95 % interval. Over settings: of means over seeds, one point a setting. "
        "Over chance: of what is left of each run without its setting's mean. A correlation, no cause."
    )
    return [Table("associations", "What goes along with what", ("", *layers), tuple(rows), text)] if rows else []


def _differences(found: Findings, factor: str) -> Table:
    """One row a level and layer."""
    of = {title_of(c): _columns(c, found.split) for c in found.comparisons[factor]}
    names = list(dict.fromkeys(name for columns in of.values() for name in columns))
    rows = [
        Line((Cell(level), Cell(layer), *(_cell(columns.get(name, {}).get(layer)) for name in names)))
        for level, columns in of.items()
        for layer in _layers(columns)
    ]
    return Table(f"effects-{factor}", f"Differences, {heading(factor)}", ("level", "layer", *names), tuple(rows))


def _columns(comparison: Comparison, split: str) -> Columns:
    of = {
        "I(X;T̃), nats": ("training", split, "I_XT"),
        "at absolute noise, nats": ("absolute", split, "I_XT"),
        "masks drawn, nats": ("sampled", split, "I_XT"),
        "I(T̃;Y) held out, nats": ("training", "held_out", "I_TY"),
        "I(T̃;Y), nats": ("training", split, "I_TY"),
        "I(X;T̃|Y), nats": ("training", split, "I_XT_given_Y"),
        "fall from the peak, nats": ("training", split, "fall"),
        "spread √tr Cov(T)": ("training", split, "r"),
        "effective rank": ("training", split, "effective_rank"),
    }
    return {name: effects for name, what in of.items() if (effects := comparison.select(*what))}


def _slopes(found: Findings, factor: str) -> Table:
    """Change from level to level, one row a layer."""
    columns: dict[str, dict[str, Effect]] = {}
    for key, effect in found.doses[factor].slopes.items():
        if (key.how, key.split) == ("training", found.split) and key.quantity in _OF_SLOPES:
            columns.setdefault(f"{NAMES[key.quantity]}, nats", {})[key.layer] = effect
    rows = [Line((Cell(layer), *(_cell(of.get(layer)) for of in columns.values()))) for layer in _layers(columns)]
    return Table(f"slopes-{factor}", f"Along {factor}, change a level", ("layer", *columns), tuple(rows))


_OF_SLOPES = ("I_XT", "I_XT_given_Y", "I_TY", "fall")


def _layers(columns: Columns) -> list[str]:
    return list(dict.fromkeys(layer for effects in columns.values() for layer in effects))


def _cell(effect: Effect | None, digits: int = 2) -> Cell:
    if effect is None:
        return Cell("–", number=True)
    return Cell(cell(effect, digits), number=True, title=repr(effect.mean))


def _outcomes(comparisons: Sequence[Comparison]) -> list[Table]:
    """Accuracies, the gap and the norms of weights; what training functions kept."""
    rows = [
        Line((Cell(title_of(c)), Cell(_outcome_name(key)), _cell(e, 4 if key.how == KEPT else 3)))
        for c in comparisons
        for key, e in c.effects.items()
        if key.how in ("outcome", KEPT)
    ]
    head, kept = ("level", "of", "difference"), any(c.kept for c in comparisons)
    heading = "Differences of what was kept" if kept else "Accuracies and weights"
    return [Table("outcomes", heading, head, tuple(rows))] if rows else []


def _outcome_name(key: Key) -> str:
    if key.how == KEPT:
        return key.quantity
    if key.quantity == "norm":
        return f"norm of {key.layer}"
    return NAMES["gap"] if key.quantity == "gap" else f"accuracy, {key.split.replace('_', ' ')} rows"


def _design(found: Findings) -> Table:
    told: dict[str, object] = {"runs": len(found.runs), "seeds": found.seeds, "flagged values left out": found.flagged}
    if found.design:
        told |= {"training function": found.design.train, "grid": found.design.grid}
        told |= {f"levels of {k}": ", ".join(map(str, v)) for k, v in found.design.factors.items()}
        told |= {f"fixed: {k}": v for k, v in found.design.fixed.items()}
    else:
        told |= {f"baseline of {k}": v for k, v in found.baseline.items()}
    rows = [Line((Cell(name), Cell(str(value)))) for name, value in told.items()]
    return Table("design", "Design and limits", ("", ""), tuple(rows), limits(found) + ".")

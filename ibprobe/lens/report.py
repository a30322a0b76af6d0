"""The lens' report: verdict first, then differences, dose–response, planes, outcomes, claims, and the design."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ibprobe.errors import BadInput
from ibprobe.lens import words
from ibprobe.lens.chart_effects import forest, responses
from ibprobe.lens.chart_runs import parallel, scatter
from ibprobe.lens.compare import Comparison
from ibprobe.lens.design import PLACEBO, Setting
from ibprobe.lens.findings import Findings
from ibprobe.lens.markdown import markdown
from ibprobe.lens.outcomes import kept_names, outcome_figure
from ibprobe.lens.runs import SHIFTED, Run
from ibprobe.lens.tables import heading, tables
from ibprobe.record.records import Records
from ibprobe.record.rundir import load_run
from ibprobe.show.cases import Case, averaged
from ibprobe.show.files import write_file
from ibprobe.show.page import Page
from ibprobe.show.panels import Panel, panels
from ibprobe.show.theme import Spec


def write_report(found: Findings, path: str | Path) -> Path:
    """Write what runs show, in the form that the path's ending asks for.

    Args:
        found: everything, from ``find``.
        path: ``.html`` (one self-contained page), ``.md`` or ``.json``.

    Returns:
        The path.

    Raises:
        BadInput: another ending, or the file cannot be written.
        MissingExtra: a page is asked for without the packages of the ``report`` extra.
    """
    target = Path(path)
    if target.suffix not in _FORMS:
        raise BadInput(f"{target}: expected a name that ends in {', '.join(_FORMS)}; got {target.suffix or 'none'!r}")
    return write_file(target, _FORMS[target.suffix](found))


def page(found: Findings) -> Page:
    """What goes on the page."""
    made = Page("The regularization lens", words.limits(found))
    made.add_words(_verdict(found))
    for factor in found.comparisons:
        made.add_charts(heading(factor), _FACTOR, _of_factor(found, factor).values())
    made.add_planes("Planes side by side", _PLANES, planes(found))
    made.add_charts("Across runs", _ACROSS, _across(found).values())
    made.add_tables(tables(found))
    return made


_FACTOR = (
    "Level minus baseline, paired by seed, with 95 % intervals. Full: found; hollow: no effect, or not decided. "
    "Dashed: nothing, and what counts as nothing. At absolute noise the scale of activations counts too; at relative "
    "noise it does not."
)
_PLANES = "The mean over seeds; all other factors at their baseline."
_ACROSS = (
    "One point a run, its colour the factor in which it differs from the baseline. What goes along causes nothing."
)


def _verdict(found: Findings) -> list[tuple[str, str, Sequence[str]]]:
    said: dict[str, list[str]] = {}
    for comparison in (c for name, of in found.comparisons.items() if name != PLACEBO for c in of):
        said.setdefault(_decided(found, comparison), []).append(words.verdict(comparison, found))
    placebo = [words.verdict(c, found) for c in found.comparisons.get(PLACEBO, ())]
    counts = [f"{word}: {n}" for word in ("supported", "refuted", "not decided") if (n := _count(found, word))]
    return [
        ("What changes the layers", "good", said.get("changes", [])),
        ("What does not", "neutral", said.get("nothing", [])),
        ("Not decided", "doubt", said.get("not decided", [])),
        ("Placebo", "neutral", [*placebo, *filter(None, [words.placebo(found)])]),
        ("Robust and brittle", "neutral", [words.telling_words(found)]),
        ("Claims", "neutral", [", ".join(counts)] if counts else []),
        ("What is missing", "doubt", found.said),
    ]


def _decided(found: Findings, comparison: Comparison) -> str:
    verdicts = {e.verdict for e in comparison.judged_by(found.split).values()}
    return "changes" if verdicts & {"more", "less"} else "nothing" if verdicts == {"no effect"} else "not decided"


def _count(found: Findings, word: str) -> int:
    return sum(claim.found == word for claim in found.claims)


def pictures(found: Findings) -> dict[str, Spec]:
    """All charts but the planes by file name, as specifications that stand alone."""
    of = {f"{factor}-{name}": s for factor in found.comparisons for name, s in _of_factor(found, factor).items()}
    return of | _across(found)


def _of_factor(found: Findings, factor: str) -> dict[str, Spec]:
    of, split = found.comparisons[factor], found.split
    specs = {
        "relative": forest(of, "training", split, "I_XT", "I(X;T̃), relative noise"),
        "absolute": forest(of, "absolute", split, "I_XT", "I(X;T̃), absolute noise"),
        "target": forest(of, "training", "held_out", "I_TY", "I(T̃;Y), held-out rows"),
        "given-target": forest(of, "training", split, "I_XT_given_Y", "I(X;T̃|Y), relative noise"),
    }
    if factor in found.doses:
        along = found.doses[factor]
        specs["levels"] = responses(along, split, ("I_XT", "I_XT_given_Y", "I_TY"))
        if kept := kept_names(along):
            specs["outcomes"] = outcome_figure(found.runs, along, {name: name for name in kept})
    return {name: spec for name, spec in specs.items() if spec}


def planes(found: Findings) -> list[Panel]:
    """The mean plane of the baseline and of each level, others at their baseline; on training rows."""
    base, shown = found.baseline, []
    wanted = [base, *({**base, c.factor: c.level} for of in found.comparisons.values() for c in of if c.factor in base)]
    for settings in wanted:
        runs = [run for run in found.runs if run.folder and not run.order and _has(run, settings)]
        records = [load_run(run.folder).select(split=found.split) for run in runs if run.folder]
        differs = ", ".join(f"{k} = {v}" for k, v in settings.items() if base[k] != v) or "baseline"
        mean = averaged(records) if len(records) > 1 else records[0] if records else Records()
        shown += panels([Case(f"{differs} ({len(runs)} seeds)", mean, tuple(run.name for run in runs))])
    return shown


def _has(run: Run, settings: Mapping[str, Setting]) -> bool:
    return all(run.settings.get(name) == level for name, level in settings.items())


def _across(found: Findings) -> dict[str, Spec]:
    of = {"fall": "fall", "given-target": "I_XT_given_Y"}
    specs = {f"shifted-{name}": scatter(found.runs, found.split, q, SHIFTED, found.baseline) for name, q in of.items()}
    specs["runs"] = parallel(found.runs, found.split, found.baseline)
    return {name: spec for name, spec in specs.items() if spec}


_FORMS: Mapping[str, Callable[[Findings], str]] = {
    ".html": lambda found: page(found).html(),
    ".md": lambda found: "\n".join(markdown(found)) + "\n",
    ".json": lambda found: json.dumps(found.to_dict(), indent=1) + "\n",
}

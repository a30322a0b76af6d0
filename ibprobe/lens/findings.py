"""Everything that runs show, in one object: what text, page, JSON and W&B are made of."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ibprobe.errors import BadInput, ProbeError, UnknownName
from ibprobe.lens.association import Association, associations
from ibprobe.lens.brittle import Telling, telling
from ibprobe.lens.claims import Claim, Evidence, claims
from ibprobe.lens.compare import Comparison, compare, factors_in
from ibprobe.lens.design import PLACEBO, Design, Setting
from ibprobe.lens.doses import Dose, dose
from ibprobe.lens.effects import SEEDS_FOR_A_VERDICT, Effect
from ibprobe.lens.reading import read_runs
from ibprobe.lens.runs import Run


@dataclass(frozen=True, slots=True)
class Findings:
    """What a design, or any runs with the same seeds at each level, show."""

    runs: Sequence[Run]
    """What was read."""
    said: Sequence[str]
    """Runs that could not be read, or only in part."""
    design: Design | None
    """Whose runs they are, where a folder says so."""
    comparisons: Mapping[str, Sequence[Comparison]]
    """By factor, one for each level but the baseline's."""
    doses: Mapping[str, Dose]
    """Slopes along a factor with three levels or more."""
    associations: Sequence[Association]
    """What goes along with what."""
    telling: Telling | None
    """Whether records tell robust from brittle runs; None without such pairs."""
    claims: Sequence[Claim]
    """What is said of regularizers, tested."""
    split: str
    """Rows that networks were trained on, or the probe's own where runs did not say."""
    fewest: int
    """Seeds without which nothing is decided."""

    @property
    def flagged(self) -> int:
        """Values that do not count for their flags."""
        return sum(run.flagged for run in self.runs)

    @property
    def seeds(self) -> int:
        """How many there are."""
        return len({run.seed for run in self.runs})

    @property
    def baseline(self) -> dict[str, Setting]:
        """The baseline's level of each factor but the placebo."""
        return {name: of[0].baseline for name, of in self.comparisons.items() if name != PLACEBO}

    def to_dict(self) -> dict[str, Any]:
        """Plain types only; what is not finite is None."""
        return {
            "runs": [
                {"name": r.name, "seed": r.seed, PLACEBO: r.order, "settings": dict(r.settings), "flagged": r.flagged}
                for r in self.runs
            ],
            "said": list(self.said),
            "design": asdict(self.design) if self.design else None,
            "split": self.split,
            "fewest_seeds": self.fewest,
            "effects": [
                {"factor": c.factor, "baseline": c.baseline, "level": c.level, **key._asdict(), **_plain(effect)}
                for of in self.comparisons.values()
                for c in of
                for key, effect in c.effects.items()
            ],
            "slopes": [
                {"factor": d.factor, "levels": list(d.levels), **key._asdict(), **_plain(effect)}
                for d in self.doses.values()
                for key, effect in d.slopes.items()
            ],
            "associations": [
                {"record": a.record._asdict(), "outcome": a.outcome._asdict(), "across": a.across}
                | _plain(a.correlation)
                for a in self.associations
            ],
            "robust_and_brittle": None if self.telling is None else {
                "pairs": self.telling.pairs, "right": self.telling.right, "record": self.telling.chosen._asdict(),
                "share_right_less_half": _plain(self.telling.unseen),
            },
            "claims": [asdict(claim) for claim in self.claims],
        }  # fmt: skip


def _plain(effect: Effect) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(effect).items()}


def find(
    paths: Sequence[Path],
    *,
    wandb: str | None = None,
    ignore: Collection[str] = (),
    factors: Sequence[str] = (),
    baseline: Mapping[str, Setting] | None = None,
    fewest: int = SEEDS_FOR_A_VERDICT,
) -> Findings:
    """Read runs and compare every factor that they differ in.

    Args:
        paths: folders of designs, run directories, and W&B's folders on disk, with the same seeds at each level.
        wandb: a project on W&B's server, ``entity/project``.
        ignore: config keys that are no settings, such as names and folders.
        factors: config keys to compare; all that differ by default.
        baseline: levels that others are compared with, by factor; those of the design, or the lowest.
        fewest: seeds without which nothing is decided.

    Raises:
        UnknownName: no run has such a factor or level.
        BadInput: no run could be read, their channels or views differ, or no two runs of one seed differ in a factor.
    """
    runs, said = read_runs(paths, wandb=wandb, ignore=ignore)
    kept = {path: of for path in paths if (of := Design.kept(path))}
    design = next(iter(kept.values()), None)
    absent = {path: len(of.missing(path)) for path, of in kept.items()}
    said += [
        f"{path}: {n} of {len(kept[path].runs())} runs of the design are not there" for path, n in absent.items() if n
    ]
    return findings(runs, said=said, design=design, factors=factors, baseline=baseline, fewest=fewest)


def findings(
    runs: Sequence[Run],
    *,
    said: Sequence[str] = (),
    design: Design | None = None,
    factors: Sequence[str] = (),
    baseline: Mapping[str, Setting] | None = None,
    fewest: int = SEEDS_FOR_A_VERDICT,
) -> Findings:
    """Compare runs that have been read.

    Args:
        runs: of a design, or any that were recorded.
        said: about runs that could not be read.
        design: whose runs they are.
        factors: config keys to compare; all that differ by default.
        baseline: levels that others are compared with, by factor; those of the design, or the lowest.
        fewest: seeds without which nothing is decided.

    Raises:
        UnknownName: no run has such a factor or level.
        BadInput: no two runs of one seed differ in a factor alone, of those asked for or, by default, in any.
    """
    base = {**(design.baseline if design else {}), **(baseline or {})}
    comparisons, without = _compared(runs, list(factors), base, fewest)
    said = [*said, *without]
    doses = {name: found for name in comparisons if (found := dose(runs, name, fewest=fewest))}
    split = _trained_on(runs)
    along, told = associations(runs, split, fewest=fewest), telling(runs, fewest=fewest)
    evidence = Evidence(runs, comparisons, along, told, split, fewest)
    return Findings(runs, said, design, comparisons, doses, along, told, claims(evidence), split, fewest)


def _compared(
    runs: Sequence[Run], asked: Sequence[str], base: Mapping[str, Setting], fewest: int
) -> tuple[dict[str, list[Comparison]], list[str]]:
    """By factor; and why those are not there that nobody asked for by name."""
    found: dict[str, list[Comparison]] = {}
    without: list[ProbeError] = []
    for name in asked or factors_in(runs):
        try:
            found[name] = compare(runs, name, baseline=base.get(name), fewest=fewest)
        except (BadInput, UnknownName) as e:
            without.append(e)
    if without and (asked or not found):
        raise without[0]
    return found, [f"not compared: {e}" for e in without]


def _trained_on(runs: Sequence[Run]) -> str:
    splits = {key.split for run in runs for key in run.values if key.how == "training"}
    return next((s for s in ("train", "probe_set", *sorted(splits)) if s in splits), "train")

"""All effects of one factor: each level against the baseline, in every value that runs have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ibprobe.errors import BadInput, UnknownName
from ibprobe.lens.design import PLACEBO, Setting
from ibprobe.lens.effects import NEGLIGIBLE, SEEDS_FOR_A_VERDICT, Effect, differences, judged, paired
from ibprobe.lens.runs import KEPT, Key, Run

Values = Mapping[tuple[int, str], float]
"""By seed and by the settings of all other factors."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one level does against the baseline's."""

    factor: str
    """A key of the runs' ``config``."""
    baseline: Setting
    """The level that is compared with."""
    level: Setting
    """The level that is compared."""
    effects: Mapping[Key, Effect]
    """By what was measured."""

    def select(self, how: str, split: str, quantity: str) -> dict[str, Effect]:
        """Effects by layer, of what was measured ``how``, on which ``split``, and of which ``quantity``."""
        return {k.layer: e for k, e in self.effects.items() if (k.how, k.split, k.quantity) == (how, split, quantity)}

    def judged_by(self, split: str) -> dict[str, Effect]:
        """What the verdict on a ``split`` is of: I(X;T̃) by layer, or what was kept where training measured itself."""
        kept = {k.quantity: e for k, e in self.effects.items() if k.how == KEPT}
        return self.select("training", split, "I_XT") or kept

    @property
    def kept(self) -> bool:
        """Whether training measured itself."""
        return any(key.how == KEPT for key in self.effects)


def factors_in(runs: Sequence[Run]) -> dict[str, list[Setting]]:
    """Settings with more than one level, each with its levels in order, and the placebo where there is one."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    levels = {name: _levels({run.settings[name] for run in runs if name in run.settings}) for name in names}
    found = {name: of for name, of in levels.items() if len(of) > 1}
    return found | ({PLACEBO: [0, 1]} if any(run.order for run in runs) else {})


def _levels(found: set[Setting]) -> list[Setting]:
    return sorted(found, key=lambda level: (isinstance(level, str), level))


def compare(
    runs: Sequence[Run],
    factor: str,
    *,
    baseline: Setting | None = None,
    fewest: int = SEEDS_FOR_A_VERDICT,
    negligible: Mapping[str, float] = NEGLIGIBLE,
) -> list[Comparison]:
    """Effects of every level of a factor.

    A pair is two runs of one seed that differ in this factor alone; where other factors vary too, a seed's difference
    is the mean over their levels. False discoveries are controlled, at 5 %, over the layers of one level and quantity.

    Args:
        runs: of a design, or any that were recorded.
        factor: a key of their ``config``.
        baseline: the level that others are compared with, or its text; by default the lowest.
        fewest: seeds without which there is no verdict.
        negligible: by quantity; an effect that is smaller for certain is called none.

    Raises:
        UnknownName: no run has such a factor, or such a level.
        BadInput: no two runs differ in it alone.
    """
    known = factors_in(runs)
    if factor not in known:
        raise UnknownName("factor", factor, known, hint="factors are config keys with more than one value")
    base = known[factor][0] if baseline is None else _level(baseline, known[factor], factor)
    of_base = by_settings(runs, factor, base)
    found = []
    for level in known[factor]:
        if level != base:
            of_level = by_settings(runs, factor, level)
            raw = {key: paired(differences(of_level[key], of_base[key])) for key in of_level if key in of_base}
            effects = {key: effect for key, effect in raw.items() if effect.seeds}
            found.append(Comparison(factor, base, level, judged_by_family(effects, fewest, negligible)))
    if not any(comparison.effects for comparison in found):
        raise BadInput(f"no two runs of one seed differ in {factor!r} alone: record them with the same seeds")
    return found


def _level(told: Setting, known: Sequence[Setting], factor: str) -> Setting:
    """A level, or its text; 0 is that of 0.0, too."""
    for level in known:
        if told in (level, str(level)) or (not isinstance(level, str) and told == f"{level:g}"):
            return level
    raise UnknownName(f"level of {factor}", str(told), map(str, known))


def by_settings(runs: Sequence[Run], factor: str, level: Setting) -> dict[Key, dict[tuple[int, str], float]]:
    """Values of the runs with a level, by what they are of, seed and other settings."""
    found: dict[Key, dict[tuple[int, str], float]] = {}
    for run in runs:
        at = run.order if factor == PLACEBO else run.settings.get(factor)
        if at == level and (factor == PLACEBO or not run.order):
            for key, value in run.values.items():
                found.setdefault(key, {})[run.seed, run.others(factor)] = value
    return found


def judged_by_family(effects: Mapping[Key, Effect], fewest: int, negligible: Mapping[str, float]) -> dict[Key, Effect]:
    """Verdicts, with false discoveries controlled over the layers of each quantity, split and way of measuring."""
    families: dict[tuple[str, str, str], dict[str, Effect]] = {}
    for key, effect in effects.items():
        families.setdefault((key.how, key.split, key.quantity), {})[key.layer] = effect
    return {
        Key(how, split, layer, quantity): effect
        for (how, split, quantity), of in families.items()
        for layer, effect in judged(of, fewest=fewest, negligible=negligible.get(quantity, 0.0)).items()
    }

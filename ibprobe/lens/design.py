"""A designed comparison: which runs there are, and which pairs of them tell what a factor does."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from inspect import isfunction
from itertools import product
from pathlib import Path
from typing import Any, Literal

from ibprobe.errors import BadInput, UnknownName

Setting = bool | int | float | str
Grid = Literal["one", "full"]

PLACEBO = "placebo"
"""A factor that every design has: which order the training rows come in. It has no effect, so none may be found."""
_ORDERS = (0, 1)
RUNS = "runs"
"""Folder of whole runs, within that of a design."""
_KEPT = "design.json"
_SECTIONS = ("design", "factors", "fixed", "measure")


@dataclass(frozen=True, slots=True)
class Planned:
    """One run."""

    settings: Mapping[str, Setting]
    """Of the factors and of what is fixed."""
    seed: int
    """Of its weights."""
    order: int = 0
    """Level of the placebo."""

    @property
    def arguments(self) -> dict[str, Setting]:
        """Keywords of the training function; the order of the data has a seed of its own."""
        return {**self.settings, "seed": self.seed, "order_seed": 2 * self.seed + self.order}

    @property
    def name(self) -> str:
        """A folder's name, the same for the same settings whatever else is in the design."""
        told = json.dumps(self.arguments, sort_keys=True)
        return f"seed{self.seed}-{'order-' if self.order else ''}{hashlib.sha256(told.encode()).hexdigest()[:12]}"


@dataclass(frozen=True, slots=True)
class Design:
    """Factors × levels × seeds.

    Args:
        train: the training function, ``package.module:name``.
        factors: levels of each factor, a keyword of the function; the first is the baseline's.
        seeds: of initialisation and data order; the same for all levels, so that differences are paired.
        grid: ``one`` changes one factor at a time, ``full`` combines all levels.
        fixed: further keywords, the same for all runs.

    Raises:
        BadInput: a factor without a second level, a keyword that is fixed and a factor, seeds that repeat, a value that
            JSON has no name for.
    """

    train: str
    factors: Mapping[str, Sequence[Setting]]
    seeds: Sequence[int] = (0, 1, 2)
    grid: Grid = "one"
    fixed: Mapping[str, Setting] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.]+:\w+", str(self.train)):
            raise BadInput(f"train= is package.module:function; got {self.train!r}")
        if not self.factors:
            raise BadInput('factors= is empty; expected levels by name, such as {"dropout": [0.0, 0.5]}')
        for name, levels in self.factors.items():
            if name in ("seed", "order_seed", PLACEBO):
                raise BadInput(f"{name!r} is no factor: seeds are paired over levels, and the order is the placebo")
            if name in self.fixed:
                raise BadInput(f"{name!r} is both fixed and a factor: leave one out")
            if not _different(levels) or not all(isinstance(level, bool | int | float | str) for level in levels):
                raise BadInput(f"{name!r} needs two different levels or more, the baseline's first; got {levels!r}")
        if not _different(self.seeds):
            raise BadInput(f"seeds= are different numbers, two or more (eight for a verdict); got {self.seeds!r}")
        try:
            json.dumps(dict(self.fixed))
        except TypeError as e:
            raise BadInput(f"fixed values are numbers, texts, or lists of them; {e}") from e
        if self.grid not in ("one", "full"):
            raise BadInput(f'grid= is "one" (factor at a time) or "full"; got {self.grid!r}')

    @property
    def baseline(self) -> dict[str, Setting]:
        """The first level of each factor."""
        return {name: levels[0] for name, levels in self.factors.items()}

    @classmethod
    def kept(cls, folder: Path) -> Design | None:
        """The design that was last run in a ``folder``; None for folders of other runs."""
        told = _kept(folder)
        told.pop("measure", None)
        try:
            return cls(**{**told, "seeds": tuple(told["seeds"])})
        except (ValueError, KeyError, TypeError):
            return None

    def keep(self, folder: Path, measure: Mapping[str, Any]) -> None:
        """Write what is run, and how it is measured (``measure``), into the ``folder`` of the runs.

        Raises:
            BadInput: the folder has runs of another training function, or that were measured otherwise.
        """
        told = json.loads(json.dumps({**asdict(self), "measure": dict(measure)}, default=str))
        before = _kept(folder) if any((folder / RUNS).iterdir()) else {}
        for what in ("train", "measure"):
            if what in before and before[what] != told[what]:
                raise BadInput(
                    f"{folder} has runs of {what} = {before[what]}; this design says {told[what]}: give another folder"
                )
        (folder / _KEPT).write_text(json.dumps(told, indent=1), encoding="utf-8")

    def missing(self, folder: Path) -> list[Planned]:
        """Runs that a ``folder`` does not have."""
        return [planned for planned in self.runs() if not (folder / RUNS / planned.name).is_dir()]

    def cells(self) -> Iterator[dict[str, Setting]]:
        """Settings of the factors, the baseline's first."""
        if self.grid == "full":
            for combined in product(*self.factors.values()):
                yield dict(zip(self.factors, combined, strict=True))
            return
        yield self.baseline
        for name, levels in self.factors.items():
            yield from ({**self.baseline, name: level} for level in levels[1:])

    def runs(self) -> list[Planned]:
        """All runs, seed by seed, so that a design that is interrupted has whole pairs; placebo runs last of each."""
        planned = []
        for seed in self.seeds:
            planned += [Planned({**self.fixed, **cell}, seed) for cell in self.cells()]
            planned += [Planned({**self.fixed, **self.baseline}, seed, order) for order in _ORDERS[1:]]
        return planned


def _different(values: object) -> bool:
    """Two values or more, of which none repeats."""
    if isinstance(values, str) or not isinstance(values, Sequence):
        return False
    return len(values) >= 2 and not any(value in values[:n] for n, value in enumerate(values))


def _kept(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / _KEPT).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def read_design(path: Path) -> tuple[Design, dict[str, Any]]:
    """A design from the TOML file at ``path``, and how it is measured.

    ::

        [design]
        train = "ibprobe.lens.training:digits"
        seeds = 8                    # or a list of them
        grid = "full"                # or "one"

        [factors]
        dropout = [0.0, 0.2, 0.5]    # the baseline's level first
        weight_decay = [0.0, 0.1]

        [fixed]
        epochs = 12

        [measure]
        shifts = ["noise", "occlusion"]

    Raises:
        BadInput: the file cannot be read, or says something that is not known.
    """
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise BadInput(f"{path}: expected a design in TOML; {e}") from e
    _check_names(path, told)
    design = dict(told.get("design", {}))
    if "train" not in design:
        raise BadInput(f'{path}: [design] needs train = "package.module:function"')
    seeds = design.get("seeds", 3)
    if not all(type(seed) is int for seed in (seeds if isinstance(seeds, list) else [seeds])):
        raise BadInput(f"{path}: seeds is a number of them, or a list of whole numbers; got {seeds!r}")
    design["seeds"] = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    for name, levels in told.get("factors", {}).items():
        if not isinstance(levels, list) or not all(isinstance(level, bool | int | float | str) for level in levels):
            raise BadInput(
                f"{path}: {name} is a list of levels, numbers or texts, the baseline's first; got {levels!r}"
            )
    return Design(factors=told.get("factors", {}), fixed=told.get("fixed", {}), **design), told.get("measure", {})


def _check_names(path: Path, told: Mapping[str, Any]) -> None:
    """Raise a ``BadInput`` for a section or key that there is none of."""
    for name, section in told.items():
        if not isinstance(section, dict):
            raise BadInput(f"{path}: {name!r} stands outside a section; sections are [{'], ['.join(_SECTIONS)}]")
    for kind, found, known in (
        ("section", told, _SECTIONS),
        ("key in [design]", told.get("design", {}), ("train", "seeds", "grid")),
    ):
        for name in found:
            if name not in known:
                raise BadInput(f"{path}: {UnknownName(kind, name, known)}")


def imported(path: str) -> Callable[..., Any]:
    """A function by its import path.

    Raises:
        BadInput: there is none.
    """
    module, _, name = path.partition(":")
    if not module or not name:
        raise BadInput(f"expected package.module:function; got {path!r}")
    try:
        there = import_module(module)
    except ImportError as e:
        raise BadInput(f"{path!r} cannot be imported: {e}") from e
    if not hasattr(there, name):
        functions = [known for known, value in vars(there).items() if isfunction(value) and known[0] != "_"]
        raise BadInput(f"{path!r} cannot be imported: {UnknownName(f'function in {module}', name, functions)}")
    function = getattr(there, name)
    found: Callable[..., Any] = function
    return found

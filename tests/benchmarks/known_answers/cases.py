"""What passes between the parts: a sample with its truth, an estimator's answer, and one finished line of results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Rows of two variables, and the mutual information of the law that they were drawn from."""

    truth: float
    """In nats."""
    x: Tensor
    """``(n, dx)``"""
    y: Tensor
    """``(n, dy)``, or class labels ``(n,)``"""
    truth_se: float = 0.0
    """Standard error of the truth, where it is a Monte-Carlo mean."""
    clean: Tensor | None = None
    """The side that carries Gaussian noise, before its noise ``(n, d)``; None where no noise is known."""
    sigma: float = 0.0
    """Standard deviation of that noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an estimator says; a peer has no more than ``nats``."""

    nats: float
    ci_low: float | None = None
    ci_high: float | None = None
    lower_confidence: float | None = None
    bracket_low: float | None = None
    bracket_low_se: float | None = None
    bracket_high: float | None = None
    bracket_high_se: float | None = None
    flags: tuple[str, ...] = ()
    cpu: float | None = None
    """CPU seconds that it measured itself, as a peer in another process does."""
    more: Mapping[str, float] = field(default_factory=dict)
    """Further measurements by name."""


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work: an estimator on a draw of a task."""

    row: str
    task: str
    seed: int
    estimator: str
    code: str
    """Fingerprint of the sources that the result depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the results file: an item, and what came of it."""

    row: str
    task: str
    seed: int
    estimator: str
    code: str
    truth: float = 0.0
    truth_se: float = 0.0
    n: int = 0
    nats: float = 0.0
    ci_low: float | None = None
    ci_high: float | None = None
    lower_confidence: float | None = None
    bracket_low: float | None = None
    bracket_low_se: float | None = None
    bracket_high: float | None = None
    bracket_high_se: float | None = None
    flags: tuple[str, ...] = ()
    cpu: float = 0.0
    """CPU seconds of the estimator alone."""
    more: Mapping[str, float] = field(default_factory=dict)
    error: str = ""
    """Why there is no estimate; empty where there is one."""

    @classmethod
    def of(cls, item: Item, sample: Sample, answer: Answer, cpu: float) -> Result:
        """``cpu`` counts unless the answer brings its own."""
        return cls(**{
            **asdict(item), **asdict(answer), "truth": sample.truth, "truth_se": sample.truth_se, "n": len(sample.x),
            "cpu": cpu if answer.cpu is None else answer.cpu,
        })  # fmt: skip

    @property
    def item(self) -> Item:
        return Item(self.row, self.task, self.seed, self.estimator, self.code)

    @property
    def off(self) -> float:
        """Estimate minus truth."""
        return self.nats - self.truth

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "flags": list(self.flags)}

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> Result:
        known = {f.name for f in fields(cls)}
        return cls(**{**{k: v for k, v in line.items() if k in known}, "flags": tuple(line.get("flags", ()))})


@dataclass(frozen=True, slots=True)
class Folders:
    """Where things are kept and found."""

    out: Path
    """Results, cached samples and the peers' environments."""
    data: Path | None
    """The 12-bit task's activations; None where there are none."""

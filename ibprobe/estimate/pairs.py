"""What every estimator of a pair is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from jaxtyping import Int, Shaped
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Pair:
    """Rows whose dependence is sought: a against b + std·ε, row by row.

    A side is a matrix of numbers ``(n, d)``, or class labels 0 … K−1 as integers ``(n,)``. All values are finite.
    """

    a: Shaped[Tensor, "n ..."]
    """For a layer that is a function of x its clean output t (the sufficient view), else x; or the target."""
    b: Shaped[Tensor, "n ..."]
    """The side that noise is added to."""
    std: float = 0.0
    """Noise added to b. Known noise is redrawn or integrated over; 0 where none is known."""

    @property
    def classes(self) -> Int[Tensor, " n"] | None:
        """The side that holds class labels, if one does (a first)."""
        return next((side for side in (self.a, self.b) if side.ndim == 1), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A mutual information in nats. Point value, interval, one-sided bound and bracket are different things."""

    nats: float
    """Point value: the estimator's best guess; no bound."""
    ci_low: float
    """Lower end of the 95 % interval of the point value."""
    ci_high: float
    """Its upper end."""
    lower_confidence: float
    """One-sided 95 % lower bound on the truth."""
    bound: str
    """What the value was read by, such as ``infonce`` or ``plug-in``."""
    ess: float | None = None
    """Effective sample size of the bound's normaliser, where it has one."""
    bracket_low: float | None = None
    """The lower of the two kernel sums, where the noise is known."""
    bracket_low_se: float | None = None
    """Its standard error."""
    bracket_high: float | None = None
    """The upper one."""
    bracket_high_se: float | None = None
    """Its standard error."""
    noiseless: bool = False
    """Of b without its noise: the estimator has a resolution of its own, such as bins."""
    flags: frozenset[str] = frozenset()
    """Reasons for care, of ``record.flags.FLAGS``."""


@runtime_checkable
class Estimator(Protocol):
    """Estimates any number of pairs that share their rows. Built once a run, so it may keep what it has learned.

    One that does should have ``state_dict()`` and ``load_state_dict(state)``, of plain types and tensors, so that a
    resumed run goes on with it. It may be called on a thread beside training.
    """

    def __call__(
        self, pairs: Mapping[str, Pair], folds: Int[Tensor, " n"], *, seed: int
    ) -> Mapping[str, Reading | str]:
        """Estimate every pair.

        Args:
            pairs: by name; the same name in a later call is the same pair at a later step, with the same rows.
            folds: fold number of each row, fixed for the run: what is fitted is read on other folds.
            seed: of all that is random; no global generator is read or advanced.

        Returns:
            For every name a reading, or one sentence saying why there is none.
        """
        ...

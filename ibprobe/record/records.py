"""Frozen records: a number together with everything that is needed to judge it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, overload

from ibprobe.errors import BadInput, MissingExtra, UnknownName

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

SCHEMA = 1
Quantity = Literal["I_XT", "I_TY", "I_XT_given_Y", "I_XY"]
SYMBOLS = {"I_XT": "I(X;T̃)", "I_TY": "I(T̃;Y)", "I_XT_given_Y": "I(X;T̃|Y)", "I_XY": "I(X;Y)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One mutual information in nats, with its limits.

    Point value, interval, one-sided bound and bracket are different things and have different fields.
    """

    step: int = 0
    """Optimizer steps taken before the measurement."""
    layer: str = ""
    """Module name; a module called more than once a forward is ``name#2``, ``name#3`` from its second call."""
    quantity: Quantity
    """What was estimated: ``I_XT`` is I(X;T̃), ``I_TY`` I(T̃;Y), ``I_XT_given_Y`` I(X;T̃|Y), ``I_XY`` of two arrays."""
    nats: float
    """Point value."""
    headline: bool = True
    """Whether this is the value to show for the layer; fixed at the layer's first snapshot."""
    ci_low: float
    """Lower end of the 95 % interval of the point value; for a bracket it spans both ends and their errors."""
    ci_high: float
    """Its upper end."""
    lower_confidence: float
    """One-sided 95 % lower bound."""
    bracket_low: float | None = None
    """Self-included kernel sum: at most the truth in expectation, exact for the empirical distribution."""
    bracket_low_se: float | None = None
    """Its standard error."""
    bracket_high: float | None = None
    """Leave-one-out kernel sum for I(X;T̃), self-included one for I(T̃;Y)."""
    bracket_high_se: float | None = None
    """Its standard error."""
    ceiling: float
    """The smallest upper limit that applies, in nats."""
    ceiling_name: str
    """Which that is, such as ``ln(distinct rows)`` or ``H(Y)``."""
    rows: int
    """Rows that the value was computed from."""
    distinct_rows: int
    """How many of them are of different inputs."""
    dropped_rows: int = 0
    """Rows left out: repeated inputs, non-finite activations, ignored or singleton labels."""
    span: tuple[int, int] = (0, 0)
    """First and last optimizer step whose weights produced the rows."""
    split: str = "all"
    """``train``, ``held_out``; ``probe_set`` when the user did not say which; ``all`` for ``ibprobe.measure``."""
    mode: str = "measure"
    """``replay``, ``stream`` or ``measure``: how the rows were gathered."""
    target: str = "population"
    """``population``: rows are a sample; ``probe_set``: these rows are all there is."""
    view: str = "as given"
    """How the module's output became rows of ``dim`` numbers."""
    dim: int
    """Numbers in a row."""
    noise: str
    """``relative``, ``per_unit``, ``absolute``; ``own`` where the layer draws it, ``none`` where there is none."""
    sigma: float
    """Its size, as it was asked for."""
    std: float
    """Its standard deviation in the units of the rows: T̃ = view(T) + std·ε."""
    estimator: str
    """Name of the estimator."""
    bound: str
    """The bound that it was read by."""
    ess: float | None = None
    """Effective sample size of the bound's normaliser, for critics."""
    effective_rank: float | None = None
    """Directions that the rows of T fill, (tr C)²/tr C² of their covariance C; with brackets of I(X;T̃)."""
    dead_share: float | None = None
    """Share of units that give every row the same value; with brackets of I(X;T̃)."""
    peak_step: int | None = None
    """Step at which this layer's value was highest so far."""
    fall: float | None = None
    """Nats that the value lies below that highest one; 0 at the peak itself."""
    fall_low: float | None = None
    """Lower end of the fall's interval."""
    fall_high: float | None = None
    """95 % interval of the fall, from the same rows and noise at both steps; it holds for all earlier steps at once."""
    rank: int | None = None
    """The process that measured it, where several train together; training rows are its own."""
    seconds: float = 0.0
    """What the estimate cost."""
    flags: frozenset[str] = frozenset()
    """Reasons for care; ``ibprobe explain FLAG`` says what each means."""

    def __str__(self) -> str:
        bracket = ""
        if self.bracket_high is not None:
            low = "–" if self.bracket_low is None else f"{self.bracket_low:.3f}"
            bracket = f", bracket [{low}, {self.bracket_high:.3f}]"
        flags = f" ({', '.join(sorted(self.flags))})" if self.flags else ""
        where = f"{self.layer} " if self.layer else ""
        what = SYMBOLS.get(self.quantity, self.quantity)
        sign = "≤" if self.bound == "upper end" else "="
        return f"{where}{what} {sign} {self.nats:.3f} nats{bracket}, {self.estimator}{flags}"

    def to_dict(self) -> dict[str, Any]:
        """Plain types only, as one line of ``records.jsonl``."""
        return {**asdict(self), "flags": sorted(self.flags), "span": list(self.span)}

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> Estimate:
        """Inverse of ``to_dict`` for one ``line``: newer fields are ignored, NaN and infinities are numbers again."""
        numbers = {f.name for f in fields(cls) if f.type in ("float", "float | None")}
        values: dict[str, Any] = {
            k: float(v) if k in numbers and isinstance(v, str) else v for k, v in _known(cls, line).items()
        }
        return cls(**{**values, "flags": frozenset(line["flags"]), "span": tuple(line["span"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to the measuring: nothing is silently absent."""

    step: int
    """Optimizer steps taken by then."""
    kind: Literal["not_measured", "skipped", "disarmed", "alert", "cost", "note"]
    """What kind of thing it was."""
    why: str
    """What happened and why, in a sentence."""
    layer: str = ""
    """Empty when it is of no layer."""
    quantity: str = ""
    """As an estimate's; empty when it is of none."""
    split: str = ""
    """Which rows."""

    def __str__(self) -> str:
        what = " ".join(filter(None, (self.layer, SYMBOLS.get(self.quantity, self.quantity), self.split)))
        return f"step {self.step}: {what + ' ' if what else ''}{self.kind.replace('_', ' ')}: {self.why}"

    @classmethod
    def from_dict(cls, line: Mapping[str, Any]) -> Event:
        """Inverse of ``asdict``, for one ``line``; fields that a newer version added are ignored."""
        return cls(**_known(cls, line))


@dataclass(frozen=True, slots=True)
class Logged:
    """What the user logged at a step, to be shown beside our numbers."""

    step: int
    values: Mapping[str, float]


def as_number(value: Any) -> float | None:
    """A real number, or an array or tensor of one element, as a float; None for anything else."""
    try:
        # float() of a loss that still has its graph warns.
        number = value.item() if hasattr(value, "item") else value
        return float(number) if isinstance(number, Real) else None
    except Exception:  # whatever a user's own kind of number raises
        return None


def _known(kind: type[Estimate] | type[Event], line: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)}
    return {k: v for k, v in line.items() if k in names}


@dataclass(frozen=True)
class Records(Sequence[Estimate]):
    """Estimates in the order in which they were made, the events beside them, and the user's own curves."""

    estimates: tuple[Estimate, ...] = ()
    """What was measured."""
    events: tuple[Event, ...] = ()
    """What was not, and what else happened."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """How it was measured: versions, layers, settings, the run's own ``config``."""
    logged: tuple[Logged, ...] = ()
    """Curves of the user's own."""

    def __len__(self) -> int:
        return len(self.estimates)

    def __iter__(self) -> Iterator[Estimate]:
        return iter(self.estimates)

    @overload
    def __getitem__(self, index: int) -> Estimate: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Estimate]: ...
    def __getitem__(self, index: int | slice) -> Estimate | Sequence[Estimate]:
        return self.estimates[index]

    def __repr__(self) -> str:
        steps = self.steps
        when = f", steps {steps[0]} … {steps[-1]}" if len(steps) > 1 else ""
        return f"<Records: {len(self)} estimates of {len(self.layers)} layers{when}; {len(self.events)} events>"

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.estimates, *self.events))) or "no records"

    @property
    def layers(self) -> list[str]:
        """Layer names in forward order."""
        return list(dict.fromkeys(e.layer for e in self.estimates))

    @property
    def steps(self) -> list[int]:
        """Measured optimizer steps, ascending."""
        return sorted({e.step for e in self.estimates})

    def select(self, **criteria: Any) -> Records:
        """Keep the estimates whose fields equal ``criteria``, for example ``layer="fc1", headline=True``.

        Raises:
            UnknownName: a criterion that is no field of ``Estimate``.
        """
        names = [f.name for f in fields(Estimate)]
        for name in criteria:
            if name not in names:
                raise UnknownName("field", name, names)
        kept = (e for e in self.estimates if all(getattr(e, k) == v for k, v in criteria.items()))
        return replace(self, estimates=tuple(kept))

    def one(self, **criteria: Any) -> Estimate:
        """The single estimate that meets ``criteria``.

        Raises:
            BadInput: none does, or more than one.
        """
        found = self.select(**criteria)
        if len(found) != 1:
            raise BadInput(
                f"expected one estimate with {criteria}, found {len(found)}; {self._told_apart(found, criteria)}"
            )
        return found[0]

    def _told_apart(self, found: Records, criteria: Mapping[str, Any]) -> str:
        """What to type next: the fields in which the found ones differ, or the values that there are."""
        names = ("layer", "quantity", "estimator", "split", "step", "noise", "sigma")
        values = {k: list(dict.fromkeys(getattr(e, k) for e in (found or self))) for k in names}
        shown = [f"{k}={v[:6]}" for k, v in values.items() if (len(v) > 1 if found else k in criteria)]
        return f"{'they differ in' if found else 'there are'} {', '.join(shown) or 'no estimates'}"

    def plus(self, estimates: Iterable[Estimate] = (), events: Iterable[Event] = ()) -> Records:
        """A copy that is longer by ``estimates`` and ``events``."""
        return replace(self, estimates=(*self.estimates, *estimates), events=(*self.events, *events))

    def plot(
        self,
        kind: Literal["plane", "I_XT", "I_TY", "compression", "sigma"] = "plane",
        *,
        split: str | None = None,
        look: Literal["light", "dark"] = "light",
    ) -> alt.LayerChart:
        """Draw the records as an Altair chart: show it in a notebook, or ``.save("plane.png")`` it.

        Args:
            kind: the information plane, a coordinate against the training step, the fall of each layer from its peak,
                or a coordinate against σ for records of ``sigma_sweep``.
            split: which rows; ``held_out`` where there are any.
            look: colours for a light or a dark background.

        Raises:
            BadInput: there is nothing to draw, or values of several channels, which share no axis.
            UnknownName: no such kind or split.
            MissingExtra: altair is not installed.
        """
        from ibprobe.show.notebook import chart

        return chart(self, kind, split, look)

    def _repr_html_(self) -> str:
        from ibprobe.show.notebook import table_html

        return table_html(self)

    def to_pandas(self) -> pd.DataFrame:
        """One row an estimate, one column a field; flags joined by commas.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as e:
            raise MissingExtra("to_pandas", "pandas", "report") from e
        columns = [f.name for f in fields(Estimate)]
        rows = [{**e.to_dict(), "flags": ",".join(sorted(e.flags)), "span": f"{e.span[0]}-{e.span[1]}"} for e in self]
        return pd.DataFrame(rows, columns=columns)

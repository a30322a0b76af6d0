"""How all runs of a design are measured, said once and refused before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ibprobe.capture.passes import Draws
from ibprobe.checkpoint import check_rows
from ibprobe.errors import BadInput
from ibprobe.estimate.channel import Channel
from ibprobe.lens.shifts import named_shifts
from ibprobe.schedule import Every, due_when

_KINDS: Mapping[str, tuple[Any, str]] = {
    "sigma": (int | float, "a number above 0"),
    "rows": (int, "a number of inputs"),
    "every": (int | str, '"log" or a number of steps'),
    "passes": (int, "a number of forward passes"),
    "layers": (str | list, '"auto", a name, a pattern, or a list of them'),
    "shifts": (list, "a list of names"),
}
"""What a design's file may say."""


@dataclass(frozen=True, slots=True)
class Measuring:
    """How all runs of a design are measured, alike.

    Args:
        sigma: of relative noise; absolute noise is this share of each layer's spread in the design's first run.
        rows: distinct inputs of each kind.
        every: when layers are measured while a run trains.
        passes: sampled masks of a layer that draws random numbers.
        layers: as ``IBProbe`` takes them.
        shifts: names of shifted data.

    Raises:
        ProbeError: something of it cannot work.
    """

    sigma: float = 0.25
    rows: int = 1024
    every: Every = "log"
    passes: int = 8
    layers: Any = "auto"
    shifts: Sequence[str] = ()

    def __post_init__(self) -> None:
        Channel("relative", self.sigma)
        if not self.sigma:
            raise BadInput("sigma= is above 0: without noise, layers differ in nothing but how many inputs they merge")
        check_rows(self.rows)
        due_when(self.every)
        Draws(self.passes)
        named_shifts(self.shifts)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Measuring:
        """From what the ``[measure]`` section of a design's file ``told``.

        Raises:
            ProbeError: it says something that is not known or cannot work.
        """
        unknown = told.keys() - set(cls.__slots__)
        if unknown:
            raise BadInput(f"[measure] knows {', '.join(cls.__slots__)}; got {sorted(unknown)[0]!r}")
        for name, value in told.items():
            kind, expected = _KINDS[name]
            items = value if isinstance(value, list) else ()
            if isinstance(value, bool) or not isinstance(value, kind) or not all(isinstance(i, str) for i in items):
                raise BadInput(f"[measure] {name} is {expected}; got {value!r}")
        return cls(**{**told, "sigma": float(told.get("sigma", cls().sigma))})

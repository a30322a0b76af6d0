"""Binning, as most published information planes have it: the answer depends on the bins, so their kind is named."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from ibprobe.estimate.pairs import Pair, Reading
from ibprobe.estimate.references.counts import Counted
from ibprobe.estimate.references.single import OneByOne, interval

if TYPE_CHECKING:
    from jaxtyping import Float, Int
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Bins:
    """How a number becomes a bin."""

    name: str
    """What a record's ``bound`` says."""
    kind: Literal["fixed", "width", "relative"]
    size: int | float
    """Number of bins, or their width."""


def relative() -> OneByOne:
    """30 equal bins between the smallest and the largest value of the layer (Chelombiev et al. 2019)."""
    return OneByOne(partial(binned, bins=Bins("30 bins of the range", "relative", 30)))


def fixed() -> OneByOne:
    """30 equal bins between −1 and 1 (Shwartz-Ziv & Tishby 2017, arXiv 1703.00810); what is outside joins the last."""
    return OneByOne(partial(binned, bins=Bins("30 bins of [-1, 1]", "fixed", 30)))


def width() -> OneByOne:
    """Bins 0.5 wide from 0 (Saxe et al. 2018)."""
    return OneByOne(partial(binned, bins=Bins("bins of width 0.5", "width", 0.5)))


def quantised() -> OneByOne:
    """256 levels between the layer's extremes, as 8-bit inference has them (Lorenzen et al. 2022, arXiv 2106.12912)."""
    return OneByOne(partial(binned, bins=Bins("256 levels of the range", "relative", 256)))


def binned(pair: Pair, seed: int, *, bins: Bins) -> Reading | str:
    """Plug-in information of binned sides; rows with the same bins in all columns are one symbol.

    Noise plays no part: the bins are the resolution, and the value is of *their* variable, not of T̃. With a layer's
    own output on both sides it is the entropy of the binned layer, as papers report I(X;T). With labels on one side it
    is the plug-in that papers report as I(T;Y): exact if the rows are all there is, else too high by what chance
    shows, and the interval reaches down to the value adjusted for chance (see ``counts``). Two sides of numbers are
    adjusted for chance. Where more than half of the cells hold one row, ``sparse_bins`` is flagged.

    Args:
        pair: any two sides.
        seed: of the shuffles that chance is measured with.
        bins: the convention.
    """
    a, b = (side if side.ndim == 1 else symbols(side, bins) for side in (pair.a, pair.b))
    cells = torch.unique(torch.stack([a, b]), dim=1, return_counts=True)[1]
    flags = frozenset({"sparse_bins"} if int((cells == 1).sum()) > len(cells) / 2 else ())
    found, bound = Counted.of(a, b, seed), f"plug-in, {bins.name}"
    if torch.equal(a, b):
        return interval(found.plug_in, found.error, bound, flags=flags, noiseless=True)
    adjusted = found.adjusted(found.top)
    if pair.classes is not None:
        low = min(adjusted or 0.0, found.plug_in)
        return interval(found.plug_in, found.error, bound, low=low, flags=flags, noiseless=True)
    if adjusted is None:
        return f"{len(cells)} cells of {len(a)} rows: too fine to tell dependence from chance (try ksg)"
    return interval(adjusted, found.error, f"{bound}, adjusted for chance", flags=flags, noiseless=True)


def symbols(x: Float[Tensor, "n d"], bins: Bins) -> Int[Tensor, " n"]:
    """The number of each row's combination of bins."""
    if bins.kind == "width":
        codes = (x.double() / bins.size).floor()
    else:
        low, high = (-1.0, 1.0) if bins.kind == "fixed" else (float(x.min()), float(x.max()))
        unit = (x.double() - low) / ((high - low) or 1.0)
        codes = (unit * bins.size).floor().clamp(0, bins.size - 1)
    found: Tensor = torch.unique(codes, dim=0, return_inverse=True)[1]
    return found

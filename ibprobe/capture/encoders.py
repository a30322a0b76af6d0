"""Modules that say which Gaussian their output was drawn from: their rows are its moments, not a draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float

VIEW = "moments, own noise"


@runtime_checkable
class Encoder(Protocol):
    """A module that draws z ~ N(mean, scale²) unit by unit; ``ibprobe.bottleneck`` has two.

    The upper bound of one that also has ``rate(mean, scale)``, KL(q(z|x)‖r(z)) of each row in nats, is recorded too.
    """

    def encoder_moments(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Mean and scale, both in the shape of the output, for what forward is given; nothing random."""
        ...


@dataclass(frozen=True, slots=True)
class Encoded:
    """What such a module returned, and how to ask which Gaussian it came from."""

    output: Any
    moments: Callable[[], tuple[Tensor, Tensor, Tensor | None]]


def encoded(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
    """The output of a module with ``encoder_moments`` as :class:`Encoded`; any other as it is."""
    return Encoded(output, partial(_asked, module, args, kwargs)) if isinstance(module, Encoder) else output


def _asked(module: Encoder, args: Any, kwargs: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor | None]:
    try:
        mean, scale = module.encoder_moments(*args, **kwargs)
        rate = getattr(module, "rate", None)
        return mean, scale, rate(mean, scale) if callable(rate) else None
    except Exception as e:
        raise BadInput(f"its encoder_moments or rate failed: {type(e).__name__}: {e}") from e


def moment_rows(output: Any, n: int, widest: int) -> Float[Tensor, "n parts"] | None:
    """Mean, scale and, where there is one, rate of each row side by side; None for what is no code ``(n, d)``.

    Args:
        output: what a tap received.
        n: rows of the forward pass.
        widest: codes of more units are none.

    Raises:
        BadInput: the module's own answer does not fit.
    """
    if not isinstance(output, Encoded):
        return None
    mean, scale, rate = output.moments()
    if mean.ndim != 2 or len(mean) != n or mean.shape[1] > widest:
        return None
    if scale.shape != mean.shape or (rate is not None and rate.shape != (n,)):
        came = f"{tuple(mean.shape)}, {tuple(scale.shape)}, {None if rate is None else tuple(rate.shape)}"
        raise BadInput(f"its mean and scale have one shape (n, d), its rate is (n,); got {came}")
    return torch.cat([mean, scale, *([] if rate is None else [rate[:, None]])], 1)


@dataclass(frozen=True, slots=True)
class Moments:
    """Rows of :func:`moment_rows`, taken apart."""

    mean: Float[Tensor, "n d"]
    scale: Float[Tensor, "n d"]
    rate: Float[Tensor, " n"] | None

    @classmethod
    def of(cls, rows: Float[Tensor, "n parts"]) -> Moments:
        """An odd number of columns ends in the rate."""
        d = rows.shape[1] // 2
        return cls(rows[:, :d], rows[:, d : 2 * d], rows[:, -1] if rows.shape[1] % 2 else None)

"""A module's output as rows: which tensor, which axis is the row, how positions become one vector."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from ibprobe.capture.layers import unwrap
from ibprobe.capture.packed import padded, real_steps
from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float

ViewName = Literal["auto", "flatten", "first"]
View = ViewName | Callable[[Tensor], Tensor]

MAX_FEATURES = 4096
"""Wider rows are projected onto this many fixed orthonormal directions."""

_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)
_SEQUENCE = (
    nn.RNNBase,
    nn.MultiheadAttention,
    nn.TransformerEncoderLayer,
    nn.TransformerDecoderLayer,
    nn.TransformerEncoder,
    nn.TransformerDecoder,
    nn.Transformer,
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a layer orders the axes of a three-dimensional output, as far as modules tell."""

    channels_first: bool = False
    """``(n, channels, positions)``; otherwise ``(n, tokens, features)``."""
    rows_second: bool = False
    """``(tokens, n, features)``: torch's own sequence modules with ``batch_first=False``."""


_DEFAULT = Layout()

UNMASKED = "mean over unmasked tokens"
"""Name of the view that leaves padding out."""

_SCRATCH = 2**20
"""Numbers that a projection copies at a time."""


def layouts(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, Layout]:
    """The layout of each layer: its own modules tell, or the last ones defined before it."""
    order = list(model.modules())
    found = {}
    for name, layer in layers.items():
        before = order[: next(i for i, m in enumerate(order) if m is layer)]
        telling = (m for m in reversed([*before, *layer.modules()]) if isinstance(m, _CHANNELS_FIRST + _CHANNELS_LAST))
        sequence_first = isinstance(unwrap(layer), _SEQUENCE) and any(
            getattr(m, "batch_first", True) is False for m in layer.modules()
        )
        found[name] = Layout(isinstance(next(telling, None), _CHANNELS_FIRST), sequence_first)
    return found


def check_view(view: object) -> None:
    """Raise ``BadInput`` unless ``view`` is a known name or a function."""
    if not callable(view) and view not in get_args(ViewName):
        known = ", ".join(map(repr, get_args(ViewName)))
        raise BadInput(f"view= is one of {known}, or a function from an output tensor to rows (n, d); got {view!r}")


def described(output: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an output before any view; nothing of what holds no tensor."""
    t = pick_tensor(output)
    if t is None:
        return (), ""
    return () if t.data.is_nested else tuple(t.data.shape), str(t.data.dtype).removeprefix("torch.")


def pick_tensor(output: Any) -> Tensor | PackedSequence | None:
    """What stands for an output: the tensor itself, ``last_hidden_state``, ``logits``, or the first one."""
    if isinstance(output, Tensor | PackedSequence):
        return output
    for key in ("last_hidden_state", "logits"):
        named = output.get(key) if isinstance(output, Mapping) else getattr(output, key, None)
        if isinstance(named, Tensor):
            return named
    parts = tuple(output.values()) if isinstance(output, Mapping) else output
    if isinstance(parts, tuple | list):
        return next((t for t in map(pick_tensor, parts) if t is not None), None)
    return None


def to_rows(
    output: Any, *, n: int, mask: Tensor | None = None, view: View = "auto", layout: Layout = _DEFAULT
) -> tuple[Float[Tensor, "n d"], str]:
    """Turn a module's output into rows.

    Args:
        output: what the module returned.
        n: rows of the forward pass; an output whose *second* axis has n and whose first has not is transposed.
        mask: ``(n, tokens)``, true where a token counts.
        view: ``auto`` averages over positions (space, time, tokens), ``flatten`` keeps them all, ``first`` takes the
            first token, a function does as it likes; all before any copy.
        layout: what the axes mean in three dimensions.

    Returns:
        Rows ``(n, d)`` of floating numbers, and the name of the view.

    Raises:
        BadInput: there is no tensor, or no axis with n rows; the message says what came.
    """
    t = pick_tensor(output)
    if t is None:
        raise BadInput(f"its output is a {type(output).__name__} without a tensor that has rows")
    with _without_autocast(t):
        return _to_rows(t, n, mask, view, layout)


def _without_autocast(t: Tensor | PackedSequence) -> AbstractContextManager[object]:
    """A view is computed in the precision of what it is given, wherever the forward pass runs."""
    kind = t.data.device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


def _to_rows(t: Tensor | PackedSequence, n: int, mask: Tensor | None, view: View, layout: Layout) -> tuple[Tensor, str]:
    if isinstance(t, PackedSequence):
        t, lengths = padded(t)
        mask, layout = real_steps(t, lengths), _DEFAULT
    elif t.is_nested:
        t = t.to_padded_tensor(0.0)
        mask = None if mask is None else mask[:, : t.shape[1]]
    if callable(view):
        rows, name = _by_function(view, t.detach())
    else:
        rows, name = _positions_to_rows(_rows_first(t.detach(), n, layout), layout, mask, view)
    if rows.ndim != 2 or len(rows) != n:
        raise BadInput(f"its view {name!r} has shape {tuple(rows.shape)}; expected ({n}, d), one row an input")
    if rows.is_complex():
        rows = torch.view_as_real(rows).flatten(1)
    rows = rows if rows.is_floating_point() else rows.float()
    if rows.shape[1] > MAX_FEATURES:
        return orthonormal_buckets(rows, MAX_FEATURES), f"{name}, {MAX_FEATURES} orthonormal directions"
    return rows, name


def _by_function(view: Callable[[Tensor], Tensor], t: Tensor) -> tuple[Tensor, str]:
    name = getattr(view, "__name__", "custom")
    try:
        rows = view(t)
    except Exception as e:
        raise BadInput(f"its view {name!r} failed on shape {tuple(t.shape)}: {type(e).__name__}: {e}") from e
    if not isinstance(rows, Tensor):
        raise BadInput(f"its view {name!r} gave a {type(rows).__name__}; expected a tensor (n, d)")
    return rows, name


def _rows_first(t: Tensor, n: int, layout: Layout) -> Tensor:
    if layout.rows_second and t.ndim >= 3:
        if t.shape[1] == n:
            return t.transpose(0, 1)
        raise BadInput(
            f"it is batch_first=False, so its output {tuple(t.shape)} has {t.shape[1]} rows, but the model's inputs "
            f"have {n}: rows must be the first axis of what the model is called with"
        )
    if t.ndim and t.shape[0] == n:
        return t
    if t.ndim >= 3 and t.shape[1] == n:
        return t.transpose(0, 1)
    raise BadInput(f"its output has shape {tuple(t.shape)}, without an axis of {n} rows")


def _positions_to_rows(t: Tensor, layout: Layout, mask: Tensor | None, view: ViewName) -> tuple[Tensor, str]:
    if t.ndim <= 2:
        return t.reshape(len(t), -1), "as is"
    channels_first = t.ndim >= 4 or layout.channels_first
    if view == "flatten":
        return t.flatten(1), "flatten"
    if view == "first":
        return (t.flatten(2)[:, :, 0], "first position") if channels_first else (t[:, 0].flatten(1), "first token")
    if not t.is_floating_point() and not t.is_complex():
        t = t.float()
    if channels_first:
        t = t.flatten(2)
        return t.mean(2, dtype=_summed_in(t, t.shape[2])), "mean over space"
    dtype = _summed_in(t, t.shape[1])
    if mask is None or mask.shape != t.shape[:2]:
        return t.mean(1, dtype=dtype), "mean over tokens"
    weight = mask.to(t).unsqueeze(2)
    return (t * weight).sum(1, dtype=dtype) / weight.sum(1, dtype=dtype).clamp_min(1), UNMASKED


def _summed_in(t: Tensor, positions: int) -> torch.dtype:
    """Single precision for means of halves, which are finer than what they are taken of; one position is as it was."""
    return torch.float32 if positions > 1 and t.dtype in (torch.float16, torch.bfloat16) else t.dtype


def token_mask(kwargs: Mapping[str, Any]) -> Tensor | None:
    """Which tokens count, from the keywords of the root call or of the layer's own; None when none says so."""
    keep = kwargs.get("attention_mask")
    if isinstance(keep, Tensor) and keep.ndim == 2:
        return keep != 0
    for key in ("src_key_padding_mask", "key_padding_mask", "padding_mask"):
        pad = kwargs.get(key)
        if isinstance(pad, Tensor) and pad.ndim == 2:
            return ~pad if pad.dtype == torch.bool else pad == 0
    return None


def orthonormal_buckets(rows: Float[Tensor, "n d"], k: int) -> Float[Tensor, "n k"]:
    """Project onto k fixed orthonormal directions: signed sums over disjoint random sets of units.

    Disjoint supports make the directions orthogonal at the cost of one pass, without a d × k matrix.
    """
    d = rows.shape[1]
    generator = torch.Generator().manual_seed(d)
    order = torch.randperm(d, generator=generator).to(rows.device)
    sign = (torch.randint(0, 2, (d,), generator=generator) * 2 - 1).to(rows.device)
    bucket = torch.arange(d, device=rows.device) % k
    size = torch.bincount(bucket, minlength=k)
    wide = torch.promote_types(rows.dtype, torch.float32)  # sums in half precision would lose the small units
    sums = rows.new_zeros(len(rows), k, dtype=wide)
    step = max(_SCRATCH // d, 1)
    for into, part in zip(torch.split(sums, step), torch.split(rows, step), strict=True):
        into.index_add_(1, bucket, part.to(wide)[:, order] * sign)
    return sums.div_(size.to(wide).sqrt()).to(rows.dtype)

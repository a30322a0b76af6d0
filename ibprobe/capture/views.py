"""A module's output as rows: which tensor, which axis is the row, how positions become one vector."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from ibprobe.capture.encoders import Encoded
from ibprobe.capture.layouts import Layout
from ibprobe.capture.packed import padded, real_steps
from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Float

TokenView = Literal["token", "next_token"]
ViewName = Literal["auto", "flatten", "first", "last", TokenView]
View = ViewName | Callable[[Tensor], Tensor]
Views = View | Mapping[str, View]
"""One for all layers, or one for each pattern of names; layers that no pattern fits have ``auto``."""
NamedView = ViewName | str | Callable[[Tensor], Tensor]
ViewSpec = NamedView | Mapping[str, NamedView]
"""The same as a user writes it, names of plugins among them."""

MAX_FEATURES = 4096
"""Wider rows are projected onto this many fixed orthonormal directions."""


_DEFAULT = Layout()


@dataclass(frozen=True, slots=True)
class _Marks:
    """What is known of tokens, ``(n, tokens)`` each: which count, and which one was chosen."""

    mask: Tensor | None = None
    pick: Tensor | None = None

    def first(self, tokens: int) -> _Marks:
        """Of so many tokens only."""
        return _Marks(*(None if m is None else m[:, :tokens] for m in (self.mask, self.pick)))

    def of(self, t: Tensor, marks: Tensor | None) -> Tensor | None:
        """Those, if they are of this output's tokens."""
        return None if marks is None or marks.shape != t.shape[:2] else marks.to(t.device)


_SCRATCH = 2**20
"""Numbers that a projection copies at a time."""


def check_view(view: object, layers: Collection[str]) -> None:
    """Raise ``BadInput`` unless ``view`` is a known name, a function, or gives one for patterns of these layers."""
    parts = view.items() if isinstance(view, Mapping) else [("*", view)]
    for pattern, part in parts:
        if not callable(part) and part not in get_args(ViewName):
            known = ", ".join(map(repr, get_args(ViewName)))
            raise BadInput(
                f"view= is one of {known}, a function from an output tensor to rows (n, d), or a mapping from patterns "
                f"of layers' names to such; got {part!r}"
            )
        if isinstance(view, Mapping) and not any(fnmatchcase(name, pattern) for name in layers):
            raise BadInput(f"view= has the pattern {pattern!r}, which fits none of the layers {', '.join(layers)}")


def view_of(view: Views, layer: str) -> View:
    """The view of one layer."""
    if not isinstance(view, Mapping):
        return view
    return next((part for pattern, part in view.items() if fnmatchcase(layer, pattern)), "auto")


def named(view: ViewSpec) -> str:
    """A view as text."""
    if isinstance(view, Mapping):
        return ", ".join(f"{pattern}: {named(part)}" for pattern, part in view.items())
    return view if isinstance(view, str) else getattr(view, "__name__", "custom")


def described(output: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an output before any view; nothing of what holds no tensor."""
    t = pick_tensor(output)
    if t is None:
        return (), ""
    return () if t.data.is_nested else tuple(t.data.shape), str(t.data.dtype).removeprefix("torch.")


def pick_tensor(output: Any) -> Tensor | PackedSequence | None:
    """What stands for an output: the tensor itself, ``last_hidden_state``, ``logits``, or the first one."""
    if isinstance(output, Encoded):
        return pick_tensor(output.output)
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
    output: Any,
    *,
    n: int,
    mask: Tensor | None = None,
    view: View = "auto",
    layout: Layout = _DEFAULT,
    pick: Tensor | None = None,
) -> tuple[Float[Tensor, "n d"], str]:
    """Turn a module's output into rows.

    Args:
        output: what the module returned.
        n: rows of the forward pass; an output whose *second* axis has n and whose first has not is transposed.
        mask: ``(n, tokens)``, true where a token counts.
        view: ``auto`` averages over positions (space, time, tokens), ``flatten`` keeps them all, ``first`` and ``last``
            take one token, ``token`` and ``next_token`` the one that ``pick`` says; a function does as it likes; all
            before any copy.
        layout: what the axes mean in three dimensions.
        pick: ``(n, tokens)``, true at one token a row; outputs of another shape are averaged.

    Returns:
        Rows ``(n, d)`` of floating numbers, and the name of the view.

    Raises:
        BadInput: there is no tensor, or no axis with n rows; the message says what came.
    """
    t = pick_tensor(output)
    if t is None:
        raise BadInput(f"its output is a {type(output).__name__} without a tensor that has rows")
    with _without_autocast(t):
        return _to_rows(t, n, _Marks(mask, pick), view, layout)


def _without_autocast(t: Tensor | PackedSequence) -> AbstractContextManager[object]:
    """A view is computed in the precision of what it is given, wherever the forward pass runs."""
    kind = t.data.device.type
    on = torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)
    return torch.autocast(kind, enabled=False) if on else nullcontext()


def _to_rows(t: Tensor | PackedSequence, n: int, marks: _Marks, view: View, layout: Layout) -> tuple[Tensor, str]:
    if isinstance(t, PackedSequence):
        t, lengths = padded(t)
        marks, layout = _Marks(real_steps(t, lengths)), _DEFAULT
    elif t.is_nested:
        t = t.to_padded_tensor(0.0)
        marks = marks.first(t.shape[1])
    if callable(view):
        rows, name = _by_function(view, t.detach())
    else:
        rows, name = _positions_to_rows(_rows_first(t.detach(), n, layout), layout, marks, view)
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


def _positions_to_rows(t: Tensor, layout: Layout, marks: _Marks, view: ViewName) -> tuple[Tensor, str]:
    if t.ndim <= 2:
        return t.reshape(len(t), -1), "as is"
    channels_first = t.ndim >= 4 or layout.channels_first
    if channels_first and view in ("first", "last"):
        return t.flatten(2)[:, :, 0 if view == "first" else -1], f"{view} position"
    if view == "flatten":
        return _flat(t, None if channels_first else marks.of(t, marks.mask))
    found = None if channels_first else _token(t, marks, view)
    if found is not None:
        return found
    if not t.is_floating_point() and not t.is_complex():
        t = t.float()
    if channels_first:
        t = t.flatten(2)
        return t.mean(2, dtype=_summed_in(t, t.shape[2])), "mean over space"
    return _mean(t, marks)


def _flat(t: Tensor, mask: Tensor | None) -> tuple[Tensor, str]:
    """All positions; what a model computes at padding is no part of a row."""
    if mask is None:
        return t.flatten(1), "flatten"
    return t.masked_fill(mask[:, :, None] == 0, 0).flatten(1), "flatten, unmasked tokens"


def _token(t: Tensor, marks: _Marks, view: ViewName) -> tuple[Tensor, str] | None:
    """One token a row, where the view says so and it is known which."""
    mask, pick = marks.of(t, marks.mask), marks.of(t, marks.pick)
    if view in get_args(TokenView) and pick is not None:
        return t[pick].flatten(1), f"one unmasked token{', the next as label' * (view == 'next_token')}"
    if view not in ("first", "last"):
        return None
    if mask is None:
        return t[:, 0 if view == "first" else -1].flatten(1), f"{view} token"
    place = mask.long() if view == "first" else mask * torch.arange(t.shape[1], device=t.device)
    return t[torch.arange(len(t), device=t.device), place.argmax(1)].flatten(1), f"{view} unmasked token"


def _mean(t: Tensor, marks: _Marks) -> tuple[Tensor, str]:
    dtype, mask = _summed_in(t, t.shape[1]), marks.of(t, marks.mask)
    if mask is None:
        return t.mean(1, dtype=dtype), "mean over tokens"
    weight = mask.to(t).unsqueeze(2)
    return (t * weight).sum(1, dtype=dtype) / weight.sum(1, dtype=dtype).clamp_min(1), "mean over unmasked tokens"


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

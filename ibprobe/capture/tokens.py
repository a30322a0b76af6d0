"""One token a sequence: rows that are independent of each other, each with the label of its token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor

from ibprobe.capture.rows import Batch, take_rows, tensors_in
from ibprobe.capture.views import TokenView, View, token_mask
from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from jaxtyping import Bool, Int

IGNORED = -100
"""The label that a loss passes over, in torch and in everything built on it."""
_MANY, _RARE = 50, 0.01
"""With more classes than this, those below this share of the rows are one class."""


def token_view(view: View | Mapping[str, View]) -> TokenView | None:
    """Which of the views takes one token a sequence, if one does."""
    parts = view.values() if isinstance(view, Mapping) else [view]
    return next((name for name in get_args(TokenView) if name in parts), None)


def one_token_each(batches: Sequence[Batch], view: TokenView, *, decoder: bool = False) -> list[Batch]:
    """Choose a token of each sequence, and its label where labels are ``(n, tokens)``.

    The choice depends on the input alone, so that it is the same at every snapshot. Tokens count that are unmasked and
    whose label is not -100; sequences without one are left out.

    Args:
        batches: sequences, with labels for all tokens, one for each sequence, or none.
        view: ``token`` pairs a token with its own label, ``next_token`` with that of the one after it.
        decoder: labels are of a decoder's tokens, and the mask of those that its encoder reads.

    Raises:
        BadInput: nothing tells how many tokens a sequence has, or no token counts.
    """
    chosen = [_chosen(batch, view == "next_token", decoder) for batch in batches]
    if not any(batch.n for batch in chosen):
        raise BadInput(
            f"view={view!r} takes a token that is unmasked and whose label is not {IGNORED}, but there is none in "
            f"{sum(b.n for b in batches)} rows: look at attention_mask and labels"
        )
    return [batch for batch in chosen if batch.n]


def _chosen(batch: Batch, shift: bool, decoder: bool) -> Batch:
    labels = _aligned(batch.y, shift)
    counts = labels != IGNORED if decoder and labels is not None else _counting(batch, labels)
    keep = counts.any(1).nonzero()[:, 0]
    pick = _nth(counts[keep], batch.keys[keep])
    args, kwargs, y = take_rows((batch.args, batch.kwargs, batch.y), keep, batch.n)
    if labels is not None:
        y = labels[keep][pick]
    return Batch(args, kwargs, batch.keys[keep], y, pick)


def _aligned(y: Tensor | None, shift: bool) -> Tensor | None:
    """Labels by the token that they are paired with; None when there is one for a whole sequence, or none."""
    if y is None or y.ndim != 2 or y.is_floating_point():
        return None
    y = y.cpu()
    return torch.cat([y[:, 1:], y.new_full((len(y), 1), IGNORED)], 1) if shift else y


def _counting(batch: Batch, labels: Tensor | None) -> Bool[Tensor, "n tokens"]:
    mask = token_mask(batch.kwargs)
    if labels is not None:
        labelled = labels != IGNORED
        return labelled & mask.cpu() if mask is not None and mask.shape == labels.shape else labelled
    if mask is not None:
        return mask.cpu()
    ids = next((t for t in tensors_in((batch.args, batch.kwargs)) if t.ndim == 2 and not t.is_floating_point()), None)
    if ids is None:
        raise BadInput("views of one token need labels or an attention_mask of shape (n, tokens), or token numbers")
    return torch.ones(ids.shape, dtype=torch.bool)


def _nth(counts: Bool[Tensor, "n tokens"], keys: Int[Tensor, " n"]) -> Bool[Tensor, "n tokens"]:
    """One of the tokens that count in each row, as its key says."""
    which = keys % counts.sum(1)
    return counts & (counts.cumsum(1) == which[:, None] + 1)


def common(y: Tensor) -> Tensor:
    """Labels in which rare classes are one where there are many: hundreds of rows tell little of each alone.

    I(T; common(Y)) is at most I(T;Y), and its ceiling H(common(Y)) is at most H(Y).
    """
    labelled = y != IGNORED
    classes, index, n = torch.unique(y[labelled], return_inverse=True, return_counts=True)
    if len(classes) <= _MANY:
        return y
    rare, coarse = n < max(_RARE * len(index), 2), y.clone()
    coarse[labelled] = torch.where(rare, classes[-1] + 1, classes)[index]  # a class, and not one that is passed over
    return coarse

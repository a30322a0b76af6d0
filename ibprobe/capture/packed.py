"""Packed sequences as padded tensors with a row a sequence, in the user's order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, Shaped


def padded(packed: PackedSequence) -> tuple[Shaped[Tensor, "n tokens *features"], Int[Tensor, " n"]]:
    """Sequences filled up with zeros, and the length of each."""
    return pad_packed_sequence(packed, batch_first=True)


def real_steps(t: Shaped[Tensor, "n tokens *features"], lengths: Int[Tensor, " n"]) -> Bool[Tensor, "n tokens"]:
    """Where a padded tensor holds a step of a sequence."""
    return torch.arange(t.shape[1], device=t.device) < lengths.to(t.device)[:, None]


def take_sequences(packed: PackedSequence, index: Int[Tensor, " k"]) -> PackedSequence:
    """A copy of the given sequences, in the order that they are given in."""
    t, lengths = padded(packed)
    kept = t.detach()[index.to(t.device)], lengths[index.to(lengths.device)]
    return pack_padded_sequence(*kept, batch_first=True, enforce_sorted=False)

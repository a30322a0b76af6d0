"""The labels of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ibprobe import BadInput

_KEYS = ("labels", "label", "y", "target", "targets")


def labels_of(batch: Any) -> Tensor:
    """The second of a pair, or what a mapping names ``labels``, ``label``, ``y``, ``target`` or ``targets``.

    Args:
        batch: what the data loader gave.

    Raises:
        BadInput: the batch has another form.
    """
    found = None
    if isinstance(batch, Mapping):
        found = next((batch[key] for key in _KEYS if key in batch), None)
    elif isinstance(batch, tuple | list) and len(batch) == 2:
        found = batch[1]
    if not isinstance(found, Tensor):
        raise BadInput(
            f"no labels found in a batch that is a {_told(batch)}: pass labels=, a function from a batch to its labels"
        )
    return found


def _told(batch: Any) -> str:
    kind = type(batch).__name__
    if isinstance(batch, Mapping):
        return f"{kind} with the keys {', '.join(map(repr, batch))}"
    return f"{kind} of {len(batch)}" if isinstance(batch, tuple | list) else kind

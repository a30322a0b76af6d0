"""Which lower precision training computes in, where autocast says so."""

from __future__ import annotations

from typing import no_type_check

import torch


@no_type_check  # compilers read it
def autocast_here() -> dict[str, str]:
    """The types of device for which autocast is on, each with its dtype."""
    on = [kind for kind in ("cpu", "cuda", "mps", "xpu") if torch.is_autocast_enabled(kind)]
    return {kind: str(torch.get_autocast_dtype(kind)).removeprefix("torch.") for kind in on}

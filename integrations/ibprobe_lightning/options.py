"""The options of a probe that a callback may be given."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from ibprobe import IBProbe, UnknownName

_SHOWN_BY_LIGHTNING = ("model", "loss", "optimizer")


def check_names(options: Iterable[str]) -> None:
    """Make sure that a probe has options of these names.

    Raises:
        UnknownName: it has not, or Lightning shows what the option would say.
    """
    known = inspect.signature(IBProbe).parameters.keys() - set(_SHOWN_BY_LIGHTNING)
    hint = "Model, steps and labels are seen by themselves; module= and labels= say which"
    for name in options:
        if name not in known:
            raise UnknownName("option", name, known | {"module", "labels", "report"}, hint)

"""What a user can get wrong, each as one exception that says what to do next."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class ProbeError(Exception):
    """Any mistake that ibprobe reports to its user."""


class BadInput(ProbeError, ValueError):
    """Data, shapes or options that cannot be measured as they are."""


class NoRows(BadInput):
    """A snapshot was asked for before there was anything to measure."""


class ReplayFailed(ProbeError, RuntimeError):
    """The user's model raised when it was run aside from its training."""


class UnknownName(ProbeError, LookupError):
    """A layer, flag, estimator, sink or column that does not exist.

    Args:
        kind: what it would be.
        name: what was asked for.
        known: names that there are; the closest are shown.
        hint: what else to say.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        close = get_close_matches(name, names, n=3, cutoff=0.5)
        shown = ", ".join(close or names[:12]) + (", …" if not close and len(names) > 12 else "")
        lead = "did you mean" if close else "there are"
        super().__init__(f"no {kind} named {name!r}; {lead}: {shown or 'none'}{'. ' + hint if hint else ''}")


class MissingExtra(ProbeError, ImportError):
    """A feature whose optional packages are not installed.

    Args:
        feature: what was asked for.
        package: what it needs.
        extra: of ibprobe, which installs that.
    """

    def __init__(self, feature: str, package: str, extra: str) -> None:
        super().__init__(f"{feature} needs {package}, which is not installed: pip install 'ibprobe[{extra}]'")


class BadRun(ProbeError):
    """A run directory that is missing, foreign, damaged, or taken by another run.

    Args:
        message: what is wrong with it.
        records: what could be read nevertheless, as ``Records``.
    """

    def __init__(self, message: str, records: Any = None) -> None:
        super().__init__(message)
        self.records = records

"""What a plugin's ``build`` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Made = TypeVar("Made")


def built(build: Callable[[], Made]) -> Made:
    """What ``build`` makes; the thing itself in its place is a broken promise like any other."""
    assert callable(build), f"expected build, a function without arguments; got {build!r}: pass  lambda: …"
    try:
        return build()
    except Exception as e:
        raise AssertionError(f"build(): expected no error, got {type(e).__name__}: {e}") from e

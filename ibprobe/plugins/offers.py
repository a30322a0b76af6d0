"""What plugins offer, and whether it is what their hook says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ibprobe.errors import BadInput
from ibprobe.hookspecs import Kind
from ibprobe.sinks.fanout import Sink


@dataclass(frozen=True, slots=True)
class Offer:
    """Something by name, and the plugin that it comes from."""

    plugin: Any
    """A record of the kind that the hook yields, with ``name``, ``summary`` and ``build``."""
    source: str


def checked(kind: Kind, item: Any) -> Any:
    """What a hook yielded.

    Raises:
        BadInput: it is not what the hook says.
    """
    if not isinstance(item, kind.offers):
        raise BadInput(f"{kind.hook} yielded {item!r}; expected {kind.offers.__name__}(name, summary, build)")
    if not (isinstance(item.name, str) and item.name and isinstance(item.summary, str) and callable(item.build)):
        raise BadInput(f"{kind.hook} yielded {item!r}; expected two texts and a function without arguments")
    if item.name == "auto" and kind.name != "view":
        raise BadInput(f"{kind.hook} yielded {item!r}; expected another name, for 'auto' is what is there by default")
    return item


def a(kind: str) -> str:
    """With its article."""
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def called(name: str, function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The function under the plugin's name, for that is what records say."""

    def view(t: Tensor) -> Tensor:
        return function(t)

    view.__name__ = name
    return view


def _is_sink(built: Any) -> bool:
    return isinstance(built, Sink) and not isinstance(built, type)


FITS: Mapping[str, Callable[[Any], bool]] = {
    "estimator": callable,
    "sink": _is_sink,
    "view": lambda built: callable(built) or isinstance(built, str),
    "section": callable,
}
"""Whether something that was built is of a kind."""
EXPECTED = {
    "estimator": "a function (pairs, folds, *, seed) -> readings by name",
    "sink": "an object with the methods open, write, tick and close",
    "view": "a function from an output tensor to rows (n, d)",
    "section": "a function from what is shown to a Section or None",
}
"""What is said where it is not."""

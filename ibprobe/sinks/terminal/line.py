"""A snapshot in one line, for logs: the same layers in every line, so that lines can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ibprobe.record.records import SYMBOLS
from ibprobe.sinks.terminal.values import SHOWN, Key, Values, by_note, evenly, flags, headline, value_text

_FOR_LAYERS = 100
"""Characters for names and values; step, unit and rows take some 60 more."""
_A_VALUE = 13
"""Of these, ``3.63/1.80`` and what sets it off."""
_A_NAME = 32
_A_LINE = 240
"""Characters that no line exceeds, however much is new in it."""


class Lines:
    """Writes lines, and remembers what was new in an earlier one."""

    def __init__(self) -> None:
        self._said: set[tuple[str, Key]] = set()

    def line(self, values: Values) -> str:
        """The last snapshot and what is new at it; empty when nothing was measured and that is no news."""
        news = [*self._flags(values), *self._gaps(values)]
        measured = _measured(values) or ("nothing measured" if news else "")
        text = f"step {values.step}: {measured}" + (f"; new: {', '.join(news)}" if news else "")
        return _cut(text, _A_LINE) if measured else ""

    def _flags(self, values: Values) -> Iterator[str]:
        found = [(flag, key) for key, cell in values.cells.items() for flag in sorted(flags(cell))]
        for flag, keys in by_note(self._unsaid(found)):
            yield f"{flag}{values.where(keys, names=2)}"

    def _gaps(self, values: Values) -> Iterator[str]:
        """What could not be measured; the reason may change its numbers from step to step and is no news by itself."""
        whys = {e.quantity: e.why for e in values.missing}
        for quantity, keys in by_note(self._unsaid([(e.quantity, (e.layer, e.split)) for e in values.missing])):
            what = f"{SYMBOLS.get(quantity, quantity)} " if quantity else ""
            yield f"{what}not measured{values.where(keys, names=2)}: {whys[quantity]}"

    def _unsaid(self, notes: Iterable[tuple[str, Key]]) -> list[tuple[str, Key]]:
        new = [note for note in notes if note not in self._said]
        self._said.update(new)
        return new


def _measured(values: Values) -> str:
    """The values of the first kind of rows; the table at the end has the others."""
    split = values.splits[0] if values.splits else ""
    layers = [layer for layer, its in values.cells if its == split]
    shown = _that_fit(layers)
    some = f", {len(shown)} of {len(layers)} layers" if len(shown) < len(layers) else ""
    what = "/".join(SYMBOLS[q] for q in SHOWN)
    each = (f"{_name(layer)} {_point(values, (layer, split))}" for layer in shown)
    return f"{' · '.join(each)} ({what} nats, {split}{some})" if layers else ""


def _that_fit(layers: Sequence[str]) -> list[str]:
    """As many as fit, evenly from the first to the last: which, depends on names alone and stays through a run."""
    for count in range(len(layers), 2, -1):
        some = [layers[i] for i in evenly(len(layers), count)]
        if sum(len(_name(layer)) + _A_VALUE for layer in some) <= _FOR_LAYERS:
            return some
    return [layers[i] for i in evenly(len(layers), 2)]


def _point(values: Values, key: Key) -> str:
    return "/".join(value_text(headline(values.cells[key], q), values.step) for q in SHOWN)


def _name(layer: str) -> str:
    return layer if len(layer) <= _A_NAME else f"…{layer[1 - _A_NAME :]}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"

"""What a probe sees of each layer and what it holds, as one page of text."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from ibprobe.capture.buffer import MAX_BYTES
from ibprobe.capture.rows import ROWS_BYTES, Sighting, tensors_in
from ibprobe.capture.sources import Source
from ibprobe.estimate.kernel import SCRATCH_BYTES
from ibprobe.runtime.journal import Journal
from ibprobe.schedule import Budget

_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A truth table: one line a layer, or a call of it."""

    status: str
    """``armed``, ``not attached``, ``detached at step …``, ``switched off``, ``at rest``, or ``disarmed: why``."""
    layers: tuple[Sighting, ...]
    """What was seen of each layer when rows were last taken."""
    facts: tuple[str, ...]
    """Memory, budget, sinks."""

    @property
    def silent(self) -> dict[str, str]:
        """Layers that gave no rows, with the likely reason."""
        return {s.layer: s.why for s in self.layers if s.why}

    def __str__(self) -> str:
        out = io.StringIO()
        console = Console(file=out, width=_WIDTH, color_system=None)
        console.print(f"ibprobe: {self.status}", markup=False, highlight=False)
        console.print(_table(self.layers) if self.layers else "nothing was seen of any layer yet")
        for fact in self.facts:
            console.print(fact, markup=False, highlight=False)
        return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def diagnosis(source: Source | None, journal: Journal, budget: Budget, *, armed: bool, off: str) -> Diagnosis:
    """Look at the parts of a probe.

    Args:
        source: where rows come from; None for a probe that does nothing.
        journal: what was found.
        budget: what it cost.
        armed: whether the hooks are at work.
        off: why it does nothing.
    """
    if source is None:
        return Diagnosis(off, (), ())
    return Diagnosis(
        "armed" if armed else _at_rest(journal),
        tuple(source.sightings),
        (*_memory(source, len(journal.records)), budget.summary(), *journal.left_out),
    )


def _at_rest(journal: Journal) -> str:
    """Why its hooks are not at work: what ended the last run, if there was one."""
    ended = [e for e in journal.records.events if e.kind in ("disarmed", "cost")]
    if not ended:
        return "not attached"
    # A run that was disarmed tells its cost all the same when it ends.
    why = next((e.why for e in ended[-2:] if e.kind == "disarmed"), "")
    return f"disarmed: {why}" if why else f"detached at step {ended[-1].step}"


_RECORD = 300
"""Bytes of a record in a saved state."""


def _memory(source: Source, records: int) -> Sequence[str]:
    held, kept = source.bytes_held(), sum(t.numel() * t.element_size() for t in tensors_in(source.state_dict()))
    return (
        f"memory: {_size(held)} of inputs or gathered rows (at most {_size(MAX_BYTES)} of inputs); while a snapshot is "
        f"worked on at most {_size(ROWS_BYTES)} of rows, and {_size(SCRATCH_BYTES)} of scratch",
        f"state_dict(): {_size(kept + _RECORD * records)}, and what critics have learned",
    )


def _size(size: int) -> str:
    return f"{size / 2**20:.0f} MiB" if size >= 2**20 else f"{size / 2**10:.0f} KiB"


def _table(layers: Sequence[Sighting]) -> Table:
    table = Table(box=None, pad_edge=False)
    several = len({s.split for s in layers}) > 1
    first = ["layer", *["split"] * several]
    for name in (*first, "calls", "output", "dtype", "view", "rows", "mask", "why it gives no rows"):
        table.add_column(name, justify="right" if name in ("calls", "rows") else "left", overflow="fold")
    for s in layers:
        shape = "×".join(map(str, s.shape))
        table.add_row(
            s.layer, *[s.split] * several, str(s.calls), shape, s.dtype, s.view, str(s.rows),
            "yes" if s.masked else "", s.why,
        )  # fmt: skip
    return table

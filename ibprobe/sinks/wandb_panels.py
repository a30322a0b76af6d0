"""Records as W&B tables and charts, made and sent on a thread of their own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from ibprobe.record.records import Estimate, Records
from ibprobe.sinks.wandb_run import WandbRun

log = logging.getLogger("ibprobe")

MAX_ROWS = 10_000
"""W&B shows so many rows of a table; of more, whole snapshots are left out, evenly."""
PLANE_COLUMNS = (
    "layer", "split", "step", "I_XT", "I_TY", "I_XT_low", "I_XT_high", "I_TY_low", "I_TY_high", "flags",
)  # fmt: skip
RECORD_COLUMNS = tuple(f.name for f in fields(Estimate))
_PAUSE_SHARE = 0.25


def plane_rows(records: Sequence[Estimate]) -> list[list[Any]]:
    """The points of the plane: one row a layer, split and step that has both headline values."""
    found: dict[str, dict[tuple[Any, ...], Estimate]] = {"I_XT": {}, "I_TY": {}}
    for e in records:
        if e.headline and e.quantity in found:
            found[e.quantity][e.layer, e.split, e.step] = e
    pairs = ((point, xt, found["I_TY"].get(point)) for point, xt in found["I_XT"].items())
    return [
        [*point, xt.nats, ty.nats, xt.ci_low, xt.ci_high, ty.ci_low, ty.ci_high, ",".join(sorted(xt.flags | ty.flags))]
        for point, xt, ty in pairs
        if ty is not None
    ]


def record_rows(records: Sequence[Estimate]) -> list[list[Any]]:
    """Every field of every record; flags are joined by commas, a span is ``first-last``."""
    texts = ({"flags": ",".join(sorted(e.flags)), "span": f"{e.span[0]}-{e.span[1]}"} for e in records)
    return [
        [text.get(name, getattr(e, name)) for name in RECORD_COLUMNS]
        for e, text in zip(records, texts, strict=True)
    ]  # fmt: skip


def thinned(rows: list[list[Any]], step: int) -> list[list[Any]]:
    """About :data:`MAX_ROWS` rows at most: every k-th snapshot, and always the last.

    Args:
        rows: a table's rows.
        step: the column that holds the step.
    """
    steps = sorted({row[step] for row in rows}, reverse=True)
    every = -(-len(rows) // MAX_ROWS)
    kept = set(steps[::every])
    return rows if every <= 1 else [row for row in rows if row[step] in kept]


class Panels:
    """Draws on a thread of its own, for a table waits until the server answers.

    While training goes on, only the plane is redrawn: the page's charts need a script that holds Python's lock for
    over a second, and all records weigh more than a glance is worth. An update cannot misplace or lose a row, whenever
    the server lets it through: it names no step and ends no row, so W&B adds it to the row that is open then; nobody
    else writes its keys; and of two updates in one row the newer one stands.

    Args:
        run: where to draw.
        every: seconds between redraws at least; a quarter of the time so far if that is more, which makes about twenty
            in ten hours.
        patience: seconds that the end of the run waits for the last drawing.
    """

    def __init__(self, run: WandbRun, every: float, patience: float) -> None:
        self._run, self._every, self._patience = run, every, patience
        self._started = time.monotonic()
        self._next = self._started + every
        self._thread: threading.Thread | None = None
        self._failed = self._given_up = False

    @property
    def due(self) -> bool:
        """Whether it is time for a redraw, and the last one got through."""
        busy = self._thread is not None and self._thread.is_alive()
        return not busy and not self._failed and time.monotonic() >= self._next

    def redraw(self, records: Records) -> None:
        """Draw the plane as it stands, without waiting."""
        now = time.monotonic()
        self._next = now + max(self._every, _PAUSE_SHARE * (now - self._started))
        self._start(records, self._plane)

    def finish(self, records: Records) -> None:
        """Draw everything a last time, and wait for it as long as patience lasts."""
        deadline = time.monotonic() + self._patience
        if self._ended(deadline):
            # The page first, for it needs no answer of the server.
            self._start(records, self._page, self._plane, self._table)
        if not self._ended(deadline):
            self._given_up = True
            log.warning(
                "ibprobe: W&B has not taken the tables and charts of this run within %g s, they may be missing there; "
                "the run directory has everything",
                self._patience,
            )

    def _ended(self, deadline: float) -> bool:
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return self._thread is None or not self._thread.is_alive()

    def _start(self, records: Records, *draws: Callable[[Records], None]) -> None:
        # A daemon, for Python waits at its exit for any other thread, and the server may never answer.
        self._thread = threading.Thread(target=self._draw, args=(records, draws), name="ibprobe-wandb", daemon=True)
        self._thread.start()

    def _draw(self, records: Records, draws: Sequence[Callable[[Records], None]]) -> None:
        """Each by itself: what fails in one must not take the others along."""
        for draw in draws:
            try:
                draw(records)
            except Exception as e:
                self._failed = True
                if self._given_up:
                    return  # it was said already, and the user may have finished the run since
                log.warning("ibprobe: a table or chart of this run is not in W&B: %s: %s", type(e).__name__, e)

    def _plane(self, records: Records) -> None:
        if rows := plane_rows(records):
            self._run.log_plane(PLANE_COLUMNS, thinned(rows, PLANE_COLUMNS.index("step")))

    def _table(self, records: Records) -> None:
        self._run.log_records(RECORD_COLUMNS, thinned(record_rows(records), RECORD_COLUMNS.index("step")))

    def _page(self, records: Records) -> None:
        from ibprobe.show.page import plane_html

        if plane_rows(records):
            self._run.log_html(plane_html(records))

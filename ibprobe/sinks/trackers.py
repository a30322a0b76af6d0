"""What sinks for other trackers share: W&B's keys, at the training step, brought there beside training."""

from __future__ import annotations

import csv
import io
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.record.records import Estimate, Event, Records
from ibprobe.record.rundir import plain
from ibprobe.show.page import plane_html
from ibprobe.show.pictures import pictures, rendered
from ibprobe.show.theme import themed
from ibprobe.sinks.outbox import Outbox
from ibprobe.sinks.wandb import MAX_LAYERS
from ibprobe.sinks.wandb_keys import FINAL_STEP, LayerKeys, metrics_of, summary_of
from ibprobe.sinks.wandb_panels import RECORD_COLUMNS, record_rows

Numbers = Mapping[str, float | int]


class TrackerSink(ABC):
    """A sink that hands on numbers by key and step: ``ib_I_XT/<layer>``, ``ib_detail/…``, at the end ``ib_final/…``.

    With more than 16 layers the details are left out; the headline values stay. A subclass says how a run is found,
    what is done with the values of a step, and how it ends; it keeps no values of its own.

    Args:
        patience: seconds that the end of a run waits for a slow server; None for a tracker whose calls never wait, so
            that the thread that trains makes them itself.
        within: what separates the parts of a layer's name in its keys.
    """

    def __init__(self, patience: float | None = 30.0, *, within: str = "/") -> None:
        self._patience = patience
        self._keys = LayerKeys(within)
        self._estimates: list[Estimate] = []
        self._events: list[Event] = []
        self._meta: Mapping[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._details = True
        self._outbox: Outbox | None = None
        self._opened = False

    @abstractmethod
    def _begin(self, meta: Mapping[str, Any]) -> None:
        """Find the run. The thread that trains waits for it, before its first step.

        Args:
            meta: what is measured and how, as strict JSON can hold it.
        """

    @abstractmethod
    def _put(self, step: int, numbers: Numbers, texts: Mapping[str, str]) -> None:
        """Take the values of one step in.

        Args:
            step: optimizer steps taken.
            numbers: by key.
            texts: flags and views by key, where they are others than before.
        """

    @abstractmethod
    def _end(self, records: Records) -> None:
        """Flush, or write what is of the run as a whole.

        Args:
            records: everything; it may be empty.
        """

    def open(self, meta: Mapping[str, Any]) -> None:
        """Find the run; once closed, the sink may be opened again and goes on."""
        self._meta = meta
        self._details = len(meta.get("layers", ())) <= MAX_LAYERS
        self._begin(plain(meta))
        self._outbox = Outbox(type(self).__name__) if self._patience is not None else None
        self._opened = True

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Hand a snapshot's values on."""
        self._estimates += estimates
        self._events += events
        rows: dict[int, dict[str, Any]] = defaultdict(dict)
        for e in estimates:
            rows[e.step] |= {k: v for k, v in metrics_of(e, self._keys[e.layer]).items() if self._kept(k)}
        for step, row in rows.items():
            texts = {k: v for k, v in row.items() if isinstance(v, str) and v != self._texts.get(k, "")}
            self._texts |= texts
            numbers = {k: v for k, v in row.items() if not isinstance(v, str)}
            self._send(partial(self._put, step, numbers, texts))

    def tick(self) -> None:
        """Say what failed on the thread beside training, as soon as there is a step to say it at."""
        if self._outbox is not None:
            self._outbox.check()

    def close(self, summary: str) -> None:
        """Hand the last values and their means over layers on, and wait for all of it; repeating it does no harm."""
        if not self._opened:
            return
        self._opened = False
        last = summary_of(self._estimates, self._keys, each=self._details)
        try:
            if last:
                self._send(partial(self._put, int(last[FINAL_STEP]), last, {}))
            self._send(partial(self._end, Records(tuple(self._estimates), tuple(self._events), self._meta)))
        finally:
            if self._outbox is not None and self._patience is not None:
                self._outbox.close(self._patience)

    def _kept(self, key: str) -> bool:
        return self._details or not key.startswith("ib_detail/")

    def _send(self, errand: Callable[[], object]) -> None:
        if self._outbox is None:
            errand()
        else:
            self._outbox.put(errand)


def as_csv(records: Sequence[Estimate]) -> str:
    """Every field of every record; flags are joined by commas, a span is ``first-last``."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([RECORD_COLUMNS, *record_rows(records)])
    return text.getvalue()


def as_page(records: Records) -> str | None:
    """The verdict and the planes as one HTML page; None without the packages of the ``report`` extra."""
    try:
        return plane_html(records)
    except MissingExtra:
        return None


def planes_as_png(records: Records) -> dict[str, bytes]:
    """The planes as pictures by split; none where there is none, or without the packages of the ``report`` extra."""
    try:
        drawn = pictures([("", records)])
        planes = {name.removeprefix("plane-"): spec for name, spec in drawn.items() if name.startswith("plane-")}
        return {name: rendered(themed(spec), "png") for name, spec in planes.items()}
    except (BadInput, MissingExtra):
        return {}

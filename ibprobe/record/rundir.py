"""A run on disk: ``meta.json``, ``records.jsonl`` and ``events.jsonl``, appended and flushed as they come."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from ibprobe.errors import BadRun
from ibprobe.record.records import SCHEMA, Estimate, Event, Records

ROOT = Path("runs/ib")


def new_run_dir(root: Path = ROOT) -> Path:
    """A fresh path ``<root>/<UTC time>-<id>``; nothing is created yet."""
    return root / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:6]}"


class RunDir:
    """Sink that writes a run directory. Each line is complete before the next begins; a kill can tear the last only.

    Args:
        path: where; one run each.

    Raises:
        BadRun: there is a run already; two runs in one directory would pass for one.
    """

    def __init__(self, path: Path) -> None:
        if os.path.isfile(path / "meta.json"):
            raise BadRun(f"{path} already holds a run: give a new path (run_dir=, or --out), or leave it out")
        self.path = path
        self._files: dict[str, TextIO] = {}
        self._closing = ExitStack()
        self._begun = False

    def open(self, meta: Mapping[str, Any]) -> None:
        """Create the directory and write ``meta.json``; once closed, the same run may be opened again and goes on."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self._begun:
            with _writer(self.path / "meta.json", "x") as file:
                file.write(json.dumps(plain({"schema": SCHEMA, **meta}), indent=1, ensure_ascii=False) + "\n")
        self._begun = True
        for name in ("records", "events"):
            self._files[name] = self._closing.enter_context(_writer(self.path / f"{name}.jsonl", "a"))

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Append and flush."""
        self._append("records", [e.to_dict() for e in estimates])
        self._append("events", [asdict(e) for e in events])

    def _append(self, name: str, lines: list[dict[str, Any]]) -> None:
        if lines:
            self._files[name].write("".join(json.dumps(plain(line), ensure_ascii=False) + "\n" for line in lines))
            self._files[name].flush()

    def tick(self) -> None:
        """Nothing happens between snapshots."""

    def close(self, summary: str) -> None:
        """Close the files; repeating it does no harm."""
        self._closing.close()


def _writer(path: Path, mode: str) -> TextIO:
    # A name that is no valid UTF-8 (a lone surrogate) becomes an escape that JSON reads back as it was.
    return path.open(mode, encoding="utf-8", errors="backslashreplace")  # type: ignore[return-value]


def plain(value: Any) -> Any:
    """What strict JSON can hold: infinities and NaN, which it cannot, and objects that it does not know become text."""
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def load_run(path: str | Path) -> Records:
    """Read what a run recorded; a torn last line is left out and noted as an event.

    Args:
        path: a run directory.

    Raises:
        BadRun: the directory is missing or foreign, its schema is newer, or a line in the middle is damaged.
    """
    folder = Path(path)
    meta = _meta(folder)
    records, torn = _lines(folder / "records.jsonl")
    events, torn_events = _lines(folder / "events.jsonl")
    notes = [
        Event(step=0, kind="note", why=f"the last line of {name} is torn and was left out")
        for name, is_torn in (("records.jsonl", torn), ("events.jsonl", torn_events))
        if is_torn
    ]
    try:
        estimates = tuple(map(Estimate.from_dict, records))
        return Records(estimates, (*map(Event.from_dict, events), *notes), meta)
    except (KeyError, TypeError, ValueError) as e:
        raise BadRun(f"{folder} holds lines that are no ibprobe records: {type(e).__name__}: {e}") from e


def _meta(folder: Path) -> dict[str, Any]:
    file = folder / "meta.json"
    if not file.is_file():
        runs = sorted(p.parent for p in folder.glob("*/meta.json"))
        hint = f"; it holds {len(runs)} of them, the newest is {runs[-1]}" if runs else ""
        raise BadRun(f"{folder} is no run directory: expected meta.json, records.jsonl and events.jsonl in it{hint}")
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        raise BadRun(f"{file} is not readable JSON: {e}") from e
    if not isinstance(meta, dict) or not isinstance(meta.get("schema"), int):
        raise BadRun(f"{file} has no schema number: it was not written by ibprobe")
    if meta["schema"] > SCHEMA:
        raise BadRun(f"{folder} has schema {meta['schema']}, this version reads up to {SCHEMA}: upgrade ibprobe")
    return meta


def _lines(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """The JSON lines of a file, and whether its last one is torn."""
    if not path.is_file():
        return [], False
    text = path.read_text(encoding="utf-8", errors="replace").split("\n")
    found: list[dict[str, Any]] = []
    for number, line in enumerate(text, 1):
        if not line:
            continue
        try:
            found.append(dict(json.loads(line)))
        except (TypeError, ValueError) as e:
            if number == len(text):
                return found, True
            raise BadRun(f"{path}, line {number} is damaged: {e}; {len(found)} lines before it are readable") from e
    return found, False

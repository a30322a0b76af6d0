"""A run on disk: ``meta.json`` and JSON lines of records, events and the user's curves, appended as they come."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO, TypeVar

from ibprobe.errors import BadRun
from ibprobe.record.lines import Lines, in_order, missing_ranks, of_rank, ranks_in
from ibprobe.record.records import SCHEMA, Estimate, Event, Logged, Records

_ROOT = Path("runs/ib")
_FILES = ("records", "events", "curves")
_T = TypeVar("_T")


def new_run_dir() -> Path:
    """A fresh path ``runs/ib/<UTC time>-<id>``; nothing is created yet."""
    return _ROOT / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:6]}"


class RunDir:
    """Sink that writes a run directory. Each line is complete before the next begins; a kill can tear the last only.

    Args:
        path: where; one run each.
        rank: the process that writes; those beside the first have files of their own there.
    """

    def __init__(self, path: Path, rank: int = 0) -> None:
        self.path, self.rank = path, rank
        self._files: dict[str, TextIO] = {}
        self._closing = ExitStack()
        weakref.finalize(self, self._closing.close)  # of a run that is let go of without its end
        self._begun = False
        self._before = Records()

    def check(self, run: object) -> None:
        """Make sure that no other run is there: two in one directory would pass for one.

        Args:
            run: the name of the run that is to begin, or to go on.

        Raises:
            BadRun: there is another, or the same is being written by another probe.
        """
        if not self._begun and os.path.isfile(self.path / "meta.json") and not self.holds(run):
            raise BadRun(
                f"{self.path} already holds a run: give a new path (run_dir=, or --run-dir), or leave it out; to go on "
                "with that run, probe.load_state_dict(state) before attaching"
            )
        if not self._begun and _locked(self._file("records")):
            raise BadRun(f"{self.path} is being written by another probe: give a new path (run_dir=)")

    def _file(self, name: str) -> Path:
        return self.path / of_rank(name, self.rank)

    def elsewhere(self, path: Path) -> RunDir:
        """The same process's files in another directory."""
        return RunDir(path, self.rank)

    def known(self, until: int) -> dict[str, Any]:
        """What this process has written of steps up to one, for a journal to take up."""
        found = {name: Lines.of(self._file(name)).found for name in ("records", "events")}
        records, events = ([line for line in lines if line["step"] <= until] for lines in found.values())
        return {"estimates": records, "events": events, "logged": []}

    def holds(self, run: object) -> bool:
        """Whether this very run is there."""
        return run is not None and _meta(self.path)[0].get("run") == run

    def resume(self, before: Records) -> None:
        """Have the run go on after these records, when it is opened next."""
        self._before, self._begun = before, False

    def open(self, meta: Mapping[str, Any]) -> None:
        """Create the directory and write ``meta.json``; once closed, the same run may be opened again and goes on."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.check(meta.get("run"))
        if not os.path.isfile(self.path / "meta.json"):
            with _writer(self.path / "meta.json", "x") as file:
                file.write(json.dumps(plain({"schema": SCHEMA, **meta}), indent=1, ensure_ascii=False) + "\n")
        if not self._begun:
            self._go_on_after("records", _lines(self._before.estimates))
            self._go_on_after("events", _lines(self._before.events))
            self._go_on_after("curves", _lines(self._before.logged))
        for name in _FILES:
            self._files[name] = self._closing.enter_context(_writer(self._file(name), "a"))
        _lock(self._files["records"])
        self._begun = True

    def _go_on_after(self, name: str, known: str) -> None:
        """Have a file hold the known lines; others, which will be measured again, are set aside.

        A run that was killed may have written more than the state knows from which it goes on, and less.
        """
        file = self._file(name)
        there = file.read_text(encoding="utf-8", errors="backslashreplace") if file.is_file() else ""
        if there == known:
            return
        others = set(there.splitlines(keepends=True)) - set(known.splitlines(keepends=True))
        if others:
            with _writer(self._file(f"{name}.superseded"), "a") as aside:
                aside.writelines(line for line in there.splitlines(keepends=True) if line in others)
        with _writer(file.with_suffix(".tmp"), "w") as anew:
            anew.write(known)
        os.replace(file.with_suffix(".tmp"), file)

    def write(self, estimates: Sequence[Estimate], events: Sequence[Event]) -> None:
        """Append and flush."""
        self._append("records", _lines(estimates))
        self._append("events", _lines(events))
        self._files["curves"].flush()

    def _append(self, name: str, lines: str) -> None:
        if lines:
            self._files[name].write(lines)
            self._files[name].flush()

    def log(self, entry: Logged) -> None:
        """Append what the user logged; it reaches the disk with the next snapshot."""
        self._files["curves"].write(_lines([entry]))

    def tick(self) -> None:
        """Nothing happens between snapshots."""

    def close(self, summary: str) -> None:
        """Close the files; repeating it does no harm."""
        self._closing.close()


def _lines(entries: Iterable[Estimate | Event | Logged]) -> str:
    """A line of JSON each."""
    dicts = (e.to_dict() if isinstance(e, Estimate) else asdict(e) for e in entries)
    return "".join(json.dumps(plain(line), ensure_ascii=False) + "\n" for line in dicts)


def _lock(file: TextIO) -> None:
    """Keep others from going on with the same run; where files cannot be locked, they are not."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked(path: Path) -> bool:
    """Whether another run has a file open."""
    try:
        import fcntl

        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        return False
    return False


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
    """Read what a run recorded, by one process or by several; what is torn or missing is noted as an event.

    Args:
        path: a run directory.

    Raises:
        BadRun: the directory is missing or foreign, its schema is newer, or a line in the middle is damaged; its
            ``records`` hold what could be read nevertheless.
    """
    folder = Path(path)
    meta, problem = _meta(folder)
    # The first process has the last word on each step.
    files = [(name, of_rank(name, rank)) for rank in reversed(ranks_in(meta)) for name in _FILES]
    lines = {file: Lines.of(folder / file) for _, file in files}
    found = {name: [line for of, file in files if of == name for line in lines[file].found] for name in _FILES}
    estimates, foreign = _records(Estimate.from_dict, found["records"])
    events, foreign_events = _records(Event.from_dict, found["events"])
    logged, foreign_curves = _records(_logged, found["curves"])
    if len(ranks_in(meta)) > 1:
        estimates, events = in_order(estimates, meta.get("layers", ())), sorted(events, key=lambda e: e.step)
    torn = [f"the last line of {file} is torn and was left out" for file, of in lines.items() if of.torn]
    torn += [] if problem else missing_ranks(folder, meta)
    problems = [
        *([problem] if problem else []),
        *(text for of in lines.values() for text in of.damaged),
        *(f"{folder} holds lines that are no ibprobe records: {e}" for e in foreign + foreign_events + foreign_curves),
    ]
    notes = [Event(step=0, kind="note", why=why) for why in [*torn, *problems]]
    records = Records(tuple(estimates), (*events, *notes), meta, tuple(logged))
    if problems:
        more = f" (and {len(problems) - 1} more such problems)" if len(problems) > 1 else ""
        readable = f"; {len(estimates)} records are readable" if estimates else ""
        raise BadRun(f"{problems[0]}{readable}{more}", records if estimates else None)
    return records


def _logged(line: Mapping[str, Any]) -> Logged:
    return Logged(line["step"], {name: float(value) for name, value in line["values"].items()})


def _records(read: Callable[[Mapping[str, Any]], _T], lines: Sequence[Mapping[str, Any]]) -> tuple[list[_T], list[str]]:
    """What the lines say, and what is wrong with those that say nothing."""
    found, wrong = [], []
    for line in lines:
        try:
            found.append(read(line))
        except (AttributeError, KeyError, TypeError, ValueError) as e:
            wrong.append(f"{type(e).__name__}: {e}")
    return found, wrong


def _meta(folder: Path) -> tuple[dict[str, Any], str]:
    """The run's settings, and what is wrong with them."""
    file = folder / "meta.json"
    if not file.is_file():
        runs = sorted(p.parent for p in folder.glob("*/meta.json"))
        hint = f"; it holds {len(runs)} of them, the newest is {runs[-1]}" if runs else ""
        return {}, f"{folder} is no run directory: expected meta.json, records.jsonl and events.jsonl in it{hint}"
    try:
        meta = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as e:
        return {}, f"{file} is not readable JSON: {e}"
    if not isinstance(meta, dict) or not isinstance(meta.get("schema"), int):
        return {}, f"{file} has no schema number: it was not written by ibprobe"
    if meta["schema"] > SCHEMA:
        return meta, f"{folder} has schema {meta['schema']}, this version reads up to {SCHEMA}: upgrade ibprobe"
    return meta, ""

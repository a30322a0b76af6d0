"""What a W&B run has on this machine: its ``.wandb`` file, which offline runs have until they are uploaded."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from ibprobe.errors import BadRun, MissingExtra
from ibprobe.sinks.wandb_keys import AXIS, FINAL

_BLOCK, _HEADER, _BEGIN = 32_768, 7, b":W&B"
_WHOLE, _FIRST, _LAST = 1, 2, 4


@dataclass(slots=True)
class WandbFile:
    """A run's config, and what the probe wrote into its last snapshot and its summary."""

    config: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    step: int = -1
    """Optimizer steps at the last snapshot; -1 without one."""
    torn: str = ""
    """Why the file could not be read to its end, which a run that was killed has not written."""


def read_wandb_file(path: Path) -> WandbFile:
    """Read a run's file as far as it goes.

    The format is LevelDB's log of protocol buffers (``google/leveldb``, doc/log_format.md) with a header of its own.

    Args:
        path: ``run-<id>.wandb``.

    Raises:
        BadRun: it cannot be opened, or is none.
        MissingExtra: W&B is not installed.
    """
    try:
        messages: Any = import_module("wandb.proto.wandb_internal_pb2")
    except ImportError as e:
        raise MissingExtra("reading W&B runs", "wandb", "lens") from e
    run = WandbFile()
    try:
        with path.open("rb") as file:
            for message in _messages(file):
                _add(run, messages.Record.FromString(message))
    except OSError as e:
        raise BadRun(f"{path} cannot be read: {e}") from e
    except _Torn as e:
        run.torn = f"{path.name} is torn: {e}"
    if not run.config and not run.values:
        raise BadRun(run.torn or f"{path} holds no run")
    return run


class _Torn(ValueError):
    """The file ends, or makes no sense, amid a message."""


def _messages(file: BinaryIO) -> Iterator[bytes]:
    """Whole messages; one that does not fit into a block goes on in the next."""
    if (begin := file.read(_HEADER))[: len(_BEGIN)] != _BEGIN:
        raise _Torn("it does not begin as a W&B run does")
    whole, parts = True, b""
    block = begin + file.read(_BLOCK - _HEADER)
    at = _HEADER
    while block:
        while at + _HEADER <= len(block):
            told, length, kind = struct.unpack_from("<IHB", block, at)
            part = block[at + _HEADER : at + _HEADER + length]
            if zlib.crc32(part, zlib.crc32(bytes([kind]))) != told:
                raise _Torn("a message of it is damaged or ends early")
            parts = part if kind in (_WHOLE, _FIRST) else parts + part
            if whole := kind in (_WHOLE, _LAST):
                yield parts
            at += _HEADER + length
        block, at = file.read(_BLOCK), 0
    if not whole:
        raise _Torn("its last message ends early")


def _add(run: WandbFile, record: Any) -> None:
    kind = record.WhichOneof("record_type")
    if kind in ("run", "config"):
        changes = record.run.config if kind == "run" else record.config
        for item in changes.update:
            _put(run.config, _path(item), json.loads(item.value_json))
    elif kind == "history":
        row = dict(_ours(record.history.item))
        step = row.get(AXIS, -1)
        if step > run.step:
            run.step, run.values = step, {key: value for key, value in run.values.items() if key.startswith(FINAL)}
        if step == run.step >= 0:
            run.values |= row
    elif kind == "summary":
        run.values |= {key: value for key, value in _ours(record.summary.update) if key.startswith(FINAL)}


def _ours(items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Values by key, where we wrote them; tables and charts have keys of several parts."""
    for item in items:
        path = _path(item)
        if path[0].startswith("ib") and len(path) == 1:
            yield path[0], json.loads(item.value_json)


def _path(item: Any) -> tuple[str, ...]:
    return tuple(item.nested_key) or (item.key,)


def _put(into: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for part in path[:-1]:
        into = into.setdefault(part, {})
    into[path[-1]] = value

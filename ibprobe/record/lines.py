"""The files of a run: JSON lines, torn or damaged ones among them, and those of several processes side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ibprobe.record.records import Estimate


@dataclass(frozen=True, slots=True)
class Lines:
    """The JSON lines of a file, whether its last one is torn, and what is wrong with others."""

    found: tuple[dict[str, Any], ...] = ()
    torn: bool = False
    damaged: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path) -> Lines:
        """Read a file; one that is not there has no lines."""
        if not path.is_file():
            return cls()
        text = path.read_text(encoding="utf-8", errors="replace").split("\n")
        found: list[dict[str, Any]] = []
        damaged: list[str] = []
        for number, line in enumerate(text, 1):
            try:
                found += [dict(json.loads(line))] if line else []
            except (TypeError, ValueError) as e:
                if number == len(text):
                    return cls(tuple(found), True, tuple(damaged))
                damaged.append(f"{path}, line {number} is damaged: {e}")
        return cls(tuple(found), False, tuple(damaged))


def of_rank(name: str, rank: int) -> str:
    """The file of a process: ``records.jsonl`` of the first, ``records.rank1.jsonl`` of the next."""
    return f"{name}.rank{rank}.jsonl" if rank else f"{name}.jsonl"


def ranks_in(meta: Mapping[str, Any]) -> range:
    """The processes that have written a run."""
    return range(int(meta.get("ranks", 1)) if meta.get("distribute") == "layers" else 1)


def missing_ranks(folder: Path, meta: Mapping[str, Any]) -> list[str]:
    """What is said of each process whose records are not there."""
    ranks, layers = ranks_in(meta), list(meta.get("layers", ()))
    if len(ranks) == 1:
        return []
    lost = (rank for rank in ranks if not (folder / of_rank("records", rank)).is_file())
    return [
        f"{of_rank('records', rank)} is missing: rank {rank} of {len(ranks)} measured "
        f"{', '.join(layers[rank :: len(ranks)]) or 'no layer'}"
        for rank in lost
    ]


def in_order(estimates: Iterable[Estimate], layers: Iterable[str]) -> list[Estimate]:
    """Estimates of several processes as one would have made them: step by step, layer by layer."""
    place = {layer: number for number, layer in enumerate(layers)}
    return sorted(estimates, key=lambda e: (e.step, place.get(e.layer.partition("#")[0], len(place))))

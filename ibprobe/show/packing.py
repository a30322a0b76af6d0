"""Rows as compressed columns: a page of 10,000 points stays below 5 MB, and every number is exact."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any


def columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows of equal keys by column: one value where all are the same, an index of names where they are text."""
    names = list(rows[0]) if rows else []
    return {"n": len(rows), "columns": {name: _column([row[name] for row in rows]) for name in names}}


def _column(values: list[Any]) -> list[Any]:
    if all(v == values[0] and type(v) is type(values[0]) for v in values):
        return ["same", values[0]]
    if all(isinstance(v, str) for v in values):
        index = {name: i for i, name in enumerate(dict.fromkeys(values))}
        return ["names", list(index), [index[v] for v in values]]
    return ["values", values]


def deflate(content: Any) -> str:
    """JSON, gzipped, as text that a script tag can hold; the same for the same content."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()

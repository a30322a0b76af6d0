"""The slow, obvious inverse of what a page packs."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any


def rows_of(packed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows from columns, as the page's script makes them."""
    rows: list[dict[str, Any]] = [{} for _ in range(packed["n"])]
    for name, (kind, *content) in packed["columns"].items():
        for i, row in enumerate(rows):
            row[name] = (
                content[0] if kind == "same" else content[0][content[1][i]] if kind == "names" else content[0][i]
            )
    return rows


def payload_of(html: str) -> dict[str, Any]:
    """What the page's script reads."""
    [text] = re.findall(r'<script id="payload" type="text/plain">([^<]*)</script>', html)
    content: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(text)))
    return content


class Tables(HTMLParser):
    """Cells of every table by id, row by row, as text and title."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self._rows: list[list[tuple[str, str]]] = []
        self._cell: str | None = None
        self.feed(re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        if tag == "table":
            self._rows = self.tables[given["id"]] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._cell, self._title = "", given.get("title", "")

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self._rows[-1].append((self._cell, self._title))
            self._cell = None

    def named(self, table: str) -> list[dict[str, tuple[str, str]]]:
        """Rows by the head of their columns, the first of columns of one name."""
        head, *rows = self.tables[table]
        return [dict(reversed(list(zip((name for name, _ in head), row, strict=True)))) for row in rows]

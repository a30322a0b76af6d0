"""What runs show as Markdown: the verdicts, then the page's tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ibprobe.lens.findings import Findings
from ibprobe.lens.tables import tables
from ibprobe.lens.words import limits, verdicts
from ibprobe.show.section import Table


def markdown(found: Findings, factors: Sequence[str] = ()) -> Iterator[str]:
    """Lines of text.

    Args:
        found: everything.
        factors: only these, without what is of all factors together.
    """
    yield from verdicts(found, factors)
    for table in tables(found, factors):
        yield from lines_of(table)
    if found.said:
        yield from ("", "### What is missing", "", *(f"- {line}" for line in found.said))
    if factors:  # else the last table says so
        yield from ("", limits(found))


def lines_of(table: Table) -> Iterator[str]:
    """A table with its heading."""
    yield from ("", f"### {table.heading[0].upper()}{table.heading[1:]}", "")
    if table.text:
        yield from (table.text, "")
    numbers = table.rows[0].cells if table.rows else ()
    yield _row(table.columns)
    yield "|" + "".join(" ---: |" if cell.number else " --- |" for cell in numbers)
    yield from (_row([cell.text for cell in row.cells]) for row in table.rows)


def _row(texts: Sequence[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"

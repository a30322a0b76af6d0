"""The pages that people read, and the fenced blocks in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])

FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)(?P=fence)$", re.DOTALL | re.MULTILINE
)
NOT_RUN = re.compile(r"<!-- not run: (.+?) -->\n*\Z")
INCLUDED = re.compile(r'^--8<-- "([\w./]+)(?::(\w+))?"$', re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str
    """The reason that stands above it, in ``<!-- not run: … -->``."""
    section: str
    """The heading above it."""

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """All fenced blocks of a page, as they stand in its file."""
    source = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(source):
        before = source[: found.start()]
        why = NOT_RUN.search(before)
        headings = re.findall(r"^#+ (.+)$", FENCE.sub("", before), re.MULTILINE)
        yield Block(
            page, before.count("\n") + 1, found["language"], found["text"], why[1] if why else "",
            headings[-1] if headings else "",
        )  # fmt: skip


def programs(page: Path) -> list[Block]:
    """The Python blocks that are run."""
    return [block for block in blocks(page) if block.language == "python" and not block.not_run]


def whole(page: Path) -> str:
    """A page with what it includes, as the site shows it."""

    def included(found: re.Match[str]) -> str:
        source = (ROOT / found[1]).read_text(encoding="utf-8")
        if not found[2]:
            return source
        part = re.search(rf"\[start:{found[2]}\] -->\n(.*?)<!-- --8<-- \[end:{found[2]}\]", source, re.DOTALL)
        assert part, f"{page.name} includes {found[2]!r}, which {found[1]} does not mark"
        return part[1]

    return INCLUDED.sub(included, page.read_text(encoding="utf-8"))

"""Links lead somewhere: files, anchors, pages of the site's navigation, and pictures."""

import importlib
import importlib.util
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from doc_pages import DOCS, FENCE, PAGES, ROOT, whole

SURFACES = ("ibprobe", "ibprobe.lens", "ibprobe.bottleneck", "ibprobe.testing")
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def text_of(page: Path) -> str:
    """A page as the site shows it, without what stands between fences."""
    return FENCE.sub("", whole(page))


def links(page: Path) -> list[str]:
    """Where a page's links and pictures lead, but for the web."""
    return [to for to in LINK.findall(text_of(page)) if not re.match(r"https?://|mailto:", to)]


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in an address."""
    headings = re.findall(r"^#+ (.+?)\s*$", text_of(page), re.MULTILINE)
    found: set[str] = set()
    for heading in headings:
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", "")).lower())
        found.add(re.sub(r"[\s]+", "-", plain.strip()))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_to_a_file_and_its_anchor(page: Path) -> None:
    for link in links(page):
        name, _, anchor = unquote(link).partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link} leads to nothing"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}: {target.name} has {sorted(anchors(target))}"


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.name)
def test_links_of_a_page_stay_within_the_site(page: Path) -> None:
    for link in links(page):
        target = (page.parent / link.partition("#")[0]).resolve()
        assert DOCS in (target, *target.parents), f"{page.name}: {link} is not part of the site: name it as code"


def test_the_navigation_has_every_page_once_and_no_other() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    listed = re.findall(r"- (?:[^:\n]+: )?([\w/-]+\.md)", navigation)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_the_readme_leads_to_every_page_of_the_docs_but_the_reference() -> None:
    named = {unquote(link).partition("#")[0] for link in links(ROOT / "README.md")}
    pages = {page.relative_to(ROOT).as_posix() for page in DOCS.glob("*.md")}
    assert pages <= named, f"not linked: {sorted(pages - named)}"


def test_every_picture_is_shown_somewhere() -> None:
    shown = {(page.parent / link).resolve() for page in PAGES for link in links(page)}
    assert set(DOCS.rglob("*.svg")) <= shown


def test_a_link_to_nothing_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One two\n\n[a](b.md) ![c](d.svg) [e](#one-two) [f](https://example.org)\n\n```text\n[g](h)\n```\n"
    )
    assert links(page) == ["b.md", "d.svg", "#one-two"]
    assert anchors(page) == {"one-two"}


@pytest.mark.parametrize("surface", [name for name in SURFACES if importlib.util.find_spec(name)])
def test_the_reference_has_every_public_name(surface: str) -> None:
    shown = set(re.findall(r"^::: ([\w.]+)", "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md")), re.M))
    names = {f"{surface}.{name}" for name in importlib.import_module(surface).__all__}
    assert names <= shown, f"not in docs/api: {sorted(names - shown)}"

"""Every program of the documentation runs, and whatever else stands between fences is checked or says why not."""

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from doc_pages import DOCS, PAGES, ROOT, Block, blocks, programs

from ibprobe.cli import main

# Blocks of these stand by themselves, each with its own beginning; of all others they go on from one to the next.
APART = {"recipes.md"}
SLOW = {"README.md", "recipes.md", "quickstart.md", "sigma.md", "faq.md", "report.md", "lightning.md", "ib-curves.md"}
# The first page's program is examples/quickstart.py, which tests/test_examples.py runs.
RUN_ELSEWHERE = {"index.md"}

IN_ORDER = [page for page in PAGES if page.name not in APART | RUN_ELSEWHERE]
ALONE = [block for page in PAGES if page.name in APART for block in programs(page)]
EVERY = [block for page in PAGES for block in blocks(page)]

# What is installed by users, or belongs to this checkout's tools: the words are checked by eye.
OTHERS = {
    "pytest",
    "wandb",
    "mkdocs",
    "zensical",
    "jupyter",
    ".ci/run",
    "python3",
    "pre-commit",
    "git",
    "cd",
    "export",
    "torchrun",
}
CODE = re.compile(
    r"^(from [\w.]+ import |import \w|with .+:|\w+ = \w+.*\(|[\w.]+\(.*\)$|(ibprobe|pip|python3?|pytest) )",
    re.MULTILINE,
)


def slow(page: Path, *values: Any, name: str) -> Any:
    return pytest.param(*values, id=name, marks=pytest.mark.slow if page.name in SLOW else ())


@pytest.mark.parametrize(
    "page", [slow(page, page, name=page.relative_to(ROOT).as_posix()) for page in IN_ORDER if programs(page)]
)
def test_the_programs_of_a_page_run_in_order(page: Path) -> None:
    names: dict[str, object] = {"__name__": page.stem}
    for block in programs(page):
        exec(compile(block.text, str(block), "exec"), names)


@pytest.mark.parametrize("block", [slow(block.page, block, name=block.section) for block in ALONE])
def test_each_recipe_runs_by_itself(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "recipe"})


def test_there_are_pages_with_programs() -> None:
    assert sum(len(programs(page)) for page in PAGES) >= 35
    assert len(ALONE) >= 10


@pytest.mark.parametrize("block", EVERY, ids=str)
def test_a_block_is_run_or_checked_or_says_why_not(block: Block) -> None:
    assert block.language in ("python", "sh", "toml", "text", "json", "yaml", "")
    if block.not_run:
        return
    if block.language == "sh":
        for command in commands(block.text):
            check(command)
    if block.language == "toml":
        tomllib.loads(block.text)
    if block.language in ("text", ""):
        found = CODE.search(block.text)
        assert not found, f"{block}: {found and found[0]!r} is code: fence it as python or sh, or say why it is not run"


def test_only_what_has_a_reason_is_not_run() -> None:
    assert all(len(block.not_run.split()) >= 3 for block in EVERY if block.not_run)
    assert sum(bool(block.not_run) for block in EVERY) <= 12


def commands(text: str) -> list[list[str]]:
    """The commands of a shell block, word by word, without comments, variables and continuations."""
    lines = text.replace("\\\n", " ").splitlines()
    found = [shlex.split(part, comments=True) for line in lines for part in line.split("&&")]
    return [words for words in found if words]


def check(command: list[str]) -> None:
    """Fail where a command does not exist, or does not take what it is given."""
    while "=" in command[0]:
        command = command[1:]
    program, *given = command
    program = Path(program).name if program.startswith(".venv/") else program
    if program == "ibprobe":
        parse(main, given)
    elif program == "pip":
        installed(given)
    elif program == "python" and given[0] != "-m":
        script(given[0], [word for word in given if word.startswith("--")])
    else:
        assert program in OTHERS | {"python"}, f"{program} is no command that the docs know"


def parse(group: click.Command, given: list[str]) -> None:
    """Have click read the words of a command, without doing what they say."""
    context = click.Context(group)
    while isinstance(group, click.Group) and not given[0].startswith("-"):
        name, *given = given
        found = group.get_command(context, name)
        assert found is not None, f"ibprobe has no command {name}"
        group = found
        context = click.Context(group, parent=context, info_name=name)
    group.make_parser(context)
    if "--help" not in given:
        group.make_context(group.name, list(given))


def installed(given: list[str]) -> None:
    """Extras that are named must exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for word in given:
        for named in re.findall(r"\[([\w,]+)\]", word) if "ibprobe" in word or word.startswith(".") else ():
            assert set(named.split(",")) <= extras.keys(), f"{word}: extras are {', '.join(extras)}"


def script(name: str, options: list[str]) -> None:
    """A script of the checkout, and options that its source knows."""
    path = ROOT / name
    assert path.exists(), f"{name} is not in the checkout"
    sources = [path] if path.is_file() else sorted(path.glob("*.py"))
    source = "".join(file.read_text(encoding="utf-8") for file in [*sources, *path.parent.rglob("*.py")])
    for option in options:
        assert f'"{option.split("=")[0]}"' in source, f"{name} does not know {option}"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("ibprobe reprot RUN", "no command"),
        ("ibprobe report RUN --no-such-option", "No such option"),
        ("pip install 'ibprobe[nothing]'", "extras are"),
        ("python docs/galery --out here", "not in the checkout"),
        ("python docs/gallery --nothing", "does not know"),
        ("frobnicate", "no command"),
    ],
)
def test_a_wrong_command_is_found(words: str, why: str) -> None:
    with pytest.raises((AssertionError, click.UsageError), match=why):
        check(shlex.split(words))


def test_code_in_a_block_of_text_is_found() -> None:
    assert CODE.search("records = ibprobe.measure(model)")
    assert CODE.search("ibprobe report RUN")
    assert not CODE.search("ibprobe: step 63: hidden1 3.42/1.56\nlayer  true I(X;T̃)  bracket")


def test_the_page_of_flags_is_the_table_of_flags() -> None:
    names: dict[str, Any] = {"__name__": "flags"}
    exec((DOCS / "flags.py").read_text(encoding="utf-8"), names)
    assert names["page"]() == (DOCS / "flags.md").read_text(encoding="utf-8"), "python docs/flags.py > docs/flags.md"

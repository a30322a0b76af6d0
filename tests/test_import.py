import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ibprobe

PACKAGE = Path(ibprobe.__file__).parent

FLOORS = [
    {"errors", "version"},
    {"schedule", "capture", "record", "bottleneck"},
    {"estimate", "show"},
    {"sinks"},
    {"hookspecs"},
    {"runtime", "plugins"},
    {"checkpoint", "arrays", "doctor"},
    {"probe", "sweep", "changes"},
    {"selfcheck", "demo", "curve_command", "testing"},
    {"lens"},
    {"cli"},
]
"""Rooms of the house from the ground up; a module imports only from its own room and from floors below."""


DOORS = {("ibprobe.record.records", "ibprobe.show.notebook")}
"""Methods that people look for on an object of a lower floor: ``Records.plot()``; imported when they are called."""


def room_of(module: str) -> str:
    return module.split(".")[1]


def floor_of(room: str) -> int:
    return next((number for number, rooms in enumerate(FLOORS) if room in rooms), -1)


def imports() -> Iterator[tuple[str, str]]:
    """Who imports whom, lazily or not, within the package."""
    for path in PACKAGE.rglob("*.py"):
        if path == PACKAGE / "__init__.py":
            continue
        name = ".".join(["ibprobe", *path.relative_to(PACKAGE).with_suffix("").parts])
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} imports relatively"
                names = [node.module or ""]
            else:
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            yield from ((name, other) for other in names if other.startswith("ibprobe."))


def test_every_module_has_a_floor() -> None:
    rooms = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    unknown = {room for room in rooms - {"__init__", "__pycache__"} if floor_of(room) < 0}
    assert not unknown, f"put {unknown} on a floor in {__file__}"


def test_imports_run_down_the_floors() -> None:
    found = list(imports())
    assert len(found) > 50
    wrong = [
        f"{a} imports {b}"
        for a, b in found
        if room_of(a) != room_of(b) and (a, b) not in DOORS and not floor_of(room_of(b)) < floor_of(room_of(a))
    ]
    assert not wrong


@pytest.fixture(scope="module")
def loaded() -> set[str]:
    """What a fresh interpreter has loaded after ``import ibprobe``."""
    code = "import ibprobe, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "heavy",
    [
        "wandb",
        "sklearn",
        "transformers",
        "pandas",
        "altair",
        "lightning",
        "jaxtyping",
        "beartype",
        "matplotlib",
        "torch._dynamo",
    ],
)
def test_importing_ibprobe_does_not_import(heavy: str, loaded: set[str]) -> None:
    assert "ibprobe.probe" in loaded
    assert heavy not in loaded


def test_the_public_names_are_sorted_few_and_all_there() -> None:
    assert ibprobe.__all__ == sorted(ibprobe.__all__)
    assert len(ibprobe.__all__) <= 25
    # The hook that enforces shapes under test leaves its own import in every module.
    rooms = set().union(*FLOORS, {"jaxtyping"})
    public = {name for name in vars(ibprobe) if not name.startswith("_") and name not in rooms}
    assert public == set(ibprobe.__all__)

"""Whatever can be imported as public says what it is, parameter by parameter and field by field."""

import ast
import importlib
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

SURFACES = [
    name
    for name in ("ibprobe", "ibprobe.lens", "ibprobe.bottleneck", "ibprobe.testing")
    if importlib.util.find_spec(name)
]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def tree_of(module: ModuleType) -> ast.Module:
    assert module.__file__
    return ast.parse(Path(module.__file__).read_text(encoding="utf-8"))


def definition(module: ModuleType, name: str) -> tuple[ast.stmt, str]:
    """Where a public name is defined, followed through imports; and the docstring beneath, of an assignment."""
    body = tree_of(module).body
    for here, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(here, Function | ast.ClassDef) and here.name == name:
            return here, ast.get_docstring(here) or ""
        if (
            isinstance(here, ast.ImportFrom)
            and here.module
            and name in [alias.asname or alias.name for alias in here.names]
        ):
            return definition(importlib.import_module(here.module), name)
        if isinstance(here, ast.Assign) and [t.id for t in here.targets if isinstance(t, ast.Name)] == [name]:
            return here, beneath(after)
    raise AssertionError(f"{name} is not defined in {module.__name__}")


def beneath(node: ast.stmt | None) -> str:
    """The text of a lone string, as it stands under a field."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return ""


def told(docstring: str) -> set[str]:
    """Names that the Args section explains, or a sentence between double backticks."""
    named = set(re.findall(r"``(\w+)``", docstring))
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)+)", docstring, re.MULTILINE)
    return named if section is None else named | set(re.findall(r"^    \*{0,2}(\w+): \S", section[1], re.MULTILINE))


def lacking(name: str, node: ast.stmt, docstring: str) -> Iterator[str]:
    """What is not said of a public name."""
    if not docstring.strip():
        yield name
    if isinstance(node, Function):
        yield from (f"{name}({parameter})" for parameter in parameters(node) - told(docstring))
    if isinstance(node, ast.ClassDef):
        yield from lacking_in_class(name, node, docstring)


def parameters(node: Function) -> set[str]:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs, node.args.vararg, node.args.kwarg]
    return {a.arg for a in every if a is not None} - {"self", "cls"}


def lacking_in_class(name: str, node: ast.ClassDef, docstring: str) -> Iterator[str]:
    for here, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
            field = here.target.id
            if not field.startswith("_") and field not in told(docstring) and not beneath(after).strip():
                yield f"{name}.{field}"
        if isinstance(here, Function) and here.name == "__init__":
            yield from (f"{name}({parameter})" for parameter in parameters(here) - told(docstring))
        if (
            isinstance(here, Function)
            and not here.name.startswith("_")
            and "overload" not in map(ast.unparse, here.decorator_list)
        ):
            yield from lacking(f"{name}.{here.name}", here, ast.get_docstring(here) or "")


@pytest.mark.parametrize("surface", SURFACES)
def test_everything_public_is_explained(surface: str) -> None:
    module = importlib.import_module(surface)
    missing = [what for name in module.__all__ for what in lacking(name, *definition(module, name))]
    assert not missing, f"{len(missing)} of {surface} are not explained: {', '.join(missing)}"


def test_a_parameter_a_field_and_a_method_that_are_not_explained_are_found() -> None:
    source = '''
class Thing:
    """A thing.

    Args:
        first: the first.
    """

    size: int
    """How large."""
    colour: str

    def __init__(self, first, second):
        """Hidden."""

    def grow(self):
        pass
'''
    [node] = ast.parse(source).body
    assert list(lacking("Thing", node, ast.get_docstring(node) or "")) == [  # type: ignore[arg-type]
        "Thing.colour", "Thing(second)", "Thing.grow",
    ]  # fmt: skip

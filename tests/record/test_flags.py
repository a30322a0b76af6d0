"""No flag without a meaning, and no meaning without a flag that is set somewhere."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import ibprobe
from ibprobe.errors import UnknownName
from ibprobe.record.flags import FLAGS, explain
from ibprobe.record.guards import check_plane

PACKAGE = Path(ibprobe.__file__).parent
HOLDERS = {"flags", "extra", "flag", "void", "near"}
"""Names of the variables that flags are put into before they reach a record."""


def texts(node: ast.AST | None) -> set[str]:
    return (
        {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)} if node else set()
    )


def flags_set_by(tree: ast.AST) -> Iterator[set[str]]:
    """Sets of texts, and whatever is assigned, added or indexed into one of the holders."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Set):
            yield texts(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name | ast.Subscript):
            target = node.targets[0]
            name = target.value if isinstance(target, ast.Subscript) else target
            if isinstance(name, ast.Name) and name.id in HOLDERS:
                keys = texts(target.slice) if isinstance(target, ast.Subscript) else set()
                yield keys | _assigned(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("add", "frozenset"):
            yield from map(texts, node.args)


def _assigned(value: ast.expr) -> set[str]:
    if isinstance(value, ast.Dict):
        return {k.value for k in value.keys if isinstance(k, ast.Constant)}
    if isinstance(value, ast.IfExp):
        return texts(value.body) | texts(value.orelse)
    return set()


def names_in_use() -> set[str]:
    files = [*(PACKAGE / "estimate").rglob("*.py"), PACKAGE / "arrays.py"]
    trees = [ast.parse(p.read_text(encoding="utf-8")) for p in files]
    rules = re.findall(r'append\(\("(\w+)"', (PACKAGE / "record" / "guards.py").read_text(encoding="utf-8"))
    return {f for tree in trees for found in flags_set_by(tree) for f in found} | {f"guard:{r}" for r in rules}


def test_every_flag_that_the_package_sets_is_explained_and_every_explained_one_is_set():
    assert names_in_use() == set(FLAGS)


def test_every_guard_that_fires_is_explained():
    rows = [
        {"step": 0, "layer": "a", "I_XT": -1.0, "I_TY": 3.0},
        {"step": 1, "layer": "a", "I_XT": 9.0, "I_TY": 3.0},
    ]
    assert {f"guard:{v.rule}" for v in check_plane(rows, n=100, h_y=2.3)} == {f for f in FLAGS if f[:6] == "guard:"}


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_has_three_sentences_meaning_cause_and_action(name):
    flag = explain(name)
    for text in (flag.meaning, flag.cause, flag.action):
        assert re.fullmatch(r"\w.{10,140}\.", text), text
    assert len({flag.meaning, flag.cause, flag.action}) == 3


def test_a_line_that_is_drawn_has_its_reason():
    drawn = [flag.line for flag in FLAGS.values() if flag.line]
    assert len(drawn) > 10
    assert all(re.fullmatch(r"\w.{10,140}\.", line) for line in drawn)


def test_an_unknown_flag_names_close_ones():
    with pytest.raises(UnknownName, match="no flag named 'at_cieling'; did you mean: at_ceiling"):
        explain("at_cieling")


def test_a_guard_without_its_prefix_is_still_found():
    with pytest.raises(UnknownName, match=r"did you mean: .*guard:ty_above_xt"):
        explain("ty_above_xt")

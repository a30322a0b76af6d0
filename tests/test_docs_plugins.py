"""Every hook is documented with its exact signature, has an example that is tested, and a check in the contract kit."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from ibprobe import hookspecs, testing
from ibprobe.hookspecs import KINDS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
SPECS = [name for name, value in vars(hookspecs).items() if hasattr(value, "ibprobe_spec")]


def signature(function: object) -> str:
    return str(inspect.signature(function)).replace("'", "")  # type: ignore[arg-type]


def test_every_hook_is_of_a_kind() -> None:
    assert SPECS == [kind.hook for kind in KINDS]


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_is_documented_with_its_exact_signature_and_an_example(hook: str) -> None:
    assert f"`{hook}{signature(getattr(hookspecs, hook))}`" in PAGE
    assert re.search(rf"^```python\n[^`]*^@hookimpl\ndef {hook}\(\):$", PAGE, re.MULTILINE)
    assert f"def {hook}():" in (inspect.getdoc(getattr(hookspecs, hook)) or "")


@pytest.mark.parametrize("hook", SPECS)
def test_a_hook_is_tested(hook: str) -> None:
    tests = (ROOT / "tests" / "plugins" / "test_hookspecs.py").read_text(encoding="utf-8")
    assert re.search(rf'^@of\("{hook}"\)\ndef test_', tests, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_kind_has_a_check_that_is_documented_and_tested(kind: hookspecs.Kind) -> None:
    name = f"check_{kind.name}"
    assert name in testing.__all__
    documented = re.search(rf"`{name}\((.*?)\)`", PAGE)
    assert documented
    given = [text.partition("=")[0].strip() for text in documented[1].split(",")]
    own = list(inspect.signature(getattr(testing, name)).parameters.values())
    assert [text for text in given if text != "*"] == [p.name for p in own]
    assert ("*" in given) == any(p.kind is p.KEYWORD_ONLY for p in own)
    assert (ROOT / "tests" / "testing" / f"test_{name}.py").is_file()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_record_has_the_three_fields_that_the_page_names(kind: hookspecs.Kind) -> None:
    assert list(inspect.signature(kind.offers).parameters) == ["name", "summary", "build"]
    assert f"`{kind.offers.__name__}`" in PAGE


def test_the_environment_variables_are_documented() -> None:
    from ibprobe.plugins.loading import SELECT, STRICT

    assert f"`{STRICT}=1`" in PAGE
    assert f"`{SELECT}=" in PAGE

"""Known answers pass, and a broken estimator is found."""

import pytest
from click.testing import CliRunner

from ibprobe import selfcheck
from ibprobe.cli import main


@pytest.mark.slow
def test_every_known_answer_holds_on_this_machine() -> None:
    failed = [c for c in selfcheck.run_checks("cpu") if not c.passed]
    assert failed == []


def test_a_wrong_estimate_fails_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selfcheck, "run_checks", lambda device: iter([selfcheck.Check("x", "1", "[2, 3]", False)]))
    result = CliRunner().invoke(main, ["selfcheck", "--device", "cpu"])
    assert result.exit_code == 1
    assert "FAILED" in result.output
    assert "1 checks failed" in result.output

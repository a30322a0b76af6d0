"""What every installed estimator promises, whichever it is: the contract that third parties test theirs by."""

import pytest

from ibprobe import Reading
from ibprobe.plugins import Plugins
from ibprobe.testing import check_estimator

TRAINED = ("mine", "infonce", "classifier")
NAMES = [pytest.param(n, marks=pytest.mark.slow if n in TRAINED else ()) for n in Plugins([]).offers("estimator")]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_right_where_it_is_easy_and_finite_ordered_repeatable_and_harmless(name: str) -> None:
    found = check_estimator(lambda: Plugins([]).estimator(name), tolerance=0.08)
    assert any(isinstance(reading, Reading) for reading in found.values())

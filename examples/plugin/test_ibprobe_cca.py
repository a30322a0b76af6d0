"""The plugin's own test: the contract that every estimator keeps, and what is its own."""

import ibprobe_cca

from ibprobe import Reading
from ibprobe.testing import check_estimator


def test_it_keeps_what_every_estimator_promises():
    found = check_estimator(lambda: ibprobe_cca.cca)
    assert [name for name, r in found.items() if isinstance(r, Reading)] == [
        "independent columns",
        "columns with correlation 0.8",
        "a column and its noisy self",
    ]


def test_it_offers_one_estimator():
    assert [plugin.name for plugin in ibprobe_cca.ibprobe_estimators()] == ["cca"]

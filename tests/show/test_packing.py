"""Columns give the rows back, exactly."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest
from show.unpacked import rows_of

from ibprobe.show.packing import columns, deflate

ROWS: list[dict[str, Any]] = [
    {"same": 1.5, "name": "a", "value": 0.1 + 0.2, "mixed": None, "truth": True},
    {"same": 1.5, "name": "b", "value": 1e-300, "mixed": "Infinity", "truth": False},
    {"same": 1.5, "name": "a", "value": -7.0, "mixed": 3, "truth": True},
]


def through_json(content: Any) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(deflate(content))))


def test_rows_come_back_exactly():
    assert rows_of(through_json(columns(ROWS))) == ROWS


def test_a_value_that_all_rows_share_and_names_are_kept_once():
    packed = columns(ROWS)["columns"]
    assert packed["same"] == ["same", 1.5]
    assert packed["name"] == ["names", ["a", "b"], [0, 1, 0]]


def test_values_that_are_equal_but_of_other_types_stay_apart():
    rows = [{"v": 1}, {"v": True}, {"v": 1.0}]
    assert [type(row["v"]) for row in rows_of(columns(rows))] == [int, bool, float]


def test_no_rows_are_no_columns():
    assert columns([]) == {"n": 0, "columns": {}}


def test_the_same_content_is_the_same_text():
    assert deflate(columns(ROWS)) == deflate(columns(ROWS))
    assert through_json({"I(X;T̃)": "<é>"}) == {"I(X;T̃)": "<é>"}


def test_what_is_no_json_is_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        deflate([float("nan")])

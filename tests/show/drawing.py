"""What a specification draws, without a browser: the marks of its scene graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import vl_convert

from ibprobe.record.records import Estimate, Records
from ibprobe.show.cases import Case
from ibprobe.show.panels import Panel, panels
from ibprobe.show.theme import themed

Item = dict[str, Any]


def marks(spec: Mapping[str, Any], kind: str) -> list[Item]:
    """The marks of one kind that are drawn from data: ``symbol``, ``rule``, ``rect``, ``line``, ``area``, ``text``."""
    scene: Item = vl_convert.vegalite_to_scenegraph(themed(dict(spec)))["scenegraph"]
    return [item for group in _groups(scene) if (group["marktype"], group["role"]) == (kind, "mark")
            for item in group["items"]]  # fmt: skip


def texts(spec: Mapping[str, Any]) -> list[str]:
    """What is written within a chart."""
    return [item["text"] for item in marks(spec, "text")]


def _groups(node: Item) -> Iterator[Item]:
    if "marktype" in node:
        yield node
    for item in node.get("items", ()):
        yield from _groups(item)


def panels_of(estimates: Sequence[Estimate], name: str = "run") -> list[Panel]:
    """The panels of one run."""
    return panels([Case(name, Records(tuple(estimates)), (name,))])


def one_panel(*estimates: Estimate) -> Panel:
    """The panel of values of one channel."""
    [panel] = panels_of(estimates)
    return panel

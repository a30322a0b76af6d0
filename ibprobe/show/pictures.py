"""The pictures of the report as files of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from ibprobe.bottleneck.curve import IBCurve
from ibprobe.errors import BadInput, MissingExtra
from ibprobe.record.records import Records
from ibprobe.show.cases import measured_cases
from ibprobe.show.files import write_file
from ibprobe.show.lines import lines
from ibprobe.show.panels import panels, together
from ibprobe.show.plane import along, plane
from ibprobe.show.summaries import compression
from ibprobe.show.theme import Look, Spec, themed

Kind = Literal["png", "svg"]


def pictures(
    runs: Sequence[tuple[str, Records]], *, average: bool | None = None, frontier: IBCurve | None = None
) -> dict[str, Spec]:
    """The planes, curves and falls of runs by file name, as specifications that stand alone.

    Raises:
        BadInput: no run holds an estimate, or nothing that has a picture.
    """
    found = measured_cases(runs, average=average)
    everything = panels(found)
    made: dict[str, Spec] = {}
    for number, panel in enumerate(everything):
        name = f"{number + 1}-{panel.split}" if len(everything) > 1 else panel.split
        if panel.ty:
            made[f"plane-{name}"] = plane(panel, beside=everything, frontier=along(frontier, panel))
        if len(panel.steps) > 1:
            made[f"input-{name}"] = lines(panel, "I_XT", beside=everything)
            made |= {f"target-{name}": lines(panel, "I_TY", beside=everything)} if panel.ty else {}
    moving = [p for p in everything if len(p.steps) > 1]
    for number, group in enumerate(together(moving)):
        made["compression" + (f"-{number + 1}" if number else "")] = compression(group)
    if not made:
        raise BadInput("there is no picture to draw: one snapshot without I(T̃;Y) has neither plane nor curve")
    return made


def save_pictures(
    runs: Sequence[tuple[str, Records]],
    folder: str | Path,
    kind: Kind,
    *,
    look: Look = "light",
    average: bool | None = None,
    frontier: IBCurve | None = None,
) -> list[Path]:
    """Write planes, curves and falls as files.

    Args:
        runs: name and records of each.
        folder: where; it is created.
        kind: ``png`` (twice the resolution of a screen) or ``svg``.
        look: ``light`` or ``dark``.
        average: as for :func:`write_report`.
        frontier: likewise.

    Raises:
        BadInput: there is nothing to draw, or the folder cannot be written.
        MissingExtra: vl-convert-python is not installed.
    """
    return write_pictures(pictures(runs, average=average, frontier=frontier), folder, kind, look=look)


def write_pictures(specs: Mapping[str, Spec], folder: str | Path, kind: Kind, *, look: Look = "light") -> list[Path]:
    """Write specifications as files.

    Args:
        specs: by file name, without its ending.
        folder: where; it is created.
        kind: ``png`` or ``svg``.
        look: ``light`` or ``dark``.

    Raises:
        BadInput: the folder cannot be written.
        MissingExtra: vl-convert-python is not installed.
    """
    drawn = {f"{name}.{kind}": rendered(themed(spec, look), kind) for name, spec in specs.items()}
    return [write_file(Path(folder) / name, content) for name, content in drawn.items()]


def rendered(spec: Mapping[str, Any], kind: Kind) -> bytes:
    """A picture of a specification, drawn without a browser."""
    try:
        import vl_convert
    except ImportError as e:
        raise MissingExtra("drawing pictures", "vl-convert-python", "report") from e
    text = json.dumps(spec)
    if kind == "svg":
        return bytes(vl_convert.vegalite_to_svg(text).encode())
    return bytes(vl_convert.vegalite_to_png(text, scale=2))

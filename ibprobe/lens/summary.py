"""One table and one figure of what training functions kept, as files beside their runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ibprobe.errors import BadInput
from ibprobe.lens.doses import dose
from ibprobe.lens.markdown import lines_of
from ibprobe.lens.outcomes import kept_names, outcome_figure, outcome_table
from ibprobe.lens.published import Said, published_table
from ibprobe.lens.reading import read_runs
from ibprobe.show.files import write_file
from ibprobe.show.pictures import write_pictures


def write_outcomes(
    folder: str | Path,
    factor: str,
    titles: Mapping[str, str],
    *,
    published: Mapping[str, Said] | None = None,
    optional: Sequence[str] = (),
) -> str:
    """Write ``table.md`` and ``figure.svg`` into a design's folder; runs of the placebo do not count.

    Args:
        folder: of a design whose training function calls ``watch.keep``.
        factor: along which.
        titles: of the columns, by name of the value.
        published: a table that was published, column by column; the second table says what the runs make of it.
        optional: names that may be missing; then they are said to be absent.

    Returns:
        The tables, as they are written.

    Raises:
        BadInput: there is no whole run, levels are words, or a file cannot be written.
        UnknownName: a factor with one level, or a name that the runs did not keep.
        MissingExtra: scipy, or the packages of the ``report`` extra, are not installed.
    """
    runs, said = read_runs([Path(folder)])
    found = dose(runs, factor, levels_at_least=2)
    if found is None:
        raise BadInput(f"{factor!r} has levels that are no numbers: nothing can be drawn along it")
    absent = [name for name in optional if name not in kept_names(found)]
    shown = {name: title for name, title in titles.items() if name not in absent}
    tables = [outcome_table(found, shown)]
    claimed = {name: column for name, column in (published or {}).items() if name not in absent}
    tables += [published_table(runs, factor, claimed, shown)] if claimed else []
    text = [line for table in tables for line in lines_of(table)]
    text += ["", f"Absent: {', '.join(titles[name] for name in absent)}."] if absent else []
    text += [f"- {line}" for line in said]
    words = "\n".join(text).strip()
    write_file(Path(folder) / "table.md", words + "\n")
    write_pictures({"figure": outcome_figure(runs, found, shown)}, folder, "svg")
    return words

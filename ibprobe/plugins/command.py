"""``ibprobe plugins``: what is installed, and what is not and why."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ibprobe.hookspecs import KINDS


@click.command("plugins")
def plugins_command() -> None:
    """List estimators, sinks, views and report sections with their sources, and plugins that are broken."""
    from ibprobe.plugins.installed import Plugins

    console = Console()
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # the last table says the same
        plugins = Plugins()
        for kind in KINDS:
            rows = [(name, o.plugin.summary, o.source) for name, o in plugins.offers(kind.name).items()]
            console.print(_table(f"{kind.name}s", ("name", "summary", "source"), rows))
    if plugins.failed:
        console.print(_table("skipped", ("plugin", "why"), [(f.source, f.why) for f in plugins.failed]))


def _table(title: str, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=column == "name", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return table

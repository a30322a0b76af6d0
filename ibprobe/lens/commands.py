"""``ibprobe lens run · compare · report``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ibprobe.errors import MissingExtra

if TYPE_CHECKING:
    from ibprobe.lens.findings import Findings


@click.group()
def lens() -> None:
    """Compare runs that differ in dropout, weight decay or any other setting, paired by seed."""


@lens.command("run")
@click.argument("spec", metavar="DESIGN.toml", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("lens"), show_default=True, help="Folder.")
@click.option("--jobs", type=click.IntRange(1), help="Processes at a time [default: one for each two cores].")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
def lens_run(spec: Path, out: Path, jobs: int | None, engine: Literal["local", "ray"]) -> None:
    """Run what is missing of the design in DESIGN.toml, then write what it shows: lens.md, lens.json, lens.html.

    Runs that are finished are not run again: stop it at any time and give the same command once more.
    """
    from ibprobe.lens.design import read_design
    from ibprobe.lens.engine import Done, check_train, run_design
    from ibprobe.lens.findings import find
    from ibprobe.lens.measuring import Measuring
    from ibprobe.lens.report import write_report
    from ibprobe.lens.words import limits, verdicts

    sys.path.insert(0, str(Path.cwd()))  # a training function may lie beside the design
    design, measure = read_design(spec)
    measuring = Measuring.read(measure)
    check_train(design)
    whole = len(design.runs())
    there = whole - len(design.missing(out))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("runs", total=whole, completed=there)

        def advance(done: Done, left: int) -> None:
            bar.update(task, completed=whole - left)
            if done.failed:
                bar.console.print(str(done), markup=False)

        try:
            ended = run_design(design, measuring, out, jobs=jobs, engine=engine, on_done=advance)
        except KeyboardInterrupt:
            bar.stop()
            done = whole - len(design.missing(out))
            click.echo(f"ibprobe: stopped; {done} of {whole} runs are in {out}, and the same command goes on", err=True)
            sys.exit(130)
    failed = sum(bool(done.failed) for done in ended)
    click.echo(f"{len(ended) - failed} runs done now, {failed} failed, {there} were there: {out}")
    if len(ended) + there < whole:
        click.echo("The first run failed, so that no other began")
        sys.exit(1)
    found = _told(find([out]))
    click.echo("\n".join(["", *verdicts(found), "", limits(found)]))
    for name in ("lens.md", "lens.json", "lens.html"):
        try:
            click.echo(write_report(found, out / name))
        except MissingExtra as e:
            click.echo(f"no {name}: {e}")
    sys.exit(1 if failed else 0)


def _of_runs(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which runs."""
    for option in (
        click.option("--ignore", metavar="KEY", multiple=True, help="Config key that is no setting, such as a name."),
        click.option("--wandb", metavar="ENTITY/PROJECT", help="A project on W&B's server, whose runs are read (too)."),
        click.argument("runs", metavar="[RUN…]", nargs=-1, type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@lens.command("compare")
@_of_runs
@click.option("--factor", help="Config key that is compared [default: each that differs].")
@click.option("--baseline", help="Its level that others are compared with [default: the design's, or the lowest].")
def lens_compare(
    runs: tuple[Path, ...], wandb: str | None, factor: str | None, baseline: str | None, ignore: tuple[str, ...]
) -> None:
    """Compare recorded runs: folders of a design, run directories, or W&B's, with the same seeds at each level."""
    from ibprobe.lens.markdown import markdown

    factors = [factor] if factor else []
    base = {factor: baseline} if factor and baseline is not None else {}
    found = _found(runs, wandb, ignore, factors=factors, baseline=base)
    click.echo("\n".join(markdown(found, factors)))


@lens.command("report")
@_of_runs
@click.option(
    "-o", "--out", "outs", multiple=True, type=click.Path(path_type=Path), default=[Path("lens.html")],
    show_default=True, help=".html, .md or .json; may be repeated.",
)  # fmt: skip
@click.option("--svg", type=click.Path(path_type=Path), help="Folder for the charts as files of their own.")
@click.option(
    "--to-wandb", metavar="[ENTITY/]PROJECT", help="W&B project that page, tables and verdicts are logged to."
)
def lens_report(
    runs: tuple[Path, ...], wandb: str | None, ignore: tuple[str, ...], outs: tuple[Path, ...], svg: Path | None,
    to_wandb: str | None,
) -> None:  # fmt: skip
    """Write what runs show: verdicts, differences, dose–response, planes, claims."""
    from ibprobe.lens.report import pictures, write_report
    from ibprobe.lens.to_wandb import log_findings, start_run
    from ibprobe.show.pictures import write_pictures

    found = _found(runs, wandb, ignore)
    with Console(stderr=True).status("drawing"):
        written = [write_report(found, out) for out in outs]
        written += write_pictures(pictures(found), svg, "svg") if svg else []
    if to_wandb:
        with start_run(to_wandb) as run:
            log_findings(found, run)
    for path in written:
        click.echo(f"{path} ({path.stat().st_size / 1000:,.0f} kB)")


def _found(runs: tuple[Path, ...], wandb: str | None, ignore: tuple[str, ...], **how: Any) -> Findings:
    """What the runs show, after saying which could not be read whole."""
    from ibprobe.lens.findings import find

    if not runs and not wandb:
        raise click.UsageError("expected RUN… or --wandb ENTITY/PROJECT")
    with Console(stderr=True).status("reading"):
        found = find(runs, wandb=wandb, ignore=ignore, **how)
    return _told(found)


def _told(found: Findings) -> Findings:
    for line in found.said:
        click.echo(f"ibprobe: {line}", err=True)
    return found

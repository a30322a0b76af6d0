"""``ibprobe lens run · compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ibprobe.errors import MissingExtra


@click.group()
def lens() -> None:
    """Compare runs that differ in dropout, weight decay or any other setting, paired by seed."""


@lens.command("run")
@click.argument("spec", metavar="SPEC.toml", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("lens"), show_default=True, help="Folder.")
@click.option("--jobs", type=click.IntRange(1), help="Processes at a time [default: one for each two cores].")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
def lens_run(spec: Path, out: Path, jobs: int | None, engine: Literal["local", "ray"]) -> None:
    """Run what is missing of the design in SPEC.toml, then write what it shows: lens.md, lens.json, lens.html.

    Runs that are finished are not run again: stop it at any time and give the same command once more.
    """
    from ibprobe.lens.design import read_design
    from ibprobe.lens.engine import Done, run_design
    from ibprobe.lens.findings import find
    from ibprobe.lens.report import write_report
    from ibprobe.lens.watch import Measuring
    from ibprobe.lens.words import limits, verdicts

    sys.path.insert(0, str(Path.cwd()))  # a training function may lie beside the design
    design, measure = read_design(spec)
    whole = len(design.runs())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("runs", total=whole)

        def advance(done: Done, left: int) -> None:
            bar.update(task, completed=whole - left)
            if done.failed:
                bar.console.print(f"{done.name} failed: {done.failed}", markup=False)

        ended = run_design(design, Measuring.read(measure), out, jobs=jobs, engine=engine, on_done=advance)
        bar.update(task, completed=whole)
    failed = sum(bool(done.failed) for done in ended)
    click.echo(f"{len(ended) - failed} runs done now, {failed} failed, {whole - len(ended)} were there: {out}\n")
    found = find([out])
    click.echo("\n".join([*verdicts(found), "", limits(found)]))
    for name in ("lens.md", "lens.json", "lens.html"):
        try:
            click.echo(write_report(found, out / name))
        except MissingExtra as e:
            click.echo(f"no {name}: {e}")
    sys.exit(1 if failed else 0)


@lens.command("compare")
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--factor", help="Config key that is compared [default: each that differs].")
@click.option("--baseline", help="Its level that others are compared with [default: the lowest].")
def lens_compare(runs: tuple[Path, ...], factor: str | None, baseline: str | None) -> None:
    """Compare recorded runs: folders of a design, or run directories with the same seeds at each level."""
    _say_comparisons(runs, factor, baseline)


@lens.command("report")
@click.argument("runs", metavar="DIR…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", "outs", multiple=True, type=click.Path(path_type=Path), default=[Path("lens.html")],
    show_default=True, help=".html, .md or .json; may be repeated.",
)  # fmt: skip
@click.option("--svg", type=click.Path(path_type=Path), help="Folder for the charts as files of their own.")
@click.option("--wandb", "project", metavar="[ENTITY/]PROJECT", help="W&B project for page, tables and verdicts.")
def lens_report(runs: tuple[Path, ...], outs: tuple[Path, ...], svg: Path | None, project: str | None) -> None:
    """Write what the runs in DIR show: verdicts, differences, dose–response, planes, claims."""
    from ibprobe.lens.findings import find
    from ibprobe.lens.report import pictures, write_report
    from ibprobe.lens.to_wandb import log_findings, start_run
    from ibprobe.show.pictures import write_pictures

    with Console(stderr=True).status("reading") as status:
        found = find(runs)
        status.update("drawing")
        written = [write_report(found, out) for out in outs]
        written += write_pictures(pictures(found), svg, "svg") if svg else []
    if project:
        with start_run(project) as run:
            log_findings(found, run)
    for path in written:
        click.echo(f"{path} ({path.stat().st_size / 1000:,.0f} kB)")


def _say_comparisons(paths: tuple[Path, ...], factor: str | None, baseline: str | None) -> None:
    from ibprobe.lens.compare import factors_in
    from ibprobe.lens.design import Design
    from ibprobe.lens.findings import findings
    from ibprobe.lens.runs import read_runs
    from ibprobe.lens.words import markdown

    runs, said = read_runs(paths)
    for line in said:
        click.echo(f"ibprobe: {line}", err=True)
    known, base = factors_in(runs), {}
    if factor and baseline is not None:
        base[factor] = next((v for v in known.get(factor, []) if str(v) == baseline), baseline)
    factors = [factor] if factor else []
    found = findings(runs, said=said, design=Design.kept(paths[0]), factors=factors, baseline=base)
    click.echo("\n".join(markdown(found, factors)))

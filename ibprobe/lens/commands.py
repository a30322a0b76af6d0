"""``ibprobe lens run · compare``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@click.group()
def lens() -> None:
    """Compare runs that differ in dropout, weight decay or any other setting, paired by seed."""


@lens.command("run")
@click.argument("spec", metavar="SPEC.toml", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("lens"), show_default=True, help="Folder.")
@click.option("--jobs", type=click.IntRange(1), help="Processes at a time [default: one for each two cores].")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True)
def lens_run(spec: Path, out: Path, jobs: int | None, engine: Literal["local", "ray"]) -> None:
    """Run what is missing of the design in SPEC.toml, then compare each factor's levels.

    Runs that are finished are not run again: stop it at any time and give the same command once more.
    """
    from ibprobe.lens.design import read_design
    from ibprobe.lens.engine import Done, run_design
    from ibprobe.lens.watch import Measuring

    sys.path.insert(0, str(Path.cwd()))  # a training function may lie beside the design
    design, measure = read_design(spec)
    measuring = Measuring.read(measure)
    whole = len(design.runs())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("runs", total=whole)

        def advance(done: Done, left: int) -> None:
            bar.update(task, completed=whole - left)
            if done.failed:
                bar.console.print(f"{done.name} failed: {done.failed}", markup=False)

        ended = run_design(design, measuring, out, jobs=jobs, engine=engine, on_done=advance)
        bar.update(task, completed=whole)
    failed = sum(bool(done.failed) for done in ended)
    click.echo(f"{len(ended) - failed} runs done now, {failed} failed, {whole - len(ended)} were there: {out}\n")
    _say_comparisons((out,))
    sys.exit(1 if failed else 0)


@lens.command("compare")
@click.argument("runs", metavar="[RUN…]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--wandb", metavar="ENTITY/PROJECT", help="A project on W&B's server, whose runs are compared (too).")
@click.option("--factor", help="Config key that is compared [default: each that differs].")
@click.option("--baseline", help="Its level that others are compared with [default: the lowest].")
@click.option(
    "--ignore", metavar="KEY", multiple=True, help="Config key that is no setting, such as a name or a folder."
)
def lens_compare(
    runs: tuple[Path, ...], wandb: str | None, factor: str | None, baseline: str | None, ignore: tuple[str, ...]
) -> None:
    """Compare recorded runs: folders of a design, run directories, or W&B's, with the same seeds at each level."""
    if not runs and not wandb:
        raise click.UsageError("expected RUN… or --wandb ENTITY/PROJECT")
    _say_comparisons(runs, factor, baseline, wandb=wandb, ignore=ignore)


def _say_comparisons(
    paths: tuple[Path, ...], factor: str | None = None, baseline: str | None = None, **read: Any
) -> None:
    from ibprobe.lens.compare import compare, factors_in
    from ibprobe.lens.runs import read_runs
    from ibprobe.lens.words import markdown

    runs, said = read_runs(paths, **read)
    for line in said:
        click.echo(f"ibprobe: {line}", err=True)
    known = factors_in(runs)
    base = None if baseline is None else next((v for v in known.get(factor or "", []) if str(v) == baseline), baseline)
    for name in [factor] if factor else known:
        click.echo("\n".join(markdown(compare(runs, name, baseline=base))) + "\n")
    flagged = sum(run.flagged for run in runs)
    click.echo(f"{len(runs)} runs; {flagged} flagged values do not count")

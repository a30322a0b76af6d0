"""The command line: ``ibprobe demo · report · export · lens · ib-curve · explain · plugins · selfcheck`` and W&B's."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ibprobe.curve_command import ib_curve_command, read_frontier
from ibprobe.errors import BadInput, BadRun, MissingExtra, ProbeError
from ibprobe.lens.commands import lens
from ibprobe.plugins.command import plugins_command
from ibprobe.version import __version__

if TYPE_CHECKING:
    from ibprobe.record.records import Records
    from ibprobe.show.theme import Look


class _OneLineErrors(click.Group):
    """A user's mistake is one line on stderr and exit code 1, never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ProbeError as e:
            click.echo(f"ibprobe: {e}", err=True)
            ctx.exit(1)


@click.group(cls=_OneLineErrors)
@click.version_option(__version__, prog_name="ibprobe")
def main() -> None:
    """See what each layer of a PyTorch model keeps of its input and of its target, while it trains."""


main.add_command(lens)
main.add_command(ib_curve_command)
main.add_command(plugins_command)


@main.command()
@click.option("--data", type=click.Choice(["digits", "mnist"]), default="digits", show_default=True)
@click.option("--root", type=click.Path(path_type=Path), help="Folder with the four MNIST idx files, gzipped or not.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training rows.")
@click.option("--activation", type=click.Choice(["relu", "tanh", "gelu"]), default="relu", show_default=True)
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.0, show_default=True)
@click.option("--weight-decay", type=click.FloatRange(0), default=0.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--run-dir", type=click.Path(path_type=Path), help="Run directory [default: runs/ib/<UTC time>-<id>].")
@click.option("--wandb", "wandb_mode", type=click.Choice(["online", "offline"]), help="Log to Weights & Biases too.")
@click.option("--quick", is_flag=True, help="A short run, brackets only: at most 20 seconds.")
def demo(
    data: str,
    root: Path | None,
    epochs: int | None,
    run_dir: Path | None,
    wandb_mode: str | None,
    quick: bool,
    **options: Any,
) -> None:
    """Train an MLP with four hidden layers on handwritten digits and watch its layers."""
    import torch

    from ibprobe.demo import Settings, load_digits, load_mnist, train

    if data == "mnist" and root is None:
        raise BadInput("--data mnist needs --root DIR, a folder with the four idx files")
    if data == "digits" and root is not None:
        raise BadInput("--root goes with --data mnist; the digits come with scikit-learn")
    torch.set_num_threads(1)  # the network is small; threads would mostly wait for each other
    loaded = load_digits() if root is None else load_mnist(root)
    passes = epochs or (3 if quick else 24 if data == "digits" else 4)
    settings = Settings(data=data, epochs=passes, **options)
    with _DemoScreen(passes, wandb_mode) as screen:
        records, accuracy, where = train(
            loaded, settings, critics=not quick, run_dir=run_dir, sinks=screen.sinks, on_epoch=screen.advance
        )
    _say_what_to_do_next(records, accuracy, where)


class _DemoScreen:
    """Progress bar and live table on a terminal, a line now and then elsewhere; and the W&B run, if asked for."""

    def __init__(self, epochs: int, wandb_mode: str | None) -> None:
        from ibprobe.sinks.terminal import TerminalSink

        self._epochs, self._wandb_mode = epochs, wandb_mode
        self._run: Any = None
        columns = (
            TextColumn("epoch"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
        )
        self._bar = Progress(*columns)
        self._task = self._bar.add_task("", total=epochs)
        self._live = sys.stdout.isatty()
        self.sinks: list[Any] = [TerminalSink(live=True, header=self._bar)]

    def __enter__(self) -> _DemoScreen:
        if self._wandb_mode:
            import wandb

            from ibprobe.sinks.wandb import WandbSink

            self._run = wandb.init(project="ibprobe-demo", mode=self._wandb_mode)  # type: ignore[arg-type]  # click checked it
            self.sinks.append(WandbSink(self._run))
        return self

    def __exit__(self, *error: object) -> None:
        if self._run is not None:
            self._run.finish()

    def advance(self, epoch: int, loss: float) -> None:
        self._bar.update(self._task, completed=epoch, description=f"loss {loss:.3f}")
        if not self._live and epoch % max(1, self._epochs // 8) == 0:
            click.echo(f"epoch {epoch}/{self._epochs}, loss {loss:.3f}")


def _say_what_to_do_next(records: Any, accuracy: float, run_dir: Path) -> None:
    from ibprobe.record.guards import check_plane

    broken = check_plane(records)
    click.echo(f"held-out accuracy {100 * accuracy:.1f} %; {len(records)} estimates at {len(records.steps)} steps")
    click.echo("guards: every point is possible" if not broken else "\n".join(v.message for v in broken))
    click.echo(
        f'records in {run_dir} · next: ibprobe report {run_dir} -o report.html, or ibprobe.load_run("{run_dir}")'
    )


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, help="Target file, .csv or .parquet.")
def export(run: Path, out: Path) -> None:
    """Write the records of RUN, a run directory, as a table."""
    from ibprobe.record.rundir import load_run

    if out.suffix not in (".csv", ".parquet"):
        raise BadInput(f"-o {out}: expected a name that ends in .csv or .parquet")
    records = load_run(run)
    table = records.to_pandas()
    try:
        table.to_csv(out, index=False) if out.suffix == ".csv" else table.to_parquet(out, index=False)
    except ImportError as e:
        raise MissingExtra("writing .parquet", "pyarrow", "report") from e
    except OSError as e:
        raise BadInput(f"cannot write {out}: {e}") from e
    for event in records.events:
        click.echo(str(event), err=True)
    click.echo(f"{len(records)} estimates written to {out}")


@main.command()
@click.argument("runs", metavar="RUN…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="The page to write [default: report.html].")
@click.option("--png", "png", type=click.Path(path_type=Path), help="Write the pictures into this folder too.")
@click.option("--svg", "svg", type=click.Path(path_type=Path), help="Likewise, as vector graphics.")
@click.option(
    "--look", type=click.Choice(["light", "dark"]), default="light", show_default=True, help="Of --png, --svg."
)
@click.option("--frontier", type=click.Path(path_type=Path), help="IB curve to draw: .npz, or its joint, .npy or .csv.")
@click.option("--section", "named", multiple=True, help="Section of a plugin to add; may be repeated.")
@click.option("--average/--separate", default=None, help="Runs of the same settings [default: average other seeds].")
def report(
    runs: tuple[Path, ...], out: Path | None, png: Path | None, svg: Path | None, look: Look,
    named: tuple[str, ...], **options: Any
) -> None:  # fmt: skip
    """Write what each RUN recorded as one HTML page: verdict, information plane, curves, tables.

    The page needs no network. Runs that differ by their recorded seed only are shown as their mean.
    """
    from ibprobe.plugins import Plugins
    from ibprobe.show.pictures import save_pictures
    from ibprobe.show.report import write_report

    sections = Plugins().sections(["auto", *named])
    page = out or (None if png or svg else Path("report.html"))
    options["frontier"] = options["frontier"] and read_frontier(options["frontier"])
    with Console(stderr=True).status("reading") as status:
        found, damaged = _read_runs(runs)
        status.update("drawing")
        written = [write_report(found, page, sections=sections, **options)] if page else []
        written += save_pictures(found, png, "png", look=look, **options) if png else []
        written += save_pictures(found, svg, "svg", look=look, **options) if svg else []
    for path in written:
        click.echo(f"{path} ({path.stat().st_size / 1000:,.0f} kB)")
    sys.exit(1 if damaged else 0)


def _read_runs(paths: tuple[Path, ...]) -> tuple[list[tuple[str, Records]], bool]:
    """Name and records of each run; a damaged one with what could be read of it, after saying so."""
    from ibprobe.record.rundir import load_run

    found, damaged = [], False
    for path in paths:
        try:
            records = load_run(path)
        except BadRun as e:
            if not e.records:
                raise
            click.echo(f"ibprobe: {e}; showing the {len(e.records)} estimates that could be read", err=True)
            records, damaged = e.records, True
        found.append((path.resolve().name, records))
    return found, damaged


@main.command("wandb-workspace")
@click.argument("project", metavar="ENTITY/PROJECT")
@click.option("--factor", "factors", multiple=True, help="Config key that runs are compared by; may be repeated.")
@click.option("--dump", is_flag=True, help="Print the workspace as JSON and save nothing; this needs no login.")
def wandb_workspace(project: str, factors: tuple[str, ...], dump: bool) -> None:
    """Save a W&B workspace for ENTITY/PROJECT: the plane, a section a quantity, runs compared."""
    from ibprobe.sinks.wandb_workspace import save_workspace, workspace_json

    entity, _, name = project.partition("/")
    if not (entity and name):
        raise BadInput(f"{project!r}: expected ENTITY/PROJECT, such as my-team/my-project")
    compared = {"factors": factors} if factors else {}
    click.echo(workspace_json(entity, name, **compared) if dump else save_workspace(entity, name, **compared))


@main.command()
@click.argument("flag", required=False)
def explain(flag: str | None) -> None:
    """Say what FLAG means, where it comes from and what to do; without FLAG, list all."""
    from ibprobe.record.flags import FLAGS
    from ibprobe.record.flags import explain as look_up

    if flag is None:
        for name, entry in FLAGS.items():
            click.echo(f"{name:20} {entry.meaning}")
        return
    found = look_up(flag)
    click.echo(f"{flag}\n  what:  {found.meaning}\n  why:   {found.cause}\n  to do: {found.action}")
    if found.line:
        click.echo(f"  line:  {found.line}")


@main.command()
@click.option("--device", default=None, help="Where to compute [default: cuda if there is one, else cpu].")
def selfcheck(device: str | None) -> None:
    """Compare the estimators with known answers on this machine; exit code 1 when one fails."""
    import torch

    from ibprobe.selfcheck import run_checks

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as e:
        raise BadInput(
            f"--device {device} cannot be used here: expected cpu, cuda or mps ({str(e).splitlines()[0][:80]})"
        ) from e
    console = Console()
    table = Table(title=f"known answers on {device}, nats", title_justify="left")
    for column in ("check", "truth", "estimate", "verdict"):
        table.add_column(column)
    failed = 0
    with console.status("checking …") as status:
        for check in run_checks(device):
            status.update(f"checked: {check.name}")
            failed += not check.passed
            table.add_row(
                check.name, check.truth, check.estimate.replace("[", r"\["), "ok" if check.passed else "FAILED"
            )
    console.print(table)
    click.echo(f"{failed} checks failed" if failed else "all checks passed")
    sys.exit(1 if failed else 0)

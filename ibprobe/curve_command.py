"""``ibprobe ib-curve``, and reading a frontier for ``ibprobe report --frontier``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ibprobe.errors import BadInput

if TYPE_CHECKING:
    from ibprobe.bottleneck import IBCurve


@click.command("ib-curve")
@click.argument("joint", metavar="JOINT", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), default=Path("curve.html"), show_default=True,
    help="The page, .html, or the points, .npz.",
)  # fmt: skip
@click.option("--points", type=click.IntRange(2), default=50, show_default=True, help="At most so many.")
@click.option("--kind", type=click.Choice(["ib", "dib"]), default="ib", show_default=True)
@click.option(
    "--squared", is_flag=True, help="Reach every point of straight pieces; needed where Y is a function of X."
)
@click.option("--device", help="Compute on torch, on this device, instead of NumPy.")
def ib_curve_command(
    joint: Path, out: Path, points: int, kind: Literal["ib", "dib"], squared: bool, device: str | None
) -> None:
    """Compute the information bottleneck's curve of JOINT, a table of counts or probabilities p(x, y).

    JOINT is a .npy or .csv file, a row an x and a column a y.
    """
    if out.suffix not in (".html", ".npz"):
        raise BadInput(f"-o {out}: expected a name that ends in .html or .npz")
    curve = _traced(joint, points=points, kind=kind, squared=squared, device=device)
    if out.suffix == ".npz":
        curve.save(out)
    else:
        from ibprobe.show.frontier import write_curve_page

        write_curve_page(curve, out, joint.name)
    for note in curve.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(
        f"{len(curve)} points: I(X;T) from 0 at β ≤ {curve.onset:.4g} to {curve.i_xt[-1]:.3f} nats, I(T;Y) up to"
        f" {curve.i_ty.max():.4f} of I(X;Y) = {curve.i_xy:.4f} nats; {out} ({out.stat().st_size / 1000:,.0f} kB)"
    )


def read_frontier(path: Path) -> IBCurve:
    """A saved curve (``.npz``), or the curve of a joint distribution (``.npy``, ``.csv``).

    Raises:
        BadInput: the file is missing, of another kind, or holds neither.
    """
    from ibprobe.bottleneck import load_curve

    if path.suffix == ".npz":
        return load_curve(path)
    if path.suffix in (".npy", ".csv"):
        return _traced(path, points=50, kind="ib", squared=False, device=None)
    raise BadInput(f"--frontier {path}: expected a curve (.npz, of ibprobe ib-curve) or a joint (.npy, .csv)")


def _traced(path: Path, *, points: int, kind: Literal["ib", "dib"], squared: bool, device: str | None) -> IBCurve:
    from ibprobe.bottleneck import ib_curve, read_joint

    table = read_joint(path)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("points", total=points)

        def advance(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        return ib_curve(
            table, kind=kind, form="squared" if squared else "lagrangian", points=points, device=device,
            on_point=advance,
        )  # fmt: skip

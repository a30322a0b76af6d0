"""Runs of designs, run directories and W&B, read together, and what forbids comparing them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ibprobe.errors import BadInput, BadRun
from ibprobe.lens.design import RUNS
from ibprobe.lens.runs import Run, recorded_run
from ibprobe.lens.wandb_runs import local_run, project_runs, wandb_files
from ibprobe.lens.watch import ABSOLUTE


def read_runs(
    paths: Sequence[Path], *, wandb: str | None = None, ignore: Collection[str] = ()
) -> tuple[list[Run], list[str]]:
    """Runs of designs' folders (those that hold ``runs``), of run directories, and of W&B.

    Args:
        paths: designs, run directories, and ``wandb`` folders or single runs in them.
        wandb: a project on W&B's server, ``entity/project``.
        ignore: config keys that are no settings, such as names and folders: by those, no two runs would be a pair.

    Returns:
        The runs, and a line for each that could not be read, or only in part.

    Raises:
        BadInput: none could be read, or their channels or views differ.
    """
    found: list[Run] = []
    said: list[str] = []
    for path in paths:
        files = wandb_files(path)
        folders = sorted((path / RUNS).iterdir()) if (path / RUNS).is_dir() else [path]
        for one in files or folders:
            try:
                found.append(local_run(one, said) if files else recorded_run(one, said))
            except (BadRun, OSError, ValueError, KeyError) as e:
                said.append(f"{one.name}: left out: {e}")
    found += project_runs(wandb, said) if wandb else ()
    if not found:
        raise BadInput("no run could be read: " + ("; ".join(said) or "there is none"))
    for run in found:
        run.settings = {key: value for key, value in run.settings.items() if key not in ignore}
    said += _without_other_noise(found)
    _refuse_mixtures(found)
    return found, [*said, *_repeats(found)]


def _without_other_noise(runs: Sequence[Run]) -> Iterator[str]:
    """Leave out what was measured at absolute noise that is not the same in all runs."""
    sigmas: dict[str, set[Any]] = {}
    for run in runs:
        for (how, layer), (_, sigma, *_) in run.channels.items():
            if how == ABSOLUTE:
                sigmas.setdefault(layer, set()).add(sigma)
    other = [layer for layer, of in sigmas.items() if len(of) > 1]
    for run in runs:
        run.values = {k: v for k, v in run.values.items() if k.how != ABSOLUTE or k.layer not in other}
        run.channels = {k: v for k, v in run.channels.items() if k[0] != ABSOLUTE or k[1] not in other}
    if other:
        yield f"absolute noise is not the same in all runs: what was measured at it in {', '.join(other)} is left out"


def _repeats(runs: Iterable[Run]) -> Iterator[str]:
    """Runs that no setting tells apart."""
    alike: dict[tuple[int, int, str], list[str]] = {}
    for run in runs:
        alike.setdefault((run.seed, run.order, run.others("")), []).append(run.name)
    for (seed, *_), names in alike.items():
        if len(names) > 1:
            yield f"{', '.join(names)} have the same settings and seed {seed}: the last counts"


def _refuse_mixtures(runs: Iterable[Run]) -> None:
    known: dict[tuple[str, str], tuple[tuple[Any, ...], str]] = {}
    for run in runs:
        for layer, channel in run.channels.items():
            first, name = known.setdefault(layer, (channel, run.name))
            if first != channel:
                raise BadInput(
                    f"layer {layer[1]!r} is measured as {first} in {name} and as {channel} in {run.name} (noise, "
                    "sigma, view, target); those are different quantities: compare runs that are measured alike"
                )

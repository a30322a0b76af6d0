"""Runs that W&B has, on this machine or on its server, as runs to compare."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.lens.runs import Run, begun, take
from ibprobe.lens.watch import TRAINING
from ibprobe.sinks.wandb_file import read_wandb_file
from ibprobe.sinks.wandb_keys import AXIS, FINAL_STEP
from ibprobe.sinks.wandb_records import records_of

_OWN = ("ibprobe", "_wandb", "wandb_version")
"""Keys of a run's config that are no settings of the user's."""
_A_PAGE = 50
"""Runs in one answer of the server, W&B's own default."""


def wandb_files(path: Path) -> list[Path]:
    """The ``.wandb`` files of runs: a file, a run's folder, or a ``wandb`` folder of them, in the order of their times.

    Runs that went to a server at once have such a file, too.
    """
    if path.suffix == ".wandb" and path.is_file():
        return [path]
    return sorted(path.glob("run-*.wandb")) or sorted(path.glob("*run-*/run-*.wandb"))


def local_run(path: Path, said: list[str]) -> Run:
    """A run from its file.

    Args:
        path: of ``wandb_files``.
        said: gets a line where something of the run is missing.

    Raises:
        BadRun: the file cannot be read.
        BadInput: it holds no values of ours.
    """
    file = read_wandb_file(path)
    if file.torn:
        said.append(f"{path.parent.name}: {file.torn}; it was read as far as it goes")
    return _run(path.parent.name, file.config, file.values, said)


def project_runs(project: str, said: list[str], api: Any = None) -> Iterator[Run]:
    """The runs of a project that hold our keys, oldest first, :data:`_A_PAGE` with each request.

    Read are config and summary, which has each key's last value; no history, table or file.

    Args:
        project: ``entity/project``.
        said: gets a line for each run that is left out, or has something missing.
        api: a ``wandb.Api``; by default, that of whoever is logged in.

    Raises:
        BadInput: nobody is logged in, there is no such project, or the server does not answer.
        MissingExtra: W&B is not installed.
    """
    if project.count("/") != 1 or not all(project.split("/")):
        raise BadInput(f"--wandb is ENTITY/PROJECT; got {project!r}")
    unwatched = 0
    for run in _fetched(project, api):
        name = f"{run.name} ({run.id})"
        if "ibprobe" not in run.config:
            unwatched += 1
        elif run.state in ("running", "pending"):
            said.append(f"{name}: left out: it is still {run.state}")
        else:
            try:
                yield _run(name, run.config, run.summary_metrics, said)
            except (ValueError, KeyError) as e:
                said.append(f"{name}: left out: {e}")
    if unwatched:
        said.append(f"{project}: {unwatched} runs were not watched by the probe")


def _fetched(project: str, api: Any) -> Iterator[Any]:
    try:
        import wandb
    except ImportError as e:
        raise MissingExtra("--wandb", "wandb", "lens") from e
    try:
        yield from (api or wandb.Api()).runs(project, per_page=_A_PAGE, lazy=False)
    except (wandb.errors.UsageError, wandb.errors.AuthenticationError) as e:
        raise BadInput(f"W&B is not logged in: wandb login, or set WANDB_API_KEY; {e}") from e
    except Exception as e:  # W&B's own are of many kinds, some without a name
        raise BadInput(f"W&B gives no runs of {project}: {e}") from e


def _run(name: str, config: Mapping[str, Any], values: Mapping[str, Any], said: list[str]) -> Run:
    meta = config.get("ibprobe")
    if not isinstance(meta, Mapping):
        raise BadInput("the probe has not logged to it: its config has no ibprobe")
    settings = {key: value for key, value in config.items() if key not in _OWN}
    run = begun(name, {**meta.get("config", {}), **settings}, said)
    records = records_of(config, values)
    if not len(records):
        why = "W&B has no values of single layers beyond 16 of them" if FINAL_STEP in values else "nothing was measured"
        raise BadInput(f"{why}: compare its run directory")
    if values.get(FINAL_STEP, -1) < values[AXIS]:
        said.append(f"{name}: its training did not come to its end; values are those of its last snapshot")
    take(run, TRAINING, records)
    return run

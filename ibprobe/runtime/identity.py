"""Which run a probe is in: put into checkpoints and taken up again, and the same on all processes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ibprobe.capture.gathering import Gathering
from ibprobe.record.records import Event
from ibprobe.record.rundir import RunDir
from ibprobe.runtime.journal import Journal
from ibprobe.runtime.snapshots import Snapshots
from ibprobe.runtime.team import Team


def state_of(journal: Journal, files: RunDir, rows: Gathering, snapshots: Snapshots) -> dict[str, Any]:
    """All that a resumed run needs, as plain types and tensors; nothing may be under way."""
    state = {"rows": rows.state_dict(), "snapshots": snapshots.state_dict()}
    return {"meta": journal.identity, "run_dir": str(files.path), "rank": files.rank, **state}


def resumed(
    state: Mapping[str, Any], journal: Journal, files: RunDir, rows: Gathering, snapshots: Snapshots, *, given: bool
) -> RunDir:
    """Go on from a state.

    Args:
        state: of :func:`state_of`.
        journal: takes up what was found.
        files: where records would be written.
        rows: takes up what was kept.
        snapshots: take up what they build on.
        given: whether the user has said where to write.

    The state of another process tells this one only which run it is: the first says the rest.

    Returns:
        Where records are written: where they were, if the run is still there and the user says nothing else.

    Raises:
        BadInput: the state is of a run that measures something else.
    """
    journal.adopt(state)
    if state.get("rank", 0) != files.rank:  # it has other layers, on other rows
        return files
    rows.load_state_dict(state["rows"])
    snapshots.load_state_dict(state["snapshots"])
    earlier = files.elsewhere(Path(state["run_dir"]))
    files = earlier if not given and earlier.holds(journal.meta["run"]) else files
    files.resume(journal.records)
    return files


_ANEW = "this process had no state of its own to go on from: its rows are others from here on"


def agreed(team: Team, journal: Journal, files: RunDir, rows: Gathering, snapshots: Snapshots) -> RunDir:
    """Have every process take up the run that the first one is in, and the step at which it is.

    Returns:
        Where records are written.

    Raises:
        BadInput: the first process says nothing.
    """
    run = {"run": journal.meta["run"], "run_dir": str(files.path), "step": rows.step, "asked": snapshots.asked}
    run = dict(team.met(run))
    if team.first:
        return files
    journal.meta["run"], rows.step, snapshots.asked = run["run"], run["step"], tuple(run["asked"])
    files = files.elsewhere(Path(run["run_dir"]))
    if team.writes and rows.step and not len(journal):
        journal.load_state_dict(files.known(rows.step))
        journal.keep(events=[Event(step=rows.step, kind="note", why=_ANEW)])
    files.resume(journal.records)
    return files

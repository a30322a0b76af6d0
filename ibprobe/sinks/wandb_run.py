"""All calls into the W&B library, and which of them may wait for its server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ibprobe.errors import BadInput
from ibprobe.sinks.wandb_keys import AXIS, PLANE, PLANE_HTML, PLANE_TABLE, RECORDS


class WandbRun:
    """A run that the user owns.

    The training thread may call everything but the ``log_…`` methods: with a server that answers after 5 s, or never,
    each of these calls takes about a millisecond. A table or chart asks the server for its artifact's type, and waits.

    Args:
        run: a ``wandb`` run; by default the active one.

    Raises:
        BadInput: there is no active run.
    """

    def __init__(self, run: Any = None) -> None:
        import wandb

        # Untyped: the library's own types differ between the versions that we work with.
        self._run: Any = run if run is not None else wandb.run
        self._wandb: Any = wandb
        if self._run is None:
            raise BadInput("no W&B run is active: call wandb.init() before, or pass sinks=[WandbSink(run)]")

    def begin(self, meta: Mapping[str, Any]) -> None:
        """Note in the run's config how the numbers are made, and define what is there from the start."""
        self._run.config.update({"ibprobe": dict(meta)}, allow_val_change=True)
        self._run.define_metric(AXIS, hidden=True)
        for key in (PLANE_TABLE, PLANE_HTML, RECORDS):
            self._run.define_metric(key, step_metric=AXIS, step_sync=True)
        # A process's first table loads hundreds of modules, which stalls every thread for 0.1 s: not amid training.
        self._table(["a"], [[0]])

    def define(self, key: str) -> None:
        """Give a scalar its axis, by its exact name: a glob would fight with another one over it."""
        detail = key.startswith("ib_detail/")
        summary = None if detail else "min,max,last"
        self._run.define_metric(key, step_metric=AXIS, step_sync=True, summary=summary, hidden=detail or None)

    @property
    def finished(self) -> bool:
        """Whether the user has finished the run; W&B has no public way to ask, and its other answers take 30 s then."""
        return bool(getattr(self._run, "_is_finished", False))

    @property
    def disabled(self) -> bool:
        """Whether the run keeps nothing."""
        return bool(getattr(self._run, "disabled", False))

    @property
    def step(self) -> int:
        """The row that is open: a round trip to another process of this machine, 0.2 ms."""
        return int(self._run.step)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add to the row that is open."""
        self._run.log(dict(row), commit=False)

    def end_row(self) -> None:
        """End the row that is open."""
        self._run.log({}, commit=True)

    def summarise(self, values: Mapping[str, float | int]) -> None:
        """Set summary values."""
        self._run.summary.update(dict(values))

    def alert(self, title: str, text: str) -> None:
        """Send a notice to those who asked W&B for notices; one title at most once a minute."""
        self._run.alert(title=title[:63], text=text, level=self._wandb.AlertLevel.WARN)

    def log_plane(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """The plane on a preset that every W&B server has, and its points as a table."""
        table = self._table(columns, rows)
        self.add({PLANE: self._wandb.plot.scatter(table, "I_XT", "I_TY", title="Information plane, nats")})

    def log_records(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """The records as a table."""
        self.add({RECORDS: self._table(columns, rows)})

    def log_html(self, page: str) -> None:
        """The interactive plane."""
        self.add({PLANE_HTML: self._wandb.Html(page, inject=False)})

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Any:
        return self._wandb.Table(columns=list(columns), data=[list(row) for row in rows])

"""From a training loop to rows: what is seen of its inputs, labels and steps goes to a source, which hands out rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from torch import Tensor

from ibprobe.capture.loop import Loop
from ibprobe.capture.rows import RowSet
from ibprobe.capture.sources import ReplaySource, Source
from ibprobe.capture.watch import Watch

GLANCE = 16
"""Steps from one look at training's forwards to the next, where nothing is gathered: autocast may have changed."""


class Gathering:
    """Gathers rows while training goes on.

    Args:
        watch: sees inputs, labels and steps.
        source: keeps what is needed of them.
        expects_labels: whether labels have to come from the loop.
    """

    def __init__(self, watch: Watch, source: Source, *, expects_labels: bool) -> None:
        self._watch, self.source = watch, source
        self._loop = Loop(expects_labels=expects_labels)

    @property
    def step(self) -> int:
        """Optimizer steps taken."""
        return self._loop.step

    @step.setter
    def step(self, step: int) -> None:
        self._loop.step = step

    @property
    def counts_steps(self) -> bool:
        """Whether the optimizer shows its steps."""
        return self._watch.counts_steps

    def open(
        self,
        step: int | None = None,
        *,
        on_inputs: Callable[[tuple[Any, ...], dict[str, Any]], None],
        on_labels: Callable[[Tensor], None],
        on_step: Callable[[], None],
    ) -> None:
        """Register all hooks, or none; they call back, and may hand what they saw to the methods below.

        Args:
            step: optimizer steps taken before, where the loop knows; else, those counted so far.
            on_inputs: see :class:`Watch`, as the others.
            on_labels: targets.
            on_step: steps.
        """
        self._loop.step = self._loop.step if step is None else step
        try:
            self.source.open()
            self._watch.start(on_inputs=on_inputs, on_labels=on_labels, on_step=on_step)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove all hooks."""
        self._watch.stop()
        self.source.close()

    def see_inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A training forward is about to run."""
        self._loop.forward(args, kwargs)
        self.source.see_inputs(args, kwargs, self._loop.step)
        self._watch.wants_labels = self._loop.needs_labels or self.source.wants_labels()

    def see_labels(self, y: Tensor, observed: bool) -> None:
        """Targets of the last forward, from a criterion or, ``observed``, from the user."""
        if not self._watch.looks:
            return  # of a forward that was not looked at
        self.source.see_labels(self._loop.targets(y, observed=observed))

    def stepped(self) -> None:
        """An optimizer step was taken."""
        self._loop.stepped(looked=self._watch.looks)

    def look_or_rest(self) -> None:
        """Look at the coming forwards if their rows are wanted, and at some of the others for what has changed."""
        self._watch.looks = self.source.gathering() or self._loop.step % GLANCE == 0

    def ended(self) -> None:
        """The run is over."""
        self._loop.ended()

    def take(self) -> list[RowSet]:
        """Rows of the model as it is now; forward passes that this takes are not training's.

        Raises:
            NoRows: there are none.
        """
        self._watch.paused = True
        try:
            return self.source.take(self._loop.step)
        finally:
            self._watch.paused = False

    def looked_at(self) -> Source:
        """The source, once it has seen the layers: rows at hand are run through them unless that was done already.

        Not where that takes other processes, which do not know of it.
        """
        if isinstance(self.source, ReplaySource) and self.source.alone and not self.source.sightings:
            with suppress(Exception):  # a model that cannot be run says so at its first snapshot
                self.take()
        return self.source

    def state_dict(self) -> dict[str, Any]:
        """Steps taken and rows kept, as plain types and tensors."""
        return {"step": self._loop.step, "source": self.source.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self._loop.step = state["step"]
        self.source.load_state_dict(state["source"])

"""Follows a training loop and says, once each, where its inputs, labels and steps do not fit together."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ibprobe.capture.rows import row_count

log = logging.getLogger("ibprobe")

FORWARDS_WITHOUT_STEP = 100


class Loop:
    """What was seen so far of forward passes, targets and optimizer steps.

    Args:
        expects_labels: whether labels have to come from the loop.
    """

    def __init__(self, *, expects_labels: bool) -> None:
        self.step = 0
        """Optimizer steps taken."""
        self.needs_labels = expects_labels
        """Whether labels have to come from the loop and none came yet."""
        self._needs_inputs = expects_labels
        self._forwards = self._forwards_since_step = self._rows = 0
        self._observed_early = self._conflict = False
        self._first: Tensor | None = None
        self._told: set[str] = set()

    def forward(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """A forward pass begins."""
        self._forwards += 1
        self._forwards_since_step += 1
        self._rows, self._first, self._conflict = row_count(args, kwargs), None, False
        if self._forwards_since_step == FORWARDS_WITHOUT_STEP:
            self._tell_of_steps(FORWARDS_WITHOUT_STEP)

    def targets(self, y: Tensor, *, observed: bool) -> Tensor | None:
        """The targets that count for the last forward pass; None when it cannot be told which do.

        Args:
            y: what a criterion or the user gave.
            observed: given by the user, whose word stands above a criterion's.
        """
        if not self._forwards and not observed:
            return None  # of a forward that was not seen, of which the next step tells
        self.needs_labels = False
        if observed:
            self._observed_early = self._observed_early or self._forwards == 0
        elif self._differs_from_first(y):
            self._tell(
                "the criterion was called with two different targets for one forward pass, so I(T;Y) uses neither: "
                "add, after the last of them, the one that counts:  probe.observe(y=labels)"
            )
            return None
        if observed and self._observed_early:
            self._tell(
                "observe(y=…) was called before the forward pass that it belongs to, so its labels are not used: "
                "call it after  model(x)"
            )
            return None
        if not y.ndim or len(y) != self._rows:
            self._tell(
                f"labels of shape {tuple(y.shape)} do not belong to the {self._rows} rows of the last forward pass "
                "(one label a row, rows on the first axis), so I(T;Y) will be missing for them"
            )
        return y

    def _differs_from_first(self, y: Tensor) -> bool:
        """A second target for one forward (mixup, two heads) would silently stand for the first."""
        if self._first is None:
            self._first = y
        same = self._first.shape == y.shape and torch.equal(self._first, y.to(self._first.device))
        self._conflict = self._conflict or not same
        return self._conflict

    def stepped(self, *, looked: bool) -> None:
        """An optimizer step was taken.

        Args:
            looked: whether a forward pass before it would have been seen.
        """
        self.step += 1
        self._forwards_since_step = 0
        if looked and self._needs_inputs and not self._forwards:
            self._tell(
                "an optimizer step, and no forward pass in training mode was seen before it: model= is not what the "
                "loop calls, or it (or another of its class) was compiled and called before the probe was attached; "
                "attach before the first call, or after  torch.compiler.reset()"
            )
        elif looked and self.needs_labels:
            self._tell(
                "no labels were seen, so I(T;Y) will be missing: pass loss=criterion (a module) to IBProbe, "
                "or labels=batch -> labels to a Trainer's callback, or add after the forward pass:  "
                "probe.observe(y=labels)"
            )

    def ended(self) -> None:
        """The run is over."""
        if 1 < self._forwards < FORWARDS_WITHOUT_STEP and not self.step:
            self._tell_of_steps(self._forwards)

    def _tell_of_steps(self, forwards: int) -> None:
        self._tell(
            f"{forwards} forward passes and no optimizer step seen: pass optimizer= to IBProbe, "
            "or add after each step:  probe.step()"
        )

    def _tell(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            log.warning("ibprobe: %s", text)

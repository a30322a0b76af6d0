"""How processes that train together share the measuring."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal, TypeVar

from torch import nn

from ibprobe.capture.company import Alone, Company
from ibprobe.capture.sharded import is_flattened, is_sharded
from ibprobe.capture.sources import Source
from ibprobe.errors import BadInput, UnknownName
from ibprobe.runtime.board import PATIENCE, Board
from ibprobe.runtime.pace import Heeding, Leading, Own, Pace
from ibprobe.runtime.ranks import Ranks, joined
from ibprobe.runtime.together import Conducting, FollowingSource

Distribute = Literal["auto", "layers"]
_Way = Literal["first", "layers", "together"]
_T = TypeVar("_T")

_MOMENT = 10.0
"""Seconds that a process that measures its own layers waits for the first one's word."""


class Team:
    """The processes, and the part of this one.

    Either the first one measures and the others rest; or each measures some of the layers; or, where the model is
    sharded, the first one measures and the others help it to run the model.

    Args:
        model: unwrapped.
        distribute: ``auto`` or ``layers``.
        mode: ``replay`` or ``stream``.

    Raises:
        UnknownName: another ``distribute``.
        BadInput: what cannot be shared so, or a process group that is not there yet.
    """

    def __init__(self, model: nn.Module, distribute: str, mode: str) -> None:
        if distribute not in ("auto", "layers"):
            raise UnknownName("distribute", distribute, ("auto", "layers"))
        self.ranks = Ranks.here()
        self._way: _Way = _way(model, distribute, mode) if not self.ranks.alone else "first"
        if self._way != "first" and not joined():
            raise BadInput(
                "the processes have no group yet: make the probe after torch.distributed.init_process_group()"
            )
        self._board = None if self._way == "first" else Board(self.ranks)

    @property
    def first(self) -> bool:
        """Whether this process is the one that talks to people and places."""
        return self.ranks.rank == 0

    @property
    def rests(self) -> str:
        """Why this process has nothing to do; empty when it has."""
        return "" if self.first or self._way != "first" else f"at rest: this is {self.ranks}, and rank 0 measures"

    @property
    def writes(self) -> bool:
        """Whether this process has records of its own."""
        return self.first or self._way == "layers"

    @property
    def meta(self) -> dict[str, Any]:
        """What records should say beside the numbers."""
        return {} if self.ranks.alone else {"ranks": self.ranks.size, "distribute": self._way}

    @property
    def rank(self) -> int | None:
        """Whose rows records are of; None where there is one process."""
        return None if self.ranks.alone else self.ranks.rank

    def dealt(self, layers: Mapping[str, _T]) -> dict[str, _T]:
        """The layers that this process measures: with W processes, every W-th, from its own number on."""
        if self._way != "layers":
            return dict(layers)
        return dict(list(layers.items())[self.ranks.rank :: self.ranks.size])

    def source(self, model: nn.Module, layers: Mapping[str, nn.Module], make: Callable[..., Source]) -> Source:
        """Where the rows of this process come from.

        Args:
            model: unwrapped.
            layers: all that are measured.
            make: makes a source of those that this process measures, and of those who run the model.
        """
        if self._board is not None and not self.writes:
            return FollowingSource(model, self._board, self.ranks)
        return make(layers=self.dealt(layers), company=self._company)

    @property
    def _company(self) -> Company:
        if self._board is not None and self._way == "together":
            return Conducting(self._board, self.ranks)
        return Alone(others=not self.ranks.alone)

    @property
    def pace(self) -> Pace:
        """Who says which due steps are measured."""
        if self._board is None:
            return Own()
        together = self._way == "together"
        if self.first:
            return Leading(self._board, at_once=together)
        return Heeding(self._board, PATIENCE if together else _MOMENT, at_once=together)

    def open(self, check: Callable[[], None]) -> None:
        """A run begins on this process.

        Args:
            check: whether the first process may write; what it raises ends the others' waiting, too.

        Raises:
            BadInput: the processes are not those that the probe was made in.
        """
        if Ranks.here() != self.ranks:
            raise BadInput(
                f"the probe was made when this was {self.ranks}, and now it is {Ranks.here()}: make it after "
                "torch.distributed.init_process_group()"
            )
        if self._board is not None:
            self._board.open()
        if self.first:
            try:
                check()
            except BaseException:
                self.part()
                raise

    def met(self, notice: Mapping[str, Any]) -> Mapping[str, Any]:
        """The first process says which run it is and where it stands, and the others take that up.

        Args:
            notice: what the first process says; of the others it is not used.

        Raises:
            BadInput: it says nothing.
        """
        if self._board is None:
            return notice
        if self.first:
            self._board.put("run", json.dumps(dict(notice)))
            return notice
        said = self._board.read("run", PATIENCE, [0])
        if said is None:
            raise BadInput("rank 0 has not attached its probe: make and attach the same one on every rank")
        found: Mapping[str, Any] = json.loads(said)
        return found

    def part(self) -> None:
        """This process takes part no more."""
        if self._board is not None:
            with suppress(Exception):  # the process that holds the notices may be gone
                self._board.leave()


def _way(model: nn.Module, distribute: str, mode: str) -> _Way:
    if mode == "replay" and is_flattened(model):
        raise BadInput(
            "FullyShardedDataParallel is replayed by no process: shard with torch.distributed.fsdp.fully_shard, or "
            'pass mode="stream"'
        )
    if mode == "replay" and is_sharded(model):
        if distribute == "layers":
            raise BadInput('a sharded model is run by all processes at once: leave distribute= out, or mode="stream"')
        return "together"
    return "layers" if distribute == "layers" else "first"

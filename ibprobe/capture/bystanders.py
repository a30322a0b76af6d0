"""Other people's hooks on a model that is replayed: those that only look are spared passes that are not theirs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ibprobe.capture.rows import tensors_in
from ibprobe.capture.taps import PreTap, Tap

Hook = Callable[..., Any]

TRIALS = 3
"""Replays that may find the model's answers to depend on hooks that seem only to look, before all hooks always run."""


class Bystanders:
    """Which forward hooks of a model only look, found out by running them once.

    A hook that returns None and leaves its module's output as it is *seems* only to look; but a model may read what
    such a hook keeps (features, for a later module). So the same rows run without and with the hooks: if the layers
    answer the same, the hooks are left out of every later pass. Hooks that change outputs, forward pre-hooks (weight
    and spectral norm, pruning), and hooks on all modules always run. Probes' own hooks never do. A hook that looks at
    its trial and acts later on is taken for one that looks.

    Hooks are remembered by their number and their module weakly, so that nothing is kept alive.
    """

    def __init__(self) -> None:
        self._looks: weakref.WeakKeyDictionary[nn.Module, dict[int, bool]] = weakref.WeakKeyDictionary()
        self._spared: weakref.WeakKeyDictionary[nn.Module, set[int]] = weakref.WeakKeyDictionary()
        self._trials = 0

    def on_trial(self, model: nn.Module) -> bool:
        """Whether some hook is new, or seems only to look and has not been spared yet."""
        if any(self._verdict(m, number) is None for m, number, _ in _foreign(model)):
            self._trials = 0
            return True
        waiting = (m for m, number, _ in _foreign(model) if self._verdict(m, number) and not self._is_spared(m, number))
        return self._trials < TRIALS and any(True for _ in waiting)

    @contextmanager
    def spared(self, model: nn.Module) -> Iterator[None]:
        """Hooks that only look do not run."""
        with _replaced(model, lambda m, number, hook: _nothing if self._is_spared(m, number) else None):
            yield

    @contextmanager
    def without_any(self, model: nn.Module) -> Iterator[None]:
        """No hook runs but those that are known to change something."""
        with _replaced(model, lambda m, number, hook: None if self._verdict(m, number) is False else _nothing):
            yield

    @contextmanager
    def judged(self, model: nn.Module) -> Iterator[None]:
        """Hooks run, and those that are new are watched."""
        trials: list[tuple[nn.Module, int, _Trial]] = []

        def choose(module: nn.Module, number: int, hook: Hook) -> Hook | None:
            if self._verdict(module, number) is not None:
                return _nothing if self._is_spared(module, number) else None
            trials.append((module, number, _Trial(hook)))
            return trials[-1][2]

        with _replaced(model, choose):
            yield
        self._trials += 1
        for module, number, trial in trials:
            if trial.ran:
                self._looks.setdefault(module, {})[number] = trial.looks

    def spare(self, model: nn.Module) -> None:
        """The layers answered the same without the hooks that only look."""
        for module, number, _ in _foreign(model):
            if self._verdict(module, number):
                self._spared.setdefault(module, set()).add(number)

    def _verdict(self, module: nn.Module, number: int) -> bool | None:
        """Whether a hook only looks; None before its trial."""
        return self._looks.get(module, {}).get(number)

    def _is_spared(self, module: nn.Module, number: int) -> bool:
        return number in self._spared.get(module, ())


class _Trial:
    """Runs a hook and sees whether it changes the output. Versions miss what is written to ``output.data``."""

    def __init__(self, hook: Hook) -> None:
        self._hook, self.ran, self.looks = hook, False, True

    def __call__(self, module: nn.Module, *rest: Any) -> Any:
        output = tensors_in(rest[-1])
        before = [t.clone() for t in output]
        result = self._hook(module, *rest)
        self.ran = True
        self.looks = self.looks and result is None and all(map(_same, output, before))
        return result


def _same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit; what cannot be compared counts as changed."""
    return not a.is_nested and not a.is_sparse and torch.equal(a, b)


def _nothing(*_: Any) -> None:
    """Stands in for a hook that is left out."""


def _foreign(model: nn.Module) -> Iterator[tuple[nn.Module, int, Hook]]:
    """Forward hooks of other people, by module and number. Those that shard a model are part of it."""
    for module in model.modules():
        for number, hook in list(module._forward_hooks.items()):
            if not isinstance(hook, Tap) and not str(getattr(hook, "__module__", "")).startswith("torch.distributed."):
                yield module, number, hook


@contextmanager
def _replaced(model: nn.Module, choose: Callable[[nn.Module, int, Hook], Hook | None]) -> Iterator[None]:
    """Put others in the place of some forward hooks, and of all probes' own; None leaves one as it is.

    Tables, numbers and order stay, so handles stay valid, and a hook that takes itself off stays off.
    """
    found: list[tuple[dict[int, Any], int, Hook, Hook]] = []
    for module in model.modules():
        for table in (module._forward_hooks, module._forward_pre_hooks):
            found += [
                (table, number, hook, _nothing) for number, hook in table.items() if isinstance(hook, Tap | PreTap)
            ]
    for module, number, hook in _foreign(model):
        other = choose(module, number, hook)
        if other is not None:
            found.append((module._forward_hooks, number, hook, other))
    try:
        for table, number, _, other in found:
            table[number] = other
        yield
    finally:
        for table, number, hook, other in found:
            if table.get(number) is other:
                table[number] = hook

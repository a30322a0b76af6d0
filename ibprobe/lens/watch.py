"""What each run of a design records: its layers while it trains and at its end, and how well it does where."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ibprobe.checkpoint import measure
from ibprobe.errors import BadInput
from ibprobe.lens.measuring import Measuring
from ibprobe.lens.shifts import Shift, named_shifts
from ibprobe.probe import IBProbe
from ibprobe.record.records import Estimate, Records
from ibprobe.record.rundir import RunDir

Pair = tuple[Tensor, Tensor]

TRAINING, ABSOLUTE, SAMPLED = "training", "absolute", "sampled"
"""Run directories within a run: while it trains (eval mode, relative noise), at its end at noise that is the same for
all runs of a design, and at its end with the regularizer active."""
OUTCOME = "outcome.json"
OF_WATCH = ("config", "noise", "seconds")
"""What a kept outcome holds beside the values."""


@dataclass(slots=True)
class Watch:
    """What a training function is given: ``with watch(model, train=…, held_out=…, optimizer=…):`` around its loop.

    Args:
        folder: where everything of the run is written.
        measuring: how.
        config: settings of the run, kept with its records.
        noise: standard deviation of absolute noise, by layer; that of this run's relative noise at its end where it is
            the first of a design.
    """

    folder: Path
    measuring: Measuring
    config: Mapping[str, Any]
    noise: Mapping[str, float] | None = None
    done: bool = False
    """Whether a model was watched, or values kept."""
    _started: float = field(default_factory=time.perf_counter)

    @contextmanager
    def __call__(
        self,
        model: nn.Module,
        *,
        train: Pair,
        held_out: Pair,
        optimizer: Optimizer,
        shifts: Mapping[str, Shift] | None = None,
    ) -> Iterator[IBProbe]:
        """Watch a training, and measure what has become of the model when the block ends.

        Args:
            model: maps inputs to class scores.
            train: inputs and classes that it is trained on, before augmentation.
            held_out: others.
            optimizer: whose steps count.
            shifts: functions of one's own that turn held-out inputs into shifted ones, by name.

        Raises:
            BadInput: a second call; one run trains one model.
        """
        if self.done:
            raise BadInput("watch(…) is called once: a run trains one model")
        how, splits = self.measuring, {"train": train, "held_out": held_out}
        probe = IBProbe(
            model, how.layers, optimizer=optimizer, probe_set=splits, every=how.every, rows=how.rows, sigma=how.sigma,
            estimator="channel", budget=None, sinks=[], run_dir=self.folder / TRAINING, config=self.config,
        )  # fmt: skip
        with probe:
            yield probe
        noise = self._measure(model, probe.estimates, splits)
        everywhere = dict(shifts or {}) | named_shifts(how.shifts)
        outcome = {
            "config": dict(self.config),
            "steps": max(probe.estimates.steps, default=0),
            "accuracy": {name: accuracy(model, *pair) for name, pair in splits.items()},
            "shifted": {name: accuracy(model, f(held_out[0]), held_out[1]) for name, f in everywhere.items()},
            "noise": noise,
            "norms": {name: float(p.detach().norm()) for name, p in model.named_parameters() if p.ndim > 1},
            "seconds": time.perf_counter() - self._started,
        }
        (self.folder / OUTCOME).write_text(json.dumps(outcome, indent=1), encoding="utf-8")
        self.done = True

    def keep(self, values: Mapping[str, Any]) -> None:
        """Take the place of the ``with`` block where a model is no classifier: what the function has measured itself.

        Args:
            values: numbers, which findings and reports compare by name, and texts, for whoever reads ``outcome.json``.

        Raises:
            BadInput: a second call, or a name that the outcome has already.
        """
        if self.done:
            raise BadInput("keep(…) is called once, and not after watch(…): a run trains one model")
        own = dict(zip(OF_WATCH, (dict(self.config), {}, time.perf_counter() - self._started), strict=True))
        taken = sorted(own.keys() & values.keys())
        if taken:
            raise BadInput(f"{taken[0]!r} is kept already; give it another name")
        (self.folder / OUTCOME).write_text(json.dumps({**values, **own}, indent=1), encoding="utf-8")
        self.done = True

    def _measure(self, model: nn.Module, trained: Records, splits: Mapping[str, Pair]) -> Mapping[str, float]:
        """The layers at their end, in the two ways that the probe does not see while the run trains."""
        how, step = self.measuring, max(trained.steps, default=0)
        last = trained.select(step=step, split="train", quantity="I_XT", estimator="channel")
        noise = self.noise or {e.layer: e.std for e in last}
        given: dict[str, Any] = {"rows": how.rows, "estimator": "channel"}
        for name in (ABSOLUTE, SAMPLED):
            directory, found = RunDir(self.folder / name), Records()
            for split, pair in splits.items():
                if name == SAMPLED:
                    new = [
                        measure(
                            model, pair, layers=how.layers, sigma=how.sigma, passes=how.passes, train_mode=True, **given
                        )
                    ]
                else:
                    new = [
                        measure(model, pair, layers=layer, noise="absolute", sigma=std, **given)
                        for layer, std in noise.items()
                        if std
                    ]
                for records in new:
                    found = found.plus(_of(records, step, split), records.events)
            directory.open({**trained.meta, "config": dict(self.config), "measured": name})
            directory.write(found.estimates, found.events)
            directory.close("")
        return noise


def _of(records: Records, step: int, split: str) -> list[Estimate]:
    return [replace(e, step=step, split=split) for e in records]


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of rows whose class has the highest score, in eval mode."""
    flags = [(m, m.training) for m in model.modules()]
    model.eval()
    at = next((p.device for p in model.parameters()), x.device)
    with torch.no_grad():
        found = torch.cat([model(rows.to(at)).argmax(1).to(y.device) for rows in torch.split(x, 1024)])
    for module, training in flags:
        module.training = training
    return float((found == y).float().mean())

"""What a plugin may add, each hook with a complete example."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import pluggy

from ibprobe.estimate.pairs import Estimator

hookspec = pluggy.HookspecMarker("ibprobe")
hookimpl = pluggy.HookimplMarker("ibprobe")
"""Marks a function of a plugin as the implementation of the hook that has its name."""


@dataclass(frozen=True, slots=True)
class EstimatorPlugin:
    """An estimator by name."""

    name: str
    """What a user writes: ``estimator="name"``."""
    summary: str
    """One line for ``ibprobe plugins``."""
    build: Callable[[], Estimator]
    """Called once a run; heavy imports belong in here."""


@hookspec
def ibprobe_estimators() -> Iterable[EstimatorPlugin]:
    """Yield estimators of the mutual information of a pair.

    A complete plugin, ``my_package/mi.py``::

        import math
        import torch
        from ibprobe import EstimatorPlugin, Reading, hookimpl


        def pearson(pairs, folds, *, seed):
            return {name: read(pair) for name, pair in pairs.items()}


        def read(pair):
            if any(side.ndim == 1 or side.shape[1] > 1 for side in (pair.a, pair.b)):
                return "pearson reads one column against one column"
            rho = float(torch.corrcoef(torch.cat([pair.a, pair.b], 1).T)[0, 1].clamp(-0.999, 0.999))
            nats, se = -0.5 * math.log1p(-rho * rho), abs(rho) / math.sqrt(len(pair.a))
            return Reading(
                nats=nats, ci_low=nats - 1.96 * se, ci_high=nats + 1.96 * se,
                lower_confidence=nats - 1.645 * se, bound="bivariate Gaussian",
            )


        @hookimpl
        def ibprobe_estimators():
            yield EstimatorPlugin("pearson", "one column against one column, both Gaussian", lambda: pearson)

    In its ``pyproject.toml``::

        [project.entry-points.ibprobe]
        mi = "my_package.mi"

    Then ``measure(model, data, estimator="pearson")`` and ``estimate_mi(x, y, estimator="pearson")`` know it.
    """
    raise NotImplementedError

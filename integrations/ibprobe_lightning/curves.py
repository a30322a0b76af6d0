"""The metrics that a LightningModule logs, to be kept beside the records."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_NOT_NAMES = ("self", "step")
"""Names that ``IBProbe.log`` has for something else."""


class Curves:
    """Tells new values from those that Lightning still shows from earlier."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def new(self, metrics: Mapping[str, Tensor]) -> dict[str, float]:
        """The values that have changed since the last call.

        Args:
            metrics: ``trainer.logged_metrics``; reading them waits for their device.
        """
        values = {name: float(value) for name, value in metrics.items() if name not in _NOT_NAMES}
        new = {name: value for name, value in values.items() if value != self._last.get(name)}
        self._last |= new
        return new

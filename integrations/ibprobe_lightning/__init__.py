"""One line in Lightning: ``Trainer(callbacks=[IBProbeCallback()])``."""

from ibprobe import MissingExtra

try:
    import lightning.pytorch  # noqa: F401  # asked for first, so that its absence is told from any other failure
except ModuleNotFoundError as e:
    if e.name not in ("lightning", "lightning.pytorch"):
        raise
    raise MissingExtra("IBProbeCallback", "lightning", "lightning") from e

from ibprobe_lightning.callback import IBProbeCallback

__all__ = ["IBProbeCallback"]

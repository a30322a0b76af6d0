"""TensorBoard as a sink: ``IBProbe(model, sinks=["auto", "tensorboard"])``, or with your own ``SummaryWriter``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ibprobe import MissingExtra, Records, hookimpl
from ibprobe.hookspecs import SinkPlugin
from ibprobe.sinks.trackers import Numbers, TrackerSink, planes_as_png

__all__ = ["TensorBoardSink"]


class TensorBoardSink(TrackerSink):
    """Scalars under W&B's keys, at the training step, in an event file.

    Flags and views are text, and the planes images at the end.
    The writer's queue is short and waits for the disk, so a thread of its own fills it.

    Args:
        writer: your ``torch.utils.tensorboard.SummaryWriter``, which stays yours and open; or the folder to make one
            in; by default torch's own, ``runs/<date>_<host>``.
        patience: seconds that the end of the run waits for a slow disk.

    Raises:
        MissingExtra: a writer is to be made and tensorboard is not installed.
    """

    def __init__(self, writer: Any = None, *, patience: float = 30.0) -> None:
        super().__init__(patience)
        self._given, self._folder = writer, str(writer) if isinstance(writer, str | Path) else None
        self._own = writer is None or self._folder is not None
        if self._own and find_spec("tensorboard") is None:
            raise MissingExtra("TensorBoardSink", "tensorboard", "tensorboard")

    def _begin(self, meta: Mapping[str, Any]) -> None:
        self._writer: Any = self._given
        if self._own:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self._folder)
            self._folder = self._writer.get_logdir()  # a run that goes on does so in the same place
        # Indented text is code in the Markdown that TensorBoard shows.
        self._meta_text = "\n".join(f"    {line}" for line in json.dumps(meta, indent=1).splitlines())
        self._told = False

    def _put(self, step: int, numbers: Numbers, texts: Mapping[str, str]) -> None:
        if not self._told:
            self._writer.add_text("ib/meta", self._meta_text, step)
            self._told = True
        for key, value in numbers.items():
            self._writer.add_scalar(key, value, step)
        for key, text in texts.items():
            self._writer.add_text(key, text, step)

    def _end(self, records: Records) -> None:
        for name, picture in planes_as_png(records).items():
            self._writer.add_image(f"ib/plane/{name}", _pixels(picture), records.steps[-1], dataformats="HWC")
        self._writer.flush()
        if self._own:
            self._writer.close()


def _pixels(picture: bytes) -> Any:
    """Height × width × 3 of a PNG, by packages that TensorBoard brings."""
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


@hookimpl
def ibprobe_sinks() -> Iterator[SinkPlugin]:
    """TensorBoard by name."""
    yield SinkPlugin("tensorboard", "TensorBoard: scalars and flags in an event file", TensorBoardSink)

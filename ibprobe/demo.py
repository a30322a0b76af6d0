"""``ibprobe demo``: the article's kind of network on real digits, measured from the first step to the last."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ibprobe.errors import BadInput, MissingExtra
from ibprobe.probe import IBProbe
from ibprobe.record.records import Records
from ibprobe.sinks.fanout import Sink

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}
HELD_OUT = 512
_MNIST_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True, slots=True)
class Data:
    """Images flattened to ``(n, d)`` in [0, 1], and classes."""

    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    hidden: tuple[int, ...]
    """Widths that suit the data."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a user can change about the training."""

    data: str = "digits"
    epochs: int = 24
    activation: str = "relu"
    dropout: float = 0.0
    weight_decay: float = 0.0
    seed: int = 0
    batch: int = 64
    lr: float = 2e-3


def load_digits() -> Data:
    """scikit-learn's 1,797 handwritten digits, 8 × 8; 512 of them held out.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits as load
    except ImportError as e:
        raise MissingExtra("the demo's data", "scikit-learn", "demo") from e
    images, labels = load(return_X_y=True)
    x, y = torch.from_numpy(images).float() / 16, torch.from_numpy(labels).long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held, train = order[:HELD_OUT], order[HELD_OUT:]
    return Data((x[train], y[train]), (x[held], y[held]), hidden=(128, 64, 32, 16))


def load_mnist(root: str | Path) -> Data:
    """MNIST, or any set in the same format, from a folder with the four idx files, gzipped or not.

    Raises:
        BadInput: a file is missing or damaged; the message names it and what was expected.
    """
    parts = [_read_idx(Path(root), name) for name in _MNIST_FILES]
    for images, labels, name in ((parts[0], parts[1], _MNIST_FILES[0]), (parts[2], parts[3], _MNIST_FILES[2])):
        if len(images) != len(labels):
            raise BadInput(f"{name} has {len(images)} images but its labels file has {len(labels)}")
    x, y, x_held, y_held = (torch.from_numpy(p) for p in parts)
    return Data(
        (x.flatten(1).float() / 255, y.long()), (x_held.flatten(1).float() / 255, y_held.long()), (512, 256, 128, 64)
    )


def _read_idx(root: Path, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    path = next((p for p in (root / name, root / f"{name}.gz") if p.is_file()), None)
    if path is None:
        raise BadInput(f"{root / name}[.gz] is missing; expected the four MNIST files {', '.join(_MNIST_FILES)}")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        axes = 3 if "idx3" in name else 1
        magic, *shape = struct.unpack(f">{axes + 1}I", raw[: 4 * (axes + 1)])
        values = np.frombuffer(raw, np.uint8, offset=4 * (axes + 1)).reshape(shape).copy()
    except (OSError, EOFError, ValueError, struct.error) as e:
        raise BadInput(f"{path} is damaged: expected unsigned bytes in idx format ({e})") from e
    if magic != 0x800 + axes:
        raise BadInput(f"{path} is damaged: expected magic number {0x800 + axes:#x} of an idx file, got {magic:#x}")
    return values


def build_mlp(data: Data, settings: Settings) -> nn.Sequential:
    """Four hidden layers and a head; layers are named as the table shows them."""
    net = nn.Sequential()
    width = data.train[0].shape[1]
    classes = int(data.train[1].max()) + 1
    for number, hidden in enumerate(data.hidden, 1):
        net.add_module(f"linear{number}", nn.Linear(width, hidden))
        net.add_module(f"hidden{number}", ACTIVATIONS[settings.activation]())
        if settings.dropout:
            net.add_module(f"dropout{number}", nn.Dropout(settings.dropout))
        width = hidden
    net.add_module("logits", nn.Linear(width, classes))
    return net


def train(
    data: Data,
    settings: Settings,
    *,
    critics: bool = True,
    run_dir: str | Path | None = None,
    sinks: Sequence[str | Sink] = (),
    on_epoch: Callable[[int, float], None] = lambda epoch, loss: None,
) -> tuple[Records, float, Path]:
    """Train with a probe on training and held-out rows.

    Args:
        data: what to learn.
        settings: how.
        critics: whether MINE critics run beside the brackets.
        run_dir: where records go; a fresh directory under ``runs/ib`` by default.
        sinks: where else.
        on_epoch: called with the number of epochs done and the last loss.

    Returns:
        The records, held-out accuracy, and the run directory.
    """
    torch.manual_seed(settings.seed)
    net, criterion = build_mlp(data, settings), nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    x, y = data.train
    probe = IBProbe(
        net, loss=criterion, optimizer=optimizer, probe_set={"train": data.train, "held_out": data.held_out},
        estimator="auto" if critics else "channel", budget=None, sinks=list(sinks), run_dir=run_dir,
        config=asdict(settings), seed=settings.seed,
    )  # fmt: skip
    with probe:
        for epoch in range(1, settings.epochs + 1):
            for rows in torch.split(torch.randperm(len(x)), settings.batch):
                optimizer.zero_grad()
                loss = criterion(net(x[rows]), y[rows])
                loss.backward()
                optimizer.step()
            on_epoch(epoch, loss.item())
    net.eval()
    with torch.no_grad():
        accuracy = float((net(data.held_out[0]).argmax(1) == data.held_out[1]).float().mean())
    return probe.estimates, accuracy, probe.run_dir

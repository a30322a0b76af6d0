"""Training functions that a design can name: small networks on handwritten digits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ibprobe.demo import ACTIVATIONS, Data, load_digits, load_mnist
from ibprobe.lens.watch import Watch


def digits(watch: Watch, **settings: float | int | str) -> None:
    """scikit-learn's 1,797 digits, 8 × 8 pixels; see :func:`fit` for the settings."""
    fit(watch, load_digits(), **settings)  # type: ignore[arg-type]


def mnist(watch: Watch, *, root: str, images: int = 10_000, **settings: float | int | str) -> None:
    """The first training images of MNIST, or of any set in its format, and 4,000 of its test images."""
    whole = load_mnist(root)
    (x, y), (x_held, y_held) = whole.train, whole.held_out
    fit(watch, Data((x[:images], y[:images]), (x_held[:4000], y_held[:4000]), whole.hidden), **settings)  # type: ignore[arg-type]


def fit(
    watch: Watch,
    data: Data,
    *,
    seed: int,
    order_seed: int,
    epochs: int = 12,
    batch: int = 64,
    lr: float = 2e-3,
    activation: str = "relu",
    width: float = 1.0,
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    input_noise: float = 0.0,
    augmentation: float = 0.0,
    patience: int = 0,
) -> None:
    """Train an MLP with four hidden layers and AdamW.

    Args:
        watch: records what becomes of it.
        data: images as flat rows, and classes.
        seed: of the weights.
        order_seed: of everything that training draws.
        epochs: at most.
        batch: rows of a step.
        lr: learning rate.
        activation: ``relu``, ``tanh`` or ``gelu``.
        width: factor on the widths of the hidden layers.
        dropout: after each hidden layer.
        weight_decay: decoupled, of AdamW.
        label_smoothing: of the loss.
        input_noise: standard deviation of what is added to training inputs.
        augmentation: largest shift of a training image, as a share of its side.
        patience: epochs without a better held-out loss after which training stops; 0 goes on to the end.
    """
    torch.manual_seed(seed)
    model = _mlp(data, activation, width, dropout)
    criterion = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    (x, y), best, waited = data.train, float("inf"), 0
    torch.manual_seed(order_seed)
    with watch(model, train=data.train, held_out=data.held_out, optimizer=optimizer):
        for _ in range(epochs):
            for rows in torch.split(torch.randperm(len(x)), batch):
                inputs = _moved(x[rows], augmentation) if augmentation else x[rows]
                inputs = inputs + input_noise * torch.randn_like(inputs) if input_noise else inputs
                optimizer.zero_grad()
                criterion(model(inputs), y[rows]).backward()
                optimizer.step()
            if patience:
                loss = _loss(model, *data.held_out)
                best, waited = (loss, 0) if loss < best else (best, waited + 1)
                if waited >= patience:
                    break


def _mlp(data: Data, activation: str, width: float, dropout: float) -> nn.Sequential:
    """All levels of dropout have the same layers, so that records of one layer are of one."""
    model, fan_in = nn.Sequential(), data.train[0].shape[1]
    for number, units in enumerate((max(1, round(width * h)) for h in data.hidden), 1):
        model.add_module(f"linear{number}", nn.Linear(fan_in, units))
        model.add_module(f"hidden{number}", ACTIVATIONS[activation]())
        model.add_module(f"dropout{number}", nn.Dropout(dropout))
        fan_in = units
    model.add_module("logits", nn.Linear(fan_in, int(data.train[1].max()) + 1))
    return model


def _moved(x: Tensor, share: float) -> Tensor:
    """Each image moved by up to a share of its side, around the edges."""
    side = round(x.shape[1] ** 0.5)
    images, most = x.reshape(-1, side, side), max(1, round(share * side))
    by = torch.randint(-most, most + 1, (len(images), 2)).tolist()
    return torch.stack([image.roll(shift, (0, 1)) for image, shift in zip(images, by, strict=True)]).reshape(x.shape)


def _loss(model: nn.Module, x: Tensor, y: Tensor) -> float:
    model.eval()
    with torch.no_grad():
        loss = float(nn.functional.cross_entropy(model(x), y))
    model.train()
    return loss

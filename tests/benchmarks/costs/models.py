"""Networks of common shapes, with synthetic data: what is timed, not what is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CLASSES, ROWS = 10, 8192


@dataclass(frozen=True, slots=True)
class Case:
    """A model, how it is trained, and what of it a reader must know."""

    build: Callable[[], nn.Module]
    draw: Callable[[torch.Generator], Tensor]
    batch: int
    optimizer: Callable[..., torch.optim.Optimizer]
    says: str
    view: str = "auto"
    """Of the probe."""


@dataclass(slots=True)
class Net:
    """A case made: weights and data are the same whenever the seed is."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    x: Tensor
    y: Tensor
    batch: int
    view: str = "auto"
    criterion: nn.Module = field(default_factory=nn.CrossEntropyLoss)
    steps: int = 0

    def step(self) -> None:
        """One optimizer step on the next rows."""
        first = self.steps * self.batch % (len(self.x) - self.batch + 1)
        rows = slice(first, first + self.batch)
        self.optimizer.zero_grad()
        self.criterion(self.model(self.x[rows]), self.y[rows]).backward()
        self.optimizer.step()
        self.steps += 1

    def settled(self) -> None:
        """Wait for the device, or a clock would read when work was queued and not when it was done."""
        if self.x.is_cuda:
            torch.cuda.synchronize()


def make(case: Case, device: str, seed: int = 0) -> Net:
    """Build a model and its data, both from ``seed``."""
    torch.manual_seed(seed)
    model = case.build().to(device)
    generator = torch.Generator().manual_seed(seed)
    x = case.draw(generator)
    y = x.roll(-1, 1) if case.view == "token" else torch.randint(CLASSES, (len(x),), generator=generator)
    return Net(model, case.optimizer(model.parameters()), x.to(device), y.to(device), case.batch, case.view)


def mlp() -> nn.Sequential:
    """784-1024-512-256-128-10 with ReLU."""
    widths = (784, 1024, 512, 256, 128)
    hidden = [part for a, b in pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(128, CLASSES))


class Residual(nn.Module):
    """The basic block of a ResNet-18."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, width, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.short: nn.Module = nn.Identity()
        if stride > 1 or fan_in != width:
            self.short = nn.Sequential(nn.Conv2d(fan_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(inner + self.short(x))


def resnet(base: int = 32) -> nn.Sequential:
    """Four stages of two blocks; the stem keeps the size, as is usual for small images."""
    stem = nn.Sequential(nn.Conv2d(3, base, 3, 1, 1, bias=False), nn.BatchNorm2d(base), nn.ReLU())
    widths = [base * 2**k for k in range(4)]
    stages = [
        nn.Sequential(Residual(fan_in, width, 1 if width == base else 2), Residual(width, width, 1))
        for fan_in, width in zip([base, *widths], widths, strict=False)
    ]
    return nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], CLASSES))


class Transformer(nn.Module):
    """An encoder that classifies sequences of tokens."""

    def __init__(self, tokens: int = 256, length: int = 32, width: int = 128, depth: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.randn(length, width) / 50)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(width, 4, 4 * width, dropout=0.1, batch_first=True) for _ in range(depth)
        )
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embedding(x) + self.position
        for block in self.blocks:
            h = block(h)
        return self.head(h.mean(1))


class Bottleneck(nn.Module):
    """The block of a ResNet-50."""

    def __init__(self, fan_in: int, width: int, stride: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for a, b, size, step in ((fan_in, width, 1, 1), (width, width, 3, stride), (width, 4 * width, 1, 1)):
            parts += [nn.Conv2d(a, b, size, step, size // 2, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
        self.inner = nn.Sequential(*parts[:-1])
        self.short: nn.Module = nn.Identity()
        if fan_in != 4 * width:
            wider = nn.Conv2d(fan_in, 4 * width, 1, stride, bias=False)
            self.short = nn.Sequential(wider, nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.inner(x) + self.short(x))


def resnet50() -> nn.Sequential:
    """Sixteen blocks in four stages, for images of 224 × 224 and a thousand classes."""
    stem = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
    )  # fmt: skip
    stages, fan_in = [], 64
    for number, depth in enumerate((3, 4, 6, 3)):
        width = 64 * 2**number
        first = Bottleneck(fan_in, width, 2 if number else 1)
        fan_in = 4 * width
        stages.append(nn.Sequential(first, *(Bottleneck(fan_in, width, 1) for _ in range(depth - 1))))
    return nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(fan_in, 1000))


class LanguageModel(nn.Module):
    """A decoder of GPT-2's shape; the head shares the embedding's weights."""

    def __init__(self, tokens: int = 50257, length: int = 1024, width: int = 768, depth: int = 12) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Embedding(length, width)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(
                width, width // 64, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        length = x.shape[1]
        h = self.embedding(x) + self.position.weight[:length]
        mask = nn.Transformer.generate_square_subsequent_mask(length, device=x.device)
        for block in self.blocks:
            h = block(h, src_mask=mask, is_causal=True)
        return self.head(self.norm(h)).transpose(1, 2)  # classes come second, as the loss wants them


def _adam(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=1e-3)  # type: ignore[arg-type]


def _sgd(parameters: object) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)  # type: ignore[arg-type]


CASES: Mapping[str, Case] = {
    "mlp": Case(
        mlp, lambda g: torch.randn(ROWS, 784, generator=g), 128, _adam,
        "MLP 784-1024-512-256-128-10, ReLU, batch 128, Adam",
    ),
    "resnet": Case(
        resnet, lambda g: torch.randn(ROWS, 3, 8, 8, generator=g), 64, _sgd,
        "ResNet-18 shape, 32 base channels, 8 × 8 images, batch 64, SGD with momentum",
    ),
    "transformer": Case(
        Transformer, lambda g: torch.randint(256, (ROWS, 32), generator=g), 64, _adam,
        "transformer encoder, 4 blocks, d = 128, 32 tokens, dropout 0.1, batch 64, Adam",
    ),
    "resnet50": Case(
        resnet50, lambda g: torch.randn(1024, 3, 224, 224, generator=g), 64, _sgd,
        "ResNet-50 shape, 224 × 224 images, batch 64, SGD with momentum, float32",
    ),
    "gpt2": Case(
        LanguageModel, lambda g: torch.randint(50257, (4096, 1024), generator=g), 8, _adam,
        "GPT-2 small shape, 12 blocks, d = 768, 1,024 tokens, dropout 0.1, batch 8, Adam, float32",
        view="token",
    ),
}  # fmt: skip
LARGE = ("resnet50", "gpt2")
"""What a GPU is for."""

"""Scenes of networks that are trained."""

from __future__ import annotations

import itertools
import tempfile

import torch
from chart import Axis, chart, point
from scene import Scene, generator, inputs
from torch import Tensor, nn

from ibprobe import IBProbe, Records, measure

STEPS = Axis("training step", log=True)
NATS = Axis("I(X;T), nats")


def bins() -> Scene:
    """One ReLU layer, one training, three kinds of bins."""
    x, y = twelve_bits()
    torch.manual_seed(1)
    widths = (12, 10, 7, 5, 4, 3)
    body = [part for a, b in itertools.pairwise(widths) for part in (nn.Linear(a, b), nn.ReLU())]
    model = nn.Sequential(*body, nn.Linear(3, 2))
    optimizer, draws = torch.optim.Adam(model.parameters(), lr=3e-3), generator(5)
    kinds = {
        "binned-fixed": "30 bins of [-1, 1]", "binned": "30 bins of its range", "binned-width": "bins of width 0.5",
        "channel": "bracket, σ = 0.25",
    }  # fmt: skip
    probe_set = torch.randperm(4096, generator=generator(1))[:2048]
    read: dict[str, dict[int, float]] = {kind: {} for kind in kinds}
    for step in range(1001):
        if step in (1, 3, 10, 30, 60, 100, 200, 300, 600, 1000):
            for kind in kinds:
                found = measure(model, (x[probe_set], y[probe_set]), layers="7", estimator=kind)
                read[kind][step] = found.one(quantity="I_XT", estimator=kind).nats
        rows = torch.randint(0, 4096, (256,), generator=draws)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()
    points = [point(name, step, nats) for kind, name in kinds.items() for step, nats in read[kind].items()]
    facts = {}
    for kind, name in kinds.items():
        facts |= {f"{name}, highest": max(read[kind].values()), f"{name}, at the end": read[kind][1000]}
    return Scene(chart(points, (), STEPS, NATS), facts)


def twelve_bits() -> tuple[Tensor, Tensor]:
    """All 4,096 patterns of twelve bits, and whether a random quadratic form of them is above its median."""
    x = torch.tensor([[float(number >> k & 1) for k in range(12)] for number in range(4096)]) * 2 - 1
    score = ((x @ torch.randn(12, 12, generator=generator(3))) * x).sum(1)
    return x, (score > score.median()).long()


def stale() -> Scene:
    """Rows gathered from 32 training steps beside the same number of rows from one."""
    names = {"stream": "stream: rows of 32 steps", "replay": "replay: rows of one step"}
    read = {mode: watched(mode) for mode in names}
    points = [
        point(name, max(e.step, 1), e.nats, e.bracket_low, e.bracket_high)
        for mode, name in names.items()
        for e in read[mode]
    ]
    facts = {f"{mode}, first": read[mode][0].nats for mode in names}
    facts |= {f"{mode}, last": read[mode][-1].nats for mode in names}
    facts["flagged in stream"] = sum("stale_rows" in e.flags for e in read["stream"])
    return Scene(chart(points, (), Axis("training step"), Axis("I(X;T̃), nats")), facts)


def watched(mode: str) -> Records:
    """I(X;T̃) of a hidden layer while a small network is trained with small batches."""
    x = inputs(20_000)
    y = x[:, :4].argmax(1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 4))
    criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=1.0)
    draws = generator(4)
    with (
        tempfile.TemporaryDirectory() as folder,
        IBProbe(
            model, ["1"], loss=criterion, optimizer=optimizer, mode=mode, rows=1024, every=32, budget=None, sinks=[],
            estimator="channel", run_dir=folder,
        ) as probe,
    ):  # fmt: skip
        for _ in range(320):
            rows = torch.randint(0, len(x), (32,), generator=draws)
            optimizer.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return probe.estimates.select(quantity="I_XT", headline=True)

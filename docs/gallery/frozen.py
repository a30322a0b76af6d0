"""Scenes of layers that are not trained: what is seen comes from noise, rows and estimators alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from chart import Axis, chart, point
from scene import Scene, activations, bracket, generator, inputs, layer
from torch import Tensor, nn

from ibprobe import Estimate, measure

NATS = Axis("I(X;T̃), nats")
INPUT = Axis("distinct inputs", log=True)


def deterministic() -> Scene:
    """One layer, more and more inputs: without noise it counts them."""
    sizes = [64 * 2**k for k in range(7)]
    bare = {n: bracket(activations(n), sigma=0.0) for n in sizes}
    noisy = {n: bracket(activations(n), sigma=0.5) for n in sizes}
    points = [point("no noise", n, e.nats) for n, e in bare.items()] + _whiskers("noise, σ = 0.5", noisy)
    truth = [point("ln(distinct inputs)", n, math.log(n)) for n in sizes]
    facts = {
        "no noise, 64 inputs": bare[64].nats, "no noise, 4096 inputs": bare[4096].nats,
        "with noise, 64 inputs": noisy[64].nats, "with noise, 4096 inputs": noisy[4096].nats,
    }  # fmt: skip
    return Scene(chart(points, truth, INPUT, Axis("I(X;T̃), nats", domain=(0, 9))), facts)


def ceiling() -> Scene:
    """A Gaussian layer whose truth is known, brackets of 512 rows."""
    rows, columns = inputs(512, seed=1), 20
    read = {}
    for nats in (0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10):
        std = 1 / math.sqrt(math.expm1(2 * nats / columns))  # I = d/2 · ln(1 + 1/std²)
        read[nats] = bracket(rows, sigma=std, noise="absolute")
    points = _whiskers("value, and the bracket's two ends", read)
    truth = [point("truth", nats, nats) for nats in (0.5, 10)]
    truth += [point("ln 512", nats, math.log(512)) for nats in (0.5, 10)]
    high = read[10]
    assert high.bracket_low is not None
    assert high.bracket_high is not None
    facts = {
        "truth 3": read[3].nats, "truth 8": read[8].nats, "truth 10, lower end": high.bracket_low,
        "truth 10, upper end": high.bracket_high,
    }  # fmt: skip
    return Scene(chart(points, truth, Axis("truth, nats"), NATS), facts)


def scale() -> Scene:
    """The same activations, multiplied."""
    factors = [2.0**k for k in range(-3, 4)]
    kinds = {"relative": "noise relative to the layer", "absolute": "noise of absolute size 0.5"}
    read = {
        kind: {f: bracket(activations(2048) * f, sigma=0.5, noise=kind) for f in factors} for kind in kinds
    }  # fmt: skip
    points = [p for kind, name in kinds.items() for p in _whiskers(name, read[kind], ends=False)]
    facts = {
        "relative, × 1/8": read["relative"][0.125].nats, "relative, × 8": read["relative"][8].nats,
        "absolute, × 1/4": read["absolute"][0.25].nats, "absolute, × 1": read["absolute"][1].nats,
        "absolute, × 4": read["absolute"][4].nats,
    }  # fmt: skip
    truth = [point("ln 2048", f, math.log(2048)) for f in (0.125, 8)]
    return Scene(chart(points, truth, Axis("activations multiplied by", log=True), NATS), facts)


def width() -> Scene:
    """Four units, copied: nothing is there that was not there before."""
    widths = [4 * 2**k for k in range(9)]
    kinds = {"relative": "noise relative to the layer", "absolute": "noise of absolute size 0.5"}
    four = activations(2048)[:, :4]
    read = {
        kind: {w: bracket(four.repeat(1, w // 4), sigma=0.5, noise=kind) for w in widths} for kind in kinds
    }  # fmt: skip
    points = [p for kind, name in kinds.items() for p in _whiskers(name, read[kind], ends=False)]
    facts = {
        "relative, 4 units": read["relative"][4].nats, "relative, 1024 units": read["relative"][1024].nats,
        "absolute, 4 units": read["absolute"][4].nats, "absolute, 1024 units": read["absolute"][1024].nats,
    }  # fmt: skip
    truth = [point("ln 2048", w, math.log(2048)) for w in (4, 1024)]
    return Scene(chart(points, truth, Axis("units, copies of the same four", log=True), NATS), facts)


def dropout() -> Scene:
    """A layer with dropout on: one pass has an upper end only, sixteen have both."""
    torch.manual_seed(0)
    seen, x, shares = nn.Linear(20, 64), inputs(1024), (0.0, 0.1, 0.2, 0.3, 0.5, 0.7)
    once, often = {}, {}
    for share in shares:
        model = nn.Sequential(seen, nn.ReLU(), nn.Dropout(share))
        options = {"layers": "2", "estimator": "channel", "train_mode": True, "sigma": 0.5}
        once[share] = measure(model, x, **options).one(quantity="I_XT")
        often[share] = measure(model, x, passes=16, **options).one(quantity="I_XT")
    again = {share: bracket(one_input(seen, x[:1], share), sigma=0.5) for share in shares[1:]}
    points = _whiskers("one pass: an upper end", once, ends=False) + _whiskers("16 passes: both ends", often)
    points += _whiskers("one input 1,024 times, one pass (truth: 0)", again, ends=False)
    low, high = often[0.5].bracket_low, often[0.5].bracket_high
    assert low is not None
    assert high is not None
    facts = {
        "no dropout": often[0.0].nats, "one pass, dropout 0.5": once[0.5].nats,
        "16 passes, dropout 0.5, lower end": low, "16 passes, dropout 0.5": often[0.5].nats,
        "16 passes, dropout 0.5, upper end": high, "one input, truth 0": again[0.5].nats,
    }  # fmt: skip
    return Scene(chart(points, (), Axis("share of units dropped"), Axis("I(X;T̃), nats", domain=(0, 2))), facts)


@torch.no_grad()
def one_input(seen: nn.Linear, x: Tensor, share: float) -> Tensor:
    """The same row again and again, each time with another mask."""
    same = torch.relu(seen(x)).expand(1024, 64)
    kept = torch.rand(same.shape, generator=generator(1)) > share
    return same * kept / (1 - share)


def small_n() -> Scene:
    """Labels that were shuffled: the truth is 0, whatever the layer."""
    torch.manual_seed(0)
    model, sizes = nn.Sequential(nn.Linear(20, 2), nn.Tanh()), [64 * 2**k for k in range(7)]
    read: dict[str, dict[float, Estimate]] = {"binned": {}, "channel": {}}
    for n in sizes:
        labels = torch.randint(0, 10, (n,), generator=generator(n))
        found = measure(model, (inputs(n, seed=7), labels), layers="1", estimator="binned")
        for name, by_size in read.items():
            by_size[n] = found.one(quantity="I_TY", estimator=name)
    points = [point("counts of 30 bins a unit", n, e.nats) for n, e in read["binned"].items()]
    points += [point("bracket, 95 % interval", n, e.nats, e.ci_low, e.ci_high) for n, e in read["channel"].items()]
    few, many = read["channel"][64], read["channel"][4096]
    facts = {
        "bins, 64 rows": read["binned"][64].nats, "bins, 4096 rows": read["binned"][4096].nats,
        "bracket, 64 rows": few.nats, "bracket, 64 rows, up to": few.ci_high,
        "bracket, 4096 rows, up to": many.ci_high,
    }  # fmt: skip
    truth = [point("H(Y) = ln 10", n, math.log(10)) for n in (64, 4096)]
    return Scene(chart(points, truth, Axis("rows", log=True), Axis("I(T̃;Y) of shuffled labels, nats")), facts)


def critic() -> Scene:
    """A critic that is trained on and on, beside a layer that is turned once and else stands still."""
    n, turn_at, steps = 2048, 1500, 3000
    x, t = inputs(n), activations(n)
    turned = t @ torch.linalg.qr(torch.randn(12, 12, generator=generator(3)))[0]
    before, after = bracket(t, sigma=0.5), bracket(turned, sigma=0.5)
    noise = before.std * torch.randn(t.shape, generator=generator(9))
    read = textbook(x, lambda step: (t if step < turn_at else turned) + noise, steps)
    points = [point("a textbook MINE, read on its own batches", s, v) for s, v in read.items()]
    truth = [point("bracket", s, (before if s < turn_at else after).nats) for s in (100, 1400, 1600, 3000)]
    ours = measure(layer(), x, layers="1", sigma=0.5).one(quantity="I_XT", estimator="mine")
    facts = {
        "bracket before": before.nats, "bracket after": after.nats, "our critic": ours.nats,
        "textbook after 100 steps": read[100], "textbook before the turn": read[turn_at],
        "textbook after the turn": read[turn_at + 100], "textbook at the end": read[steps],
    }  # fmt: skip
    return Scene(chart(points, truth, Axis("steps of the critic"), NATS), facts)


def textbook(x: Tensor, t_at: Callable[[int], Tensor], steps: int, every: int = 100) -> dict[int, float]:
    """Donsker–Varadhan on batches of 256, as scripts in circulation do it: trained and read on the same rows."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(x.shape[1] + 12, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 1))
    optimizer, values = torch.optim.Adam(net.parameters(), lr=1e-3), []
    for step in range(steps):
        rows, others = torch.randint(0, len(x), (256,)), torch.randperm(256)
        a, b = x[rows], t_at(step)[rows]
        marginal = net(torch.cat([a, b[others]], 1)).squeeze(1)
        value = net(torch.cat([a, b], 1)).mean() - (marginal.logsumexp(0) - math.log(256))
        optimizer.zero_grad()
        (-value).backward()
        optimizer.step()
        values.append(value.item())
    return {end: sum(values[end - every : end]) / every for end in range(every, steps + 1, every)}


def _whiskers(name: str, found: dict[float, Estimate], *, ends: bool = True) -> list[dict[str, object]]:
    return [
        point(name, x, e.nats, e.bracket_low if ends else None, e.bracket_high if ends else None)
        for x, e in found.items()
    ]

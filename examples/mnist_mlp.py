"""The article's experiment: a 4-layer MLP on MNIST, a measurement every 10 epochs, with what its table lacks."""

import argparse

import torch
from torch import nn

from ibprobe import Estimate, IBProbe, check_plane
from ibprobe.demo import load_mnist

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--root", required=True, help="folder with the four idx files, gzipped or not")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--images", type=int, default=10_000, help="training images")
parser.add_argument("--run-dir", default=None)
args = parser.parse_args()

torch.manual_seed(0)
data = load_mnist(args.root)
x, y = (part[: args.images] for part in data.train)
layers = {"layer1": 1024, "layer2": 20, "layer3": 20, "layer4": 20}
model, width = nn.Sequential(), 784
for name, units in layers.items():
    model.add_module(f"linear{name[-1]}", nn.Linear(width, units))
    model.add_module(name, nn.Tanh())
    width = units
model.add_module("logits", nn.Linear(width, 10))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=4e-4)

probe = IBProbe(
    model, list(layers), loss=criterion, optimizer=optimizer, probe_set=data.held_out, estimator="channel",
    every=lambda step: False, run_dir=args.run_dir,
)  # fmt: skip


def cell(e: Estimate) -> str:
    """Value, bracket, ceiling and flags: the article prints only the first."""
    ends = f"[{e.bracket_low:.2f}, {e.bracket_high:.2f}]"
    return f"{e.nats:.2f} {ends} ≤ {e.ceiling:.2f} {', '.join(sorted(e.flags))}".strip()


print("| Epoch | Layer 1 I(X;T̃) | Layer 1 I(T̃;Y) | Layer 4 I(X;T̃) | Layer 4 I(T̃;Y) |\n|---|---|---|---|---|")
with probe:
    for epoch in range(args.epochs + 1):
        if epoch % 10 == 0:
            now = probe.measure()
            cells = [cell(now.one(layer=n, quantity=q)) for n in ("layer1", "layer4") for q in ("I_XT", "I_TY")]
            print(f"| {epoch} | {' | '.join(cells)} |", flush=True)
        for rows in torch.randperm(len(x)).split(256):
            optimizer.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            optimizer.step()
steps = probe.estimates.steps
first, last = (probe.estimates.one(step=s, layer="layer4", quantity="I_XT").nats for s in (steps[0], steps[-1]))
print(f"guards broken: {len(check_plane(probe.estimates))}; layer 4 went from {first:.2f} to {last:.2f} nats of X")

"""A network whose I(X;T) is known in closed form: truth beside bracket beside MINE, while it trains."""

import argparse

import torch
from torch import nn

from ibprobe import IBProbe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=300)
parser.add_argument("--run-dir", default=None)
args = parser.parse_args()

torch.manual_seed(0)
x = torch.randn(20_000, 20)  # Gaussian inputs, so that a linear layer has a closed form
y = (x @ torch.randn(20, 4)).argmax(1)
model = nn.Sequential(nn.Linear(20, 8), nn.Linear(8, 6), nn.Linear(6, 4))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

held_out = (x[-4096:], y[-4096:])
with IBProbe(
    model, loss=criterion, optimizer=optimizer, probe_set=held_out, rows=4096, run_dir=args.run_dir
) as probe:  # fmt: skip
    for _ in range(args.steps):
        batch = torch.randint(0, 15_000, (128,))
        optimizer.zero_grad()
        criterion(model(x[batch]), y[batch]).backward()
        optimizer.step()
    last = probe.measure()  # brackets and critics now, whatever the budget says


def true_nats(layer: str, std: float) -> float:
    """I(X; Wx + std·ε) = ½ log det(1 + WWᵀ/std²) for standard normal x."""
    weight = torch.eye(20)
    for linear in list(model)[: int(layer) + 1]:
        weight = linear.weight.detach() @ weight
    return float(torch.logdet(torch.eye(len(weight)) + weight @ weight.T / std**2)) / 2


print(f"\n{'layer':6}{'true I(X;T̃)':>13}{'bracket':>15}{'95 % interval':>16}{'MINE':>6}{'I(T̃;Y)':>9}{'H(Y)':>7}")
worst = 0.0
for layer in last.layers:
    bracket = last.one(layer=layer, quantity="I_XT", estimator="channel")
    mine = last.one(layer=layer, quantity="I_XT", estimator="mine")
    label = last.one(layer=layer, quantity="I_TY", estimator="channel")
    truth = true_nats(layer, bracket.std)
    worst = max(worst, abs(bracket.nats - truth))
    ends = f"[{bracket.bracket_low:.2f}, {bracket.bracket_high:.2f}]"
    interval = f"[{bracket.ci_low:.2f}, {bracket.ci_high:.2f}]"
    print(f"{layer:6}{truth:13.2f}{ends:>15}{interval:>16}{mine.nats:6.2f}{label.nats:9.2f}{label.ceiling:7.2f}")
print(f"largest error of a bracket's value: {worst:.2f} nats; records in {probe.run_dir}")

"""A network whose I(X;T̃) has a closed form: truth beside bracket beside critic, after some steps of training."""

import argparse

import torch
from torch import nn

from ibprobe import IBProbe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=300)
steps = parser.parse_args().steps

torch.manual_seed(0)
x = torch.randn(20_000, 20)  # Gaussian inputs, so that a linear layer has a closed form
y = (x @ torch.randn(20, 4)).argmax(1)
model = nn.Sequential(nn.Linear(20, 8), nn.Linear(8, 6), nn.Linear(6, 4))
criterion = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

held_out = (x[-4096:], y[-4096:])
with IBProbe(model, loss=criterion, optimizer=optimizer, probe_set=held_out, rows=4096) as probe:
    for _ in range(steps):
        rows = torch.randint(0, 15_000, (128,))
        optimizer.zero_grad()
        criterion(model(x[rows]), y[rows]).backward()
        optimizer.step()
    last = probe.measure()  # brackets and critics now, whatever the budget says

weight, worst = torch.eye(20), 0.0
print(f"\n{'layer':6}{'true I(X;T̃)':>13}{'bracket':>15}{'95 % interval':>16}{'MINE':>6}{'I(T̃;Y)':>9}")
for layer, linear in zip(last.layers, model, strict=True):
    bracket = last.one(layer=layer, quantity="I_XT", estimator="channel")
    mine = last.one(layer=layer, quantity="I_XT", estimator="mine")
    label = last.one(layer=layer, quantity="I_TY", estimator="channel")
    weight = linear.weight.detach() @ weight
    signal_and_noise = torch.eye(len(weight)) + weight @ weight.T / bracket.std**2
    truth = float(torch.logdet(signal_and_noise)) / 2  # I(X; Wx + std·ε) for standard normal x
    worst = max(worst, abs(bracket.nats - truth))
    ends = f"[{bracket.bracket_low:.2f}, {bracket.bracket_high:.2f}]"
    interval = f"[{bracket.ci_low:.2f}, {bracket.ci_high:.2f}]"
    print(f"{layer:6}{truth:13.2f}{ends:>15}{interval:>16}{mine.nats:6.2f}{label.nats:9.2f}")
print(f"largest error of a bracket's value: {worst:.2f} nats; records in {probe.run_dir}")

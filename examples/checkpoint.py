"""Two finished models, one number each: which layers still know the input, which know the class?"""

import argparse
from itertools import pairwise

import torch
from torch import Tensor, nn

from ibprobe import measure

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=400)
args = parser.parse_args()


def train(labels: Tensor, seed: int) -> dict[str, Tensor]:
    """Train on the given labels and return the checkpoint."""
    torch.manual_seed(seed)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(args.steps):
        rows = torch.randint(0, 512, (128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), labels[rows]).backward()
        optimizer.step()
    return model.state_dict()


def build() -> nn.Module:
    """Three hidden layers."""
    widths = (16, 128, 64, 32)
    hidden = [m for a, b in pairwise(widths) for m in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*hidden, nn.Linear(32, 5))


torch.manual_seed(0)
y = torch.randint(0, 5, (2560,))
x = 1.5 * torch.randn(5, 16)[y] + torch.randn(2560, 16)  # five clusters; the first 512 rows are for training
checkpoints = {"true labels": train(y, 1), "shuffled labels": train(y[torch.randperm(len(y))], 1)}

held_out: dict[str, float] = {}
for name, state in checkpoints.items():
    model = build()
    model.load_state_dict(state)
    records = measure(model, (x[512:], y[512:]), estimator="channel")
    print(f"{name} (held-out rows)")
    for layer in records.layers:
        print("  ", records.one(layer=layer, quantity="I_XT"), "|", records.one(layer=layer, quantity="I_TY"))
    held_out[name] = records.one(layer=records.layers[-1], quantity="I_TY").nats
good, bad = held_out.values()
print(f"the head keeps {good:.2f} nats of the class after true labels, {bad:.2f} after shuffled ones")

"""Accelerate, in one process or more: a loop that is resumed goes on with the same records; its tracker gets them."""

import argparse
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from torch import nn

from ibprobe import IBProbe

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=200)
parser.add_argument("--run-dir", default=None)
parser.add_argument("--state", default="runs/accelerate-state", help="where checkpoints go")
args = parser.parse_args()

x = torch.randn(8192, 20, generator=torch.Generator().manual_seed(0))
y = (x[:, :4] ** 2).argmax(1)


class Printing(GeneralTracker):
    """Stands for any tracker, as log_with="tensorboard"."""

    name, requires_logging_directory, tracker = "printing", False, None

    def log(self, values: dict[str, Any], step: int | None = None, **kwargs: Any) -> None:
        """Print a line."""
        print(f"step {step}:", ", ".join(f"{name} {value:.2f}" for name, value in values.items()))


def train(begin: int, end: int) -> IBProbe:
    accelerator = Accelerator(cpu=True, log_with=Printing())
    accelerator.init_trackers("ibprobe")
    model, criterion = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4)), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    probe = IBProbe(
        model, loss=criterion, optimizer=optimizer, rows=1024, estimator="channel", run_dir=args.run_dir,
        sinks=lambda values, step: accelerator.log(values, step=step),
    )  # fmt: skip
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(probe)
    if begin:
        accelerator.load_state(args.state)  # before `with probe:`
    with probe:
        steps = torch.arange(64 * begin, 64 * end).split(64)
        for batch in steps[accelerator.process_index :: accelerator.num_processes]:
            optimizer.zero_grad()
            accelerator.backward(criterion(model(x[batch % 8192]), y[batch % 8192]))
            optimizer.step()
        accelerator.save_state(args.state)
        accelerator.wait_for_everyone()
    return probe


first, later = train(0, args.steps // 2), train(args.steps // 2, args.steps)
if steps := later.estimates.steps:  # of several processes, the first one has records
    same = "the same run" if later.estimates.meta["run"] == first.estimates.meta["run"] else "another run"
    print(f"resumed: {same}, measured at steps {steps[0]} to {steps[-1]}; records in {later.run_dir}")

"""Lightning with one line more: what the layers of a digit classifier keep, while it trains."""

import argparse

import torch
from ibprobe_lightning import IBProbeCallback
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--root", default="runs/lightning")
args = parser.parse_args()


class Digits(LightningModule):
    """A multilayer perceptron for 8 × 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        """The cross-entropy."""
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam."""
        return torch.optim.Adam(self.parameters(), lr=3e-3)


seed_everything(0)
x, y = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
watching = IBProbeCallback(rows=1024, budget=0.5)  # so short a run would leave little of 5 %
trainer = Trainer(
    max_epochs=args.epochs, callbacks=[watching], logger=CSVLogger(args.root), default_root_dir=args.root,
    accelerator="cpu", log_every_n_steps=10, enable_progress_bar=False,
)  # fmt: skip
trainer.fit(Digits(), DataLoader(data, batch_size=64, shuffle=True))

assert watching.probe is not None
probe = watching.probe
head = probe.estimates.select(layer="4", quantity="I_TY", estimator="channel")[-1]
table = probe.run_dir / "records.jsonl"
print(f"the head keeps {head.nats:.2f} of {head.ceiling:.2f} nats of the label; table in {table}")

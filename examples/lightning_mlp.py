"""Lightning with one line more: what the layers of a digit classifier keep, in the terminal, a CSV file and a report."""

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
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=3e-3)


seed_everything(0)
x, y = load_digits(return_X_y=True)
data = TensorDataset(torch.tensor(x / 16, dtype=torch.float32), torch.tensor(y))
probing = IBProbeCallback(rows=1024, report=False)
logger = CSVLogger(args.root)
trainer = Trainer(max_epochs=args.epochs, callbacks=[probing], logger=logger, default_root_dir=args.root)
trainer.fit(Digits(), DataLoader(data, batch_size=64, shuffle=True))

assert probing.probe is not None
last = probing.probe.estimates

"""Two processes: torchrun --nproc-per-node 2 examples/ddp.py; with --shard, each holds half of every layer."""

import argparse

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from ibprobe import IBProbe, load_run

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--run-dir", default="runs/ddp")
parser.add_argument("--shard", action="store_true", help="FSDP2: all processes replay together")
parser.add_argument("--layers", action="store_true", help="each process measures every second layer")
args = parser.parse_args()

distributed.init_process_group("gloo")
rank, size = distributed.get_rank(), distributed.get_world_size()
x = torch.randn(8192, 20, generator=torch.Generator().manual_seed(0))
y = (x[:, :4] ** 2).argmax(1)
held_out, data = (x[-1024:], y[-1024:]), TensorDataset(x[:-1024], y[:-1024])
sampler = DistributedSampler(data)
batches = DataLoader(data, batch_size=64, sampler=sampler)

torch.manual_seed(0)
inner = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 4))
if args.shard:
    for layer in (inner[0], inner[2], inner[4]):
        fully_shard(layer)
    model: nn.Module = fully_shard(inner)
else:
    model = DistributedDataParallel(inner)
criterion, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), lr=3e-3)

# The same lines on every rank: those beside the first rest, help, or measure layers of their own.
with IBProbe(
    model, loss=criterion, optimizer=optimizer, probe_set={"held_out": held_out}, rows=1024, estimator="channel",
    distribute="layers" if args.layers else "auto", run_dir=args.run_dir,
) as probe:  # fmt: skip
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)
        for xs, ys in batches:
            optimizer.zero_grad()
            criterion(model(xs), ys).backward()
            optimizer.step()

distributed.barrier()  # all records are written
if rank == 0:
    records = load_run(args.run_dir)
    by = sorted({str(e.rank) for e in records})
    print(
        f"{size} processes; {len(records.layers)} layers at {len(records.steps)} steps, measured by rank {'+'.join(by)}"
    )
del model  # with gloo, a wrapper that outlives its group can hang the process at its end
distributed.destroy_process_group()

"""What a snapshot of a model of GPT-2's size costs: 12 blocks of 768 units, random weights, one token a sequence."""

import argparse
import time
from collections.abc import Callable

import torch
import transformers as hf

from ibprobe import measure

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--rows", type=int, default=512)
parser.add_argument("--tokens", type=int, default=64)
parser.add_argument("--batch", type=int, default=8, help="sequences of the training step that it is compared with")
parser.add_argument("--threads", type=int, default=torch.get_num_threads())
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(0)
model = hf.GPT2LMHeadModel(hf.GPT2Config())
ids = torch.randint(1000, (args.rows, args.tokens))
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)


def step() -> None:
    """One optimizer step."""
    optimizer.zero_grad()
    model(input_ids=ids[: args.batch], labels=ids[: args.batch]).loss.backward()
    optimizer.step()


def seconds(call: Callable[[], None]) -> float:
    """Of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def forward() -> None:
    """What a replay runs: every row once, and the first ones twice to see whether layers draw random numbers."""
    with torch.no_grad():
        model.eval()
        for rows in (ids[: args.batch], *ids.split(args.batch)):
            model(input_ids=rows, labels=rows)
        model.train()


step()  # the first one is slower
of_step, of_replay = seconds(step), seconds(forward)
batches = [{"input_ids": rows, "labels": rows} for rows in ids.split(args.batch)]
start = time.perf_counter()
records = measure(
    model, batches, layers="transformer.h.*", view="next_token", estimator="channel", rows=args.rows
)  # fmt: skip
whole = time.perf_counter() - start
print(
    f"{args.rows} sequences of {args.tokens} tokens, {len(records.layers)} blocks of 768 units, {args.threads} threads"
)
print(f"snapshot {whole:.1f} s; the model's own forward passes {of_replay:.1f} s, or {100 * of_replay / whole:.0f} %")
print(f"training step of {args.batch} sequences {of_step:.2f} s: a snapshot costs {whole / of_step:.0f} of them")

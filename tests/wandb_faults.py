"""A training script whose W&B server fails amid training; what came of it is printed as JSON.

Run it as ``python wandb_faults.py FAULT``, with FAULT one of ``none``, ``status``, ``hang``, ``dead``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch
import wandb
from torch import nn
from wandb_loopback import LoopbackServer

from ibprobe import IBProbe, WandbSink, load_run

STEPS = 40
PATIENCE = {"none": 60.0}
"""Seconds that the probe waits for the server at its end; one that fails gets one second."""
FAULTS: dict[str, dict[str, Any]] = {
    "none": {},
    "status": {"status": 500},
    "hang": {"hang": True},
    "dead": {"dead": True},
}


def started(server: LoopbackServer) -> wandb.Run:
    """A run that does not try for minutes to reach a server that fails."""
    os.environ.update(server.environment())
    few = {f"x_{what}_retry_max": 1 for what in ("graphql", "file_stream", "file_transfer")}
    short = {f"x_{what}_timeout_seconds": 1 for what in ("graphql", "file_stream", "file_transfer")}
    waits = {f"x_{what}_retry_wait_{end}_seconds": 0.1 for what in ("graphql", "file_stream") for end in ("min", "max")}
    quiet = {"console": "off", "x_disable_stats": True, "x_disable_meta": True, "disable_git": True, "silent": True}
    return wandb.init(
        project="tests", mode="online", settings=wandb.Settings(init_timeout=20, **few, **short, **waits, **quiet)
    )


def trained(server: LoopbackServer | None, fault: str, run: wandb.Run | None) -> tuple[dict[str, Any], nn.Module]:
    """A model after some steps, and what the probe had to say; without a run there is no probe."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)
    x = torch.randn(STEPS, 32, 4)
    y = (x[..., 0] > 0).long()
    sinks = [WandbSink(run, panels_every=0.0, patience=PATIENCE.get(fault, 1.0))] if run else []
    options: dict[str, Any] = {"estimator": "channel", "budget": None, "every": 2, "rows": 64, "sinks": sinks}
    probe = IBProbe(model, loss=loss, optimizer=optimizer, run_dir="ib", **options) if run else None
    longest = 0.0
    if probe:
        probe.attach()
    for step in range(STEPS):
        if server and step == STEPS // 4:
            vars(server.faults).update(FAULTS[fault])
        begun = time.perf_counter()
        optimizer.zero_grad()
        loss(model(x[step]), y[step]).backward()
        optimizer.step()
        if run:
            run.log({"loss": step / 3})
        longest = max(longest, time.perf_counter() - begun)
        time.sleep(0.02)
    begun = time.perf_counter()
    if probe:
        probe.detach()
    told = {"measured": len(probe.estimates) if probe else 0, "step_s": longest}
    return told | {"detach_s": time.perf_counter() - begun}, model


def main(fault: str) -> None:
    """Train without and with the probe, and compare."""
    _, alone = trained(None, fault, None)
    with LoopbackServer() as server:
        told, watched = trained(server, fault, run := started(server))
        told["same_weights"] = all(map(torch.equal, alone.state_dict().values(), watched.state_dict().values()))
        told["kept"] = len(load_run(Path("ib")))
        begun = time.perf_counter()
        run.finish()
        told |= {"finish_s": time.perf_counter() - begun, "rows": len(server.kept.history)}
        told["errors"] = server.kept.errors
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

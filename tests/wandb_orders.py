"""Every order in which a user and the probe can log into one run."""

from __future__ import annotations

from typing import Any

import wandb
from record_factory import estimate

from ibprobe.sinks.wandb import WandbSink

STEPS = 20
ORDERS: dict[str, dict[str, Any]] = {
    "user first, explicit step": {"first": True, "explicit": True},
    "user first, automatic step": {"first": True, "explicit": False},
    "user last, explicit step": {"first": False, "explicit": True},
    "user last, automatic step": {"first": False, "explicit": False},
    "probe three times faster": {"first": True, "explicit": True, "snapshots": 3},
    "user sparse": {"first": True, "explicit": True, "every": 7},
    "user silent": {"first": True, "explicit": False, "every": None},
}


def train(
    run: wandb.Run, sink: WandbSink, *, first: bool, explicit: bool, snapshots: int = 1, every: int | None = 1
) -> list[int]:
    """A loop in which user and probe log; gives the steps that the user logged."""
    logged = [i for i in range(STEPS) if every and i % every == 0]
    for i in range(STEPS):
        if first and i in logged:
            _user_logs(run, i, explicit)
        for k in range(snapshots):
            step = snapshots * i + k
            sink.write([estimate(step=step, quantity=q, nats=n) for q, n in values(step, snapshots).items()], [])
        sink.tick()
        if not first and i in logged:
            _user_logs(run, i, explicit)
    return logged


def values(step: int, snapshots: int) -> dict[str, float]:
    """What the probe measures at a step."""
    return {"I_XT": step // snapshots + step % snapshots / 10, "I_TY": 1 / (1 + step)}


def _user_logs(run: wandb.Run, step: int, explicit: bool) -> None:
    row = {"loss": step / 3, "user/i": step, "train/global_step": 10 * step}
    run.log(row, step=step if explicit else None)

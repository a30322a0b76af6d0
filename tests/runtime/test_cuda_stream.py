"""On a CUDA device: the side stream finds what inline work finds, and training does not notice it."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import batches, quiet_probe, same
from torch import nn

from ibprobe import IBProbe

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def trained(place: str | None) -> tuple[dict[str, Any], IBProbe | None]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 2)).cuda()
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.Adam(model.parameters(), 0.01)
    probe = place and quiet_probe(model, loss=loss, optimizer=optimizer, runtime=place, every=20)
    data = [(x.cuda(), y.cuda()) for x, y in batches(512)]
    with probe or torch.enable_grad():
        for x, y in data * 10:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    return {"model": dict(model.state_dict()), "random": torch.cuda.get_rng_state()}, probe or None


@pytest.mark.parametrize("place", ["inline", "thread", "cuda-stream"])
def test_training_does_not_notice(place: str) -> None:
    state, probe = trained(place)
    assert probe is not None
    assert len(probe.estimates.steps) >= 3
    assert not [e for e in probe.estimates.events if e.kind == "disarmed"]
    assert same(state, trained(None)[0])


def test_the_side_stream_finds_what_inline_work_finds() -> None:
    inline, beside = trained("inline")[1], trained("cuda-stream")[1]
    assert inline is not None
    assert beside is not None
    known = {(e.step, e.layer, e.quantity): replace(e, seconds=0.0) for e in inline.estimates}
    for e in beside.estimates:
        assert e.nats == pytest.approx(known[(e.step, e.layer, e.quantity)].nats, abs=1e-4)


def test_memory_that_is_reserved_stays_flat() -> None:
    trained("cuda-stream")
    reserved = torch.cuda.memory_reserved()
    trained("cuda-stream")
    assert torch.cuda.memory_reserved() <= reserved

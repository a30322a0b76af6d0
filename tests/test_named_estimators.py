"""An estimator by name beside the brackets of a finished model and of a training one."""

from pathlib import Path

import pytest
import torch
from helpers import Setup, batches, quiet_probe, random_states, same, small_net
from torch import nn

from ibprobe import UnknownName, load_run, measure
from ibprobe.record.records import Records

X, Y = (torch.cat(parts) for parts in zip(*batches(600), strict=True))


def measured(name: str, model: nn.Module | None = None) -> Records:
    return measure(model or small_net(), (X, Y), layers=["1"], estimator=name)


@pytest.mark.parametrize("name", ["ksg", "binned", "kde"])
def test_measure_takes_brackets_and_the_named_estimator(name: str) -> None:
    model = small_net()
    before = random_states()
    records = measured(name, model)
    for quantity in ("I_XT", "I_TY"):
        assert records.one(quantity=quantity, estimator="channel").headline
        assert not records.one(quantity=quantity, estimator=name).headline
    assert same(before, random_states())


def test_literature_style_planes_are_the_entropy_of_the_binned_layer() -> None:
    model = small_net()
    found = measured("binned-width", model).one(quantity="I_XT", estimator="binned-width")
    with torch.no_grad():
        bins = (model[:2](X) / 0.5).floor()
    p = torch.unique(bins, dim=0, return_counts=True)[1].double() / len(X)
    assert found.nats == pytest.approx(float(-(p * p.log()).sum()), abs=1e-6)


def test_what_a_named_estimator_cannot_read_is_an_event() -> None:
    records = measured("gaussian")
    assert records.one(quantity="I_XT", estimator="gaussian").bound == "log-det of the channel"
    why = [e.why for e in records.events if e.quantity == "I_TY"]
    assert len(why) == 1
    assert "no value from gaussian: labels" in why[0]


def test_the_channel_alone_is_brackets_only() -> None:
    assert {e.estimator for e in measured("channel")} == {"channel"}


def test_an_unknown_estimator_is_refused_before_anything_runs() -> None:
    with pytest.raises(UnknownName, match="did you mean: binned"):
        measured("bined")
    with pytest.raises(UnknownName, match="did you mean: ksg"):
        quiet_probe(small_net(), estimator="kgs")


def test_a_probe_runs_the_named_estimator_at_every_snapshot(tmp_path: Path) -> None:
    run = Setup()
    with run.probe(estimator="ksg", every=2, run_dir=tmp_path / "run") as probe:
        run.train(n=128)
    records = load_run(tmp_path / "run")
    assert records.meta["estimator"] == "ksg"
    for step in records.steps:
        assert len(records.select(step=step, estimator="ksg", quantity="I_XT")) == len(records.layers)
    assert len(probe.estimates) == len(records)

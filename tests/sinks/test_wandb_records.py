"""What the sink's keys hold comes back as records."""

from typing import Any

from record_factory import INF, critic, estimate

from ibprobe.record.records import Estimate
from ibprobe.sinks.wandb_keys import AXIS, LayerKeys, metrics_of
from ibprobe.sinks.wandb_records import records_of

META: dict[str, Any] = {"noise": "relative", "sigma": 0.25, "target": "population", "mode": "replay", "view": "auto"}


def back(estimates: list[Estimate], **meta: Any) -> list[Estimate]:
    keys = LayerKeys()
    row: dict[str, Any] = {AXIS: 40}
    for e in estimates:
        row |= metrics_of(e, keys[e.layer])
    as_wandb = {k: {INF: "Infinity"}.get(v, v) if not isinstance(v, str) else v for k, v in row.items()}
    return list(records_of({"ibprobe": META | meta}, as_wandb))


def test_every_field_that_has_a_key_comes_back() -> None:
    given = estimate(span=(40, 40), bracket_high=INF)
    (found,) = back([given], layers=["fc1"])
    nameless = {"dim": 0, "bound": "", "ceiling_name": ""}
    assert found.to_dict() == given.to_dict() | nameless


def test_layers_have_their_names_again_where_no_two_share_a_key() -> None:
    layers = ["late", "net.0#2", "conv-1", "net.0", "conv_1", ""]
    found = back([estimate(layer=name) for name in layers], layers=["net.0", "conv-1", "conv_1", ""])
    assert [e.layer for e in found] == ["net.0", "net.0#2", "", "conv_1", "conv_1__2", "late"]


def test_the_headline_is_the_value_that_is_shown() -> None:
    bracket, beside = estimate(layer="a"), critic("I_XT", 4.0, layer="a", headline=False)
    sampled = estimate(layer="b", headline=False, flags=frozenset({"stochastic"}))
    shown, within = critic("I_XT", 3.0, layer="b"), estimate(layer="b", quantity="I_XT_given_Y", headline=False)
    given = [bracket, beside, estimate(layer="a", quantity="I_XT_given_Y"), sampled, shown, within]
    found = {(e.layer, e.quantity, e.estimator): e.headline for e in back(given, layers=["a", "b"])}
    assert found == {(e.layer, e.quantity, e.estimator): e.headline for e in given}


def test_equal_values_have_one_headline() -> None:
    both = [estimate(nats=0.0), critic("I_XT", 0.0, layer="fc1", headline=False)]
    assert [e.estimator for e in back(both, layers=["fc1"]) if e.headline] == ["channel"]


def test_a_run_without_scalars_has_no_records() -> None:
    assert len(records_of({"ibprobe": META}, {AXIS: 3, "ib_final/step": 3, "ib_mean/I_XT": 2.0, "loss": 1.0})) == 0
    assert len(records_of({}, {})) == 0

"""Layers that draw random numbers, from the model to the record."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Sampling, batches, identity_linear, quiet_probe, random_states, same, small_net, train
from torch import Tensor, nn

from ibprobe import BadInput, Records, measure

X = torch.randn(1024, 8, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] > 0).long()


class Blind(nn.Module):
    """Draws something that has nothing to do with its input."""

    def forward(self, x: Tensor) -> Tensor:
        return 3 * torch.randn(len(x), 16)


def brackets(model: nn.Module, data: Any = (X, Y), **options: Any) -> Records:
    return measure(model, data, estimator="channel", **options)


def test_a_layer_that_draws_has_an_upper_end_until_it_is_run_several_times() -> None:
    model = nn.Sequential(identity_linear(8), nn.Dropout(0.5))
    once, often = (brackets(model, layers="1", train_mode=True, passes=p).one(quantity="I_XT") for p in (1, 16))
    assert (once.bound, once.bracket_low, "stochastic" in once.flags) == ("upper end", None, True)
    assert (often.bound, "stochastic" in often.flags, often.headline) == ("nested", False, True)
    assert 0 < often.bracket_low < often.nats < often.bracket_high < once.bracket_high - 0.5


def test_one_image_repeated_keeps_nothing_whatever_dropout_draws() -> None:
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Dropout(0.5))
    e = brackets(model, X[:1].repeat(2048, 1), layers="2", train_mode=True, passes=16).one(quantity="I_XT")
    assert e.nats == e.ci_high == 0.0
    assert {"few_rows", "repeated_rows"} <= e.flags


def test_distinct_inputs_that_a_layer_ignores_keep_nothing() -> None:
    found = brackets(nn.Sequential(Blind()), layers="0", passes=16)
    once = brackets(nn.Sequential(Blind()), layers="0")
    assert once.one(quantity="I_XT").bracket_high > 2
    for quantity in ("I_XT", "I_XT_given_Y"):
        e = found.one(quantity=quantity)
        assert e.nats < 0.02
        assert e.ci_low <= 0 <= e.ci_high
    assert abs(found.one(quantity="I_TY").nats) < 0.02


def test_passes_change_nothing_for_layers_that_do_not_draw() -> None:
    model = small_net()
    data = torch.randn(600, 4)
    assert [e.nats for e in brackets(model, data, passes=8)] == [e.nats for e in brackets(model, data)]


def test_what_the_layer_draws_follows_the_seed() -> None:
    first, again, other = (
        [e.nats for e in brackets(nn.Sequential(Sampling()), layers="0", passes=4, rows=256, seed=seed)]
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_records_say_how_the_model_was_run() -> None:
    meta = brackets(small_net(), torch.randn(64, 4), passes=4, train_mode=True).meta
    assert (meta["passes"], meta["train_mode"]) == (4, True)


def test_critics_beside_a_nested_estimate_see_the_input_and_lie_below_its_upper_end() -> None:
    found = measure(nn.Sequential(Blind()), X, layers="0", passes=8, rows=512, estimator="mine")
    mine, nested = (found.one(quantity="I_XT", estimator=name) for name in ("mine", "channel"))
    assert nested.headline
    assert not mine.headline
    assert mine.nats < 0.1  # of T̃ with itself it would read several nats


def test_a_probe_runs_several_passes_and_leaves_the_run_its_own(tmp_path: Path) -> None:
    def run(watched: bool) -> tuple[Any, ...]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 2))
        optimizer, loss = torch.optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss()
        probe = quiet_probe(model, loss=loss, optimizer=optimizer, passes=8, train_mode=True, every=4)
        if not watched:
            train(model, batches(), loss, optimizer, epochs=3)
            return dict(model.state_dict()), random_states()
        with probe:
            train(model, batches(), loss, optimizer, epochs=3)
        e = probe.estimates.select(quantity="I_XT", layer="4")[-1]
        assert (e.bound, e.mode, e.headline) == ("nested", "replay", True)
        return dict(model.state_dict()), random_states()

    assert same(run(watched=True), run(watched=False))


@pytest.mark.parametrize("option", [{"passes": 8}, {"train_mode": True}])
def test_what_belongs_to_a_replay_is_refused_in_a_stream(option: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match='belong to mode="replay"'):
        quiet_probe(small_net(), mode="stream", **option)


def test_a_sampled_code_keeps_what_its_closed_form_says() -> None:
    class Code(nn.Module):
        """A sampled code: half of the variance of each unit is drawn."""

        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x)

    e = brackets(nn.Sequential(Code()), layers="0", noise="absolute", sigma=2.0, passes=16).one(quantity="I_XT")
    # ½ · 8 · ln((1 + 1 + 4) / (1 + 4)) = 0.729, for rows of variance 1 but for the sampling of 1,024 of them.
    assert e.nats == pytest.approx(0.729, abs=0.06)
    assert e.ci_low <= 0.729 <= e.ci_high

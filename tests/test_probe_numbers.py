"""What the probe says about inputs and models for which the truth, or the fault, is known."""

from typing import Any

import pytest
import torch
from helpers import batches, identity_linear, quiet_probe, small_net, train
from torch import Tensor, nn

from ibprobe import Estimate, IBProbe, Records, measure

IMAGE = torch.ones(1, 16)


class AlwaysDropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(x, 0.5, training=True)


def i_xt(records: Records) -> Estimate:
    return records.select(quantity="I_XT")[-1]


def streamed(model: nn.Module, data: list[Tensor], **options: Any) -> IBProbe:
    with quiet_probe(model, mode="stream", every=1, **options) as probe:
        for x in data:
            model(x)
            probe.step()
    return probe


def test_one_image_repeated_under_sampling_carries_nothing_when_measured() -> None:
    e = i_xt(measure(nn.Sequential(AlwaysDropping()), IMAGE.repeat(2048, 1), layers="0", estimator="channel"))
    assert e.bracket_low is None
    assert e.nats <= e.ceiling == 0
    assert {"stochastic", "repeated_rows"} <= e.flags
    assert (e.rows, e.dropped_rows > 500) == (1, True)


def test_one_image_repeated_under_dropout_carries_nothing_when_streamed() -> None:
    probe = streamed(nn.Sequential(nn.Dropout(0.5)), [IMAGE.repeat(256, 1)] * 8, layers="0", rows=2048)
    e = i_xt(probe.estimates)
    assert e.bracket_low is None
    assert e.nats <= e.ceiling == 0
    assert {"stochastic", "repeated_rows"} <= e.flags
    assert (e.rows, e.dropped_rows) == (1, 2047)


@pytest.mark.parametrize("mode", ["measure", "stream"])
def test_distinct_inputs_of_a_sampling_layer_have_no_lower_end(mode: str) -> None:
    model, x = nn.Sequential(identity_linear(4), AlwaysDropping()), torch.randn(300, 4)
    if mode == "measure":
        records = measure(model, x, layers=["0", "1"], estimator="channel")
    else:
        records = streamed(model, [x], layers=["0", "1"], rows=300).estimates
    first, second = records.select(quantity="I_XT")
    assert first.bracket_low is not None
    assert "stochastic" not in first.flags
    assert (second.bracket_low, second.lower_confidence) == (None, 0.0)
    assert "stochastic" in second.flags


@pytest.mark.parametrize("mode", ["measure", "stream"])
def test_repeated_inputs_are_counted_and_change_no_value(mode: str) -> None:
    model, x = nn.Sequential(identity_linear(4)), torch.randn(100, 4)

    def once(data: Tensor) -> Estimate:
        if mode == "measure":
            return i_xt(measure(model, data, layers="0", estimator="channel"))
        return i_xt(streamed(model, [data], layers="0", rows=len(data)).estimates)

    plain, repeated = once(x), once(x.repeat(3, 1))
    assert repeated.nats == plain.nats
    assert (repeated.rows, repeated.dropped_rows) == (100, 200)
    assert "repeated_rows" in repeated.flags - plain.flags


def moving(speed: float) -> Records:
    """Stream 300 rows over ten steps between which the layer moves."""
    model = nn.Sequential(identity_linear(4))
    with quiet_probe(model, "0", mode="stream", every=100, rows=300) as probe:
        for x in torch.randn(300, 4).split(30):
            model(x)
            with torch.no_grad():
                model[0].bias += speed
            probe.step()
    return probe.estimates


def test_rows_of_a_layer_that_moves_fast_are_stale_and_have_no_lower_end() -> None:
    e = i_xt(moving(speed=10.0))
    assert "stale_rows" in e.flags
    assert e.bracket_low is None
    assert e.span == (0, 9)
    assert e.step == 9


def test_rows_of_a_layer_that_hardly_moves_are_not_stale() -> None:
    e = i_xt(moving(speed=1e-4))
    assert "stale_rows" not in e.flags
    assert e.bracket_low is not None
    assert e.span == (0, 9)


def test_a_stream_records_the_rows_that_were_there_when_the_run_ended() -> None:
    probe = streamed(nn.Sequential(identity_linear(4)), [torch.randn(40, 4), torch.randn(7, 4)], layers="0", rows=64)
    assert i_xt(probe.estimates).rows == 47


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_a_layer_that_never_runs_is_an_event_and_not_an_error(mode: str) -> None:
    class Unused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(4, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    model = Unused()
    loss, optimizer = nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, mode=mode, every=1, loss=loss, optimizer=optimizer) as probe:
        train(model, batches(), loss, optimizer)
    assert probe.estimates.layers == ["used"]
    assert any(e.why.startswith("unused: its forward did not run") for e in probe.estimates.events)


class Tokens(nn.Module):
    """Token numbers in, an output object of the usual kind out."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(9, 6), nn.LSTM(6, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        hidden = self.lstm(self.embedding(input_ids))[0]
        return {"last_hidden_state": hidden, "logits": self.head(hidden[:, -1])}


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_token_models_are_measured_on_their_unmasked_tokens(mode: str) -> None:
    model = Tokens()
    ids, labels = torch.randint(9, (64, 7)), torch.arange(64) % 2
    mask = (torch.arange(7) < 4).expand(64, 7).long()
    with quiet_probe(model, ["embedding", "lstm", "head"], mode=mode, every=1) as probe:
        model(input_ids=ids, attention_mask=mask, labels=labels)
        probe.step()
    views = {e.layer: e.view for e in probe.estimates.select(quantity="I_TY")}
    assert views == {"embedding": (tokens := "mean over unmasked tokens"), "lstm": tokens, "head": "as is"}


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_images_and_wide_layers_are_measured(mode: str) -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3 * 38 * 38, 2))
    with quiet_probe(model, ["0", "1", "2", "3"], mode=mode, every=1, rows=16) as probe:
        model(torch.randn(16, 1, 40, 40))
        probe.step()
    found = {e.layer: (e.dim, e.view) for e in probe.estimates.select(quantity="I_XT")}
    wide = (4096, "as is, 4096 orthonormal directions")
    assert found == {"0": (3, "mean over space"), "1": (3, "mean over space"), "2": wide, "3": (2, "as is")}


def test_an_encoder_trained_with_padding_is_replayed() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 2)
    pad = (torch.arange(6) >= 4).expand(64, 6)
    with quiet_probe(model) as probe:
        model(torch.randn(64, 6, 4), src_key_padding_mask=pad)
        probe.step()
    assert {e.layer: e.view for e in probe.estimates} == dict.fromkeys(
        ["layers.0", "layers.1"], "mean over unmasked tokens"
    )


def test_a_budget_limits_a_run_and_the_run_says_so(caplog: pytest.LogCaptureFixture) -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, loss=loss, optimizer=optimizer, every=1, budget=1e-6) as probe:
        train(model, batches(), loss, optimizer, epochs=3)
    assert probe.estimates.steps == [2, 12]
    assert [e.why for e in probe.estimates.events if e.kind == "skipped"] == ["10 due steps did not fit the budget"]

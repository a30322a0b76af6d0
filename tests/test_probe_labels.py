"""Labels, steps and rows of a running training: seen by themselves, aligned, and missed aloud."""

from typing import Any

import pytest
import torch
from helpers import batches, identity_linear, quiet_probe, small_net, train
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ibprobe import IBProbe
from ibprobe.capture.rows import RowSet
from ibprobe.estimate.estimators import LayerEstimator


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[RowSet]:
    """The rows of every snapshot."""
    found: list[RowSet] = []
    brackets = LayerEstimator.brackets

    def keep(self: LayerEstimator, rows: RowSet) -> Any:
        found.append(rows)
        return brackets(self, rows)

    monkeypatch.setattr(LayerEstimator, "brackets", keep)
    return found


class WithLabels(nn.Module):
    """A model of the kind that computes its own loss."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = identity_linear(4), nn.Linear(4, 2)

    def forward(self, x: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        logits = self.head(torch.tanh(self.body(x)))
        return {"logits": logits} if labels is None else {"loss": cross_entropy(logits, labels), "logits": logits}


def shuffled(seed: int, n: int = 70) -> list[tuple[Tensor, Tensor]]:
    """Uneven batches in which inputs repeat and the label is a function of the input."""
    rows = torch.randint(0, 50, (n,), generator=torch.Generator().manual_seed(seed))
    x = torch.stack([rows.float(), rows.float() ** 2, -rows.float(), torch.ones(n)], 1) / 50
    return list(zip(x.split(16), (rows % 2).split(16), strict=True))


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_rows_and_labels_stay_aligned_over_shuffled_uneven_and_repeated_batches(mode: str, taken: list[RowSet]) -> None:
    model, loss = nn.Sequential(identity_linear(4), nn.Linear(4, 2)), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model[1].parameters(), 0.1)
    with quiet_probe(model, "0", loss=loss, optimizer=optimizer, mode=mode, rows=40, every=4):
        for seed in range(5):
            train(model, shuffled(seed), loss, optimizer)
    assert len(taken) >= 3
    for rows in taken:
        x = (rows.layers[0].t[:, 0] * 50).round().long()
        assert torch.equal(rows.y, x % 2)
        assert len(x.unique()) == len(x) <= 40
    replayed = [rows.layers[0].t for rows in taken[1:-1]]
    assert mode == "stream" or all(torch.equal(t, replayed[0]) for t in replayed)


def test_labels_among_the_keywords_need_no_criterion(caplog: pytest.LogCaptureFixture) -> None:
    model = WithLabels()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, optimizer=optimizer) as probe:
        for x, y in batches():
            model(x, labels=y)["loss"].backward()
            optimizer.step()
    assert probe.estimates.select(layer="head", quantity="I_TY")
    assert not caplog.messages


def by_hand(probe: IBProbe, model: nn.Module, observe: bool, steps: int = 4) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for x, y in batches(32 * steps):
        cross_entropy(model(x), y).backward()
        if observe:
            probe.observe(y=y)
        optimizer.step()
        probe.step()


def test_labels_and_steps_can_be_told_by_hand(caplog: pytest.LogCaptureFixture) -> None:
    model = small_net()
    with quiet_probe(model) as probe:
        by_hand(probe, model, observe=True)
    assert probe.estimates.select(quantity="I_TY")
    assert probe.estimates.steps[-1] == 4
    assert not caplog.messages


def test_whoever_uses_a_functional_loss_gets_one_line_to_paste(caplog: pytest.LogCaptureFixture) -> None:
    model = small_net()
    with quiet_probe(model) as probe:
        by_hand(probe, model, observe=False)
    (message,) = caplog.messages
    assert "probe.observe(y=labels)" in message
    why = {e.why for e in probe.estimates.events if e.quantity == "I_TY"}
    assert why == {"no targets were given or seen"}


def test_a_hundred_forwards_without_a_step_get_one_line_to_paste(caplog: pytest.LogCaptureFixture) -> None:
    model = small_net()
    with quiet_probe(model, loss=nn.CrossEntropyLoss()):
        for _ in range(250):
            model(torch.randn(2, 4))
    (message,) = caplog.messages
    assert message.startswith("ibprobe: 100 forward passes and no optimizer step seen: pass optimizer=")
    assert "probe.step()" in message


def test_labels_that_do_not_fit_the_rows_are_not_used_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    model = small_net()
    with quiet_probe(model) as probe:
        for _ in range(3):
            model(torch.randn(32, 4))
            probe.observe(y=torch.zeros(64, dtype=torch.long))
            probe.step()
    (message,) = caplog.messages
    assert "labels of shape (64,) do not belong to the 32 rows of the last forward pass" in message
    assert not probe.estimates.select(quantity="I_TY")


def test_accumulated_gradients_count_as_one_step(taken: list[RowSet]) -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, loss=loss, optimizer=optimizer, every=1, rows=96, mode="stream") as probe:
        for number, (x, y) in enumerate(batches(32 * 8), 1):
            loss(model(x), y).backward()
            if number % 4 == 0:
                optimizer.step()
                probe.step()  # counted already: it must not count twice
    assert [rows.span for rows in taken] == [(0, 0), (1, 1)]
    assert [len(rows.keys) for rows in taken] == [96, 96]


def test_a_forward_without_a_loss_does_not_void_the_targets(taken: list[RowSet]) -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with quiet_probe(model, loss=loss, optimizer=optimizer):
        model(torch.randn(8, 4))
        train(model, batches(), loss, optimizer)
    assert taken[0].y is not None
    assert len(taken[0].y) == len(taken[0].keys)


def test_validation_between_training_steps_is_not_measured(taken: list[RowSet]) -> None:
    model, loss = nn.Sequential(identity_linear(4)), nn.CrossEntropyLoss()
    with quiet_probe(model, "0", loss=loss, rows=64) as probe:
        for x, y in batches():
            loss(model(x), y)
            model.eval()
            loss(model(x + 100), 1 - y)
            model.train()
            probe.step()
    assert float(taken[0].layers[0].t.max()) < 50
    assert torch.equal(taken[0].y, (taken[0].layers[0].t[:, 0] > 0).long())

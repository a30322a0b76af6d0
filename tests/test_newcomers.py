"""What people do in their first ten minutes, and what once misled them without a word."""

from inspect import unwrap

import pytest
import torch
from helpers import quiet_probe
from torch import Tensor, nn

from ibprobe import BadInput, measure
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.layers import select_layers


class Reader(nn.Module):
    """Reads tokens with a padding mask that its forward takes by another name."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 16)
        block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 2)

    def forward(self, ids: Tensor, hidden: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(ids), src_key_padding_mask=hidden).mean(1))


@pytest.fixture
def padded() -> tuple[Tensor, Tensor, Tensor]:
    length = torch.randint(2, 12, (600,))
    hidden = torch.arange(12)[None] >= length[:, None]
    return torch.randint(1, 11, (600, 12)).masked_fill(hidden, 0), hidden, (length > 6).long()


def test_padding_that_a_layer_is_told_of_is_left_out_of_its_mean(padded: tuple[Tensor, Tensor, Tensor]) -> None:
    found = measure(Reader(), padded, estimator="channel", layers="encoder.layers.0")
    assert {e.view for e in found} == {"mean over unmasked tokens"}


def test_inputs_in_a_pair_with_labels_are_understood(padded: tuple[Tensor, Tensor, Tensor]) -> None:
    ids, hidden, y = padded
    (batch, *_), _ = distinct_batches(((ids, hidden), y), 600)
    assert [len(batch.args), batch.y is not None] == [2, True]


def test_labels_in_a_mapping_are_kept_from_a_forward_that_takes_none(padded: tuple[Tensor, Tensor, Tensor]) -> None:
    ids, hidden, y = padded
    found = measure(Reader(), {"ids": ids, "hidden": hidden, "labels": y}, estimator="channel")
    assert any(e.quantity == "I_TY" for e in found)


def test_labels_observed_before_their_forward_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.randn(640, 4)
    with quiet_probe(model, rows=512) as probe:
        for rows in torch.split(torch.arange(640), 64):
            probe.observe(y=(x[rows, 0] > 0).long())
            model(x[rows])
            probe.step()
    assert any("call it after  model(x)" in m for m in caplog.messages)
    assert not probe.estimates.select(quantity="I_TY")


def test_a_second_target_for_one_forward_is_not_taken_for_the_first(caplog: pytest.LogCaptureFixture) -> None:
    model, loss, x = nn.Sequential(nn.Linear(4, 2), nn.ReLU()), nn.CrossEntropyLoss(), torch.randn(640, 4)
    with quiet_probe(model, loss=loss, rows=512) as probe:
        for rows in torch.split(torch.arange(640), 64):
            y, out = (x[rows, 0] > 0).long(), model(x[rows])
            (0.7 * loss(out, y) + 0.3 * loss(out, y.flip(0))).backward()
            probe.step()
    assert any("two different targets" in m for m in caplog.messages)
    assert not probe.estimates.select(quantity="I_TY")


def test_a_run_without_steps_says_so_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with quiet_probe(model, probe_set=torch.randn(600, 4)):
        for _ in range(3):
            model(torch.randn(8, 4))
    assert any("3 forward passes and no optimizer step" in m for m in caplog.messages)


def test_a_plain_probe_set_is_called_so() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    probe = quiet_probe(model, probe_set=torch.randn(600, 4))
    with probe:
        pass
    assert {e.split for e in probe.estimates} == {"probe_set"}


def test_an_upper_end_is_not_printed_as_a_value() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.dropout(x, 0.5, training=True)

    found = measure(nn.Sequential(Noisy(), nn.ReLU()), torch.randn(600, 4), estimator="channel")
    e = found.one(layer="1", quantity="I_XT")
    assert (e.bound, "≤" in str(e)) == ("upper end", True)


def test_a_probe_set_of_all_inputs_is_never_cut_short() -> None:
    model, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU()), torch.randn(600, 4)
    with pytest.raises(BadInput, match="more than rows=512"):
        measure(model, x, target="probe_set", rows=512, estimator="channel")
    with pytest.raises(BadInput, match="needs probe_set="):
        quiet_probe(model, target="probe_set")


def test_rows_of_sorted_data_are_drawn_from_all_of_it() -> None:
    x, y = torch.randn(5000, 4), torch.arange(5000) // 500
    batches, _ = distinct_batches(torch.utils.data.TensorDataset(x, y), 1000)
    labels = torch.cat([b.y for b in batches if b.y is not None])
    assert len(labels.unique()) == 10


def test_layers_of_the_wrong_kind_are_named() -> None:
    # Unwrapped, because under test types are checked before our own messages have a say.
    with pytest.raises(BadInput, match="got 0"):
        unwrap(select_layers)(nn.Sequential(nn.Linear(4, 4)), 0)

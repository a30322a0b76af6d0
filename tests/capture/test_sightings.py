"""What is said of each layer that was asked for, and what a model that cannot be run again says."""

from collections import OrderedDict, namedtuple
from typing import Any

import pytest
import torch
from helpers import identity_linear
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

from ibprobe import measure
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.replay import replay
from ibprobe.capture.rows import RowSet, Sighting
from ibprobe.errors import ProbeError, ReplayFailed

X = torch.arange(1200.0).reshape(300, 4)
LENGTHS = torch.tensor([2, 5, 1, 3] * 25)


def rows_of(model: nn.Module, *names: str, x: Any = X) -> RowSet:
    return replay(model, {name: model.get_submodule(name) for name in names}, distinct_batches(x, 4096)[0])


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv1d(1, 3, 1), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.act(self.conv(x[:, None])))


def test_each_call_of_a_layer_is_seen() -> None:
    found = rows_of(Twice(), "conv", "act")
    shape = (44, 3, 4)  # of the last chunk
    assert found.sightings == tuple(
        Sighting(name, calls, shape, "float32", "mean over space", 300, split="all")
        for name, calls in (("conv", 1), ("act", 2), ("act#2", 2))
    )
    assert found.silent == ()


def test_padding_that_was_left_out_is_seen() -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), 1)
    x, pad = torch.randn(40, 5, 4), torch.zeros(40, 5, dtype=torch.bool)
    pad[:, 3:] = True
    assert rows_of(model, "layers.0", x={"src": x, "src_key_padding_mask": pad}).sightings[0].masked
    assert not rows_of(model, "layers.0", x={"src": x, "src_key_padding_mask": None}).sightings[0].masked


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.blocks = nn.ModuleList([identity_linear(4)])
        self.tied = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks[0](self.attention(x[:, None], x[:, None], x[:, None])[0])
        return nn.functional.linear(x, self.tied.weight)


def test_a_layer_that_does_not_run_has_a_likely_reason() -> None:
    found = rows_of(Odd(), "attention.out_proj", "blocks", "tied")
    assert found.silent == (
        "attention.out_proj: its forward did not run: attention uses its weights without calling it: name the "
        "attention module",
        "blocks: its forward did not run: a ModuleList is never called itself, its members are: name those, as name.*",
        "tied: its forward did not run: the model does not call it for these inputs, or uses its weights without "
        "calling it",
    )


Out = namedtuple("Out", "first second")


@pytest.mark.parametrize(
    "shape",
    [
        lambda t: t,
        lambda t: (None, t),
        lambda t: {"loss": None, "logits": t},
        lambda t: OrderedDict(loss=torch.zeros(()), last_hidden_state=t),
        lambda t: Out(t, 3),
        lambda t: torch.nested.nested_tensor(list(t[:, None]), layout=torch.jagged),
    ],
    ids=["tensor", "tuple", "dict", "output", "named", "nested"],
)
def test_rows_are_found_in_every_kind_of_output(shape: Any) -> None:
    class Gives(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return shape(x)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Gives()

        def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
            self.inner(x)
            return x

    found = rows_of(Model(), "inner", x={"x": X, "mask": None})
    assert torch.equal(found.layers[0].t, X)


class Packs(nn.Module):
    """An LSTM over packed sequences: it is given tensors and packs, or is given packed ones."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3)

    def forward(self, x: Any, lengths: Tensor | None = None) -> Any:
        if lengths is not None:
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.lstm(x)[0]


def expected_of(model: Packs, sequences: list[Tensor]) -> Tensor:
    with torch.no_grad():
        return torch.stack([model.lstm(s[:, None])[0][:, 0].mean(0) for s in sequences])


@pytest.mark.parametrize("given", ["padded", "packed"])
def test_packed_sequences_have_a_row_each_in_the_users_order(given: str) -> None:
    model, x = Packs(), torch.randn(100, 5, 2)
    sequences = [row[:n] for row, n in zip(x, LENGTHS.tolist(), strict=True)]
    data: Any = {"x": x, "lengths": LENGTHS}
    if given == "packed":
        parts = [sequences[:37], sequences[37:]]
        data = [{"x": pack_sequence(part, enforce_sorted=False)} for part in parts]
    found = rows_of(model, "lstm", x=data)
    layer = found.layers[0]
    torch.testing.assert_close(layer.t, expected_of(model, sequences))
    assert layer.view == "mean over unmasked tokens"
    assert found.sightings[0].masked
    assert isinstance(model(pack_sequence(sequences, enforce_sorted=False)), PackedSequence)


class TrainingOnly(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            raise ValueError("no running mean")
        return x


def test_a_model_that_fails_in_eval_mode_says_so_with_the_cause() -> None:
    with pytest.raises(ProbeError) as caught:
        measure(nn.Sequential(identity_linear(4), TrainingOnly()), X, layers="0")
    assert str(caught.value) == (
        "the model failed when it was run again in eval mode on 64 kept rows: ValueError: no running mean; "
        "mode='stream' copies rows from training forwards instead"
    )
    assert isinstance(caught.value, ReplayFailed)
    assert isinstance(caught.value.__cause__, ValueError)


def test_inputs_that_the_model_writes_to_are_kept_as_they_are() -> None:
    model, data = nn.Sequential(nn.ReLU(inplace=True), identity_linear(4)), distinct_batches(-X, 300)[0]
    for _ in range(2):
        replay(model, {"1": model[1]}, data)
    assert torch.equal(torch.cat([b.args[0] for b in data]), -X)

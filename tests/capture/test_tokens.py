from types import SimpleNamespace

import pytest
import torch
from helpers import small_net
from torch import Tensor, nn

from ibprobe import BadInput, IBProbe, measure
from ibprobe.capture.replay import replay
from ibprobe.capture.rows import Batch, row_keys
from ibprobe.capture.tokens import common, one_token_each, token_view

N, LENGTH = 4000, 6


def sequences(n: int = N, *, padded: bool = True, y: Tensor | None = None) -> Batch:
    ids = torch.randint(9, (n, LENGTH), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = torch.arange(n)  # all distinct
    mask = torch.ones_like(ids)
    if padded:
        mask[:, 4:] = 0
    return Batch((), {"input_ids": ids, "attention_mask": mask}, row_keys((ids,), {}), y)


def test_each_row_has_one_token_of_those_that_count_with_its_own_label() -> None:
    labels = torch.arange(N * LENGTH).reshape(N, LENGTH)
    labels[:, 2] = -100
    (batch,) = one_token_each([sequences(y=labels)], "token")
    assert batch.pick is not None
    assert batch.pick.sum(1).tolist() == [1] * N
    assert torch.equal(batch.y, labels[batch.pick])
    shares = batch.pick.float().mean(0)
    # 4,000 draws of one in three: three standard errors are 0.022.
    torch.testing.assert_close(shares, torch.tensor([1.0, 1, 0, 1, 0, 0]) / 3, atol=0.025, rtol=0)


def test_labels_of_a_decoder_do_not_depend_on_the_padding_of_what_its_encoder_reads() -> None:
    class Decoder(nn.Module):
        config = SimpleNamespace(is_encoder_decoder=True)

        def __init__(self) -> None:
            super().__init__()
            self.decoder = nn.Identity()

        def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Tensor:
            return self.decoder(nn.functional.one_hot(labels, LENGTH).float())

    batch = sequences(512, y=torch.arange(LENGTH).repeat(512, 1))
    batch.kwargs["labels"] = batch.y
    model = Decoder()
    rows = replay(model, {"decoder": model.decoder}, [batch], view={"decoder": "token"})
    assert rows.y is not None
    assert rows.y.unique().tolist() == list(range(LENGTH))


def test_the_next_token_is_the_label_after_the_one_that_was_chosen() -> None:
    labels = torch.arange(N * LENGTH).reshape(N, LENGTH)
    (batch,) = one_token_each([sequences(padded=False, y=labels)], "next_token")
    assert torch.equal(batch.y, labels[batch.pick] + 1)
    assert batch.pick[:, -1].sum() == 0
    torch.testing.assert_close(batch.pick[:, :-1].float().mean(0), torch.full((5,), 0.2), atol=0.02, rtol=0)


def test_the_choice_is_the_same_whenever_the_input_is() -> None:
    (whole,), (half,) = one_token_each([sequences()], "token"), one_token_each([sequences().rows(7, 50)], "token")
    assert torch.equal(whole.pick[7:50], half.pick)
    assert whole.y is None


def test_sequences_without_a_token_that_counts_are_left_out_with_all_that_belongs_to_them() -> None:
    labels = torch.zeros(8, LENGTH, dtype=torch.int64)
    labels[::2] = -100
    (batch,) = one_token_each([sequences(8, y=labels)], "token")
    assert batch.n == len(batch.kwargs["input_ids"]) == len(batch.y) == 4
    assert batch.kwargs["input_ids"][:, 0].tolist() == [1, 3, 5, 7]
    with pytest.raises(BadInput, match="whose label is not -100, but there is none in 4 rows"):
        one_token_each([sequences(4, y=torch.full((4, LENGTH), -100))], "token")


def test_one_label_for_a_whole_sequence_stays_and_token_numbers_tell_the_length() -> None:
    ids = torch.randint(9, (5, LENGTH))
    (batch,) = one_token_each([Batch((ids,), {}, row_keys((ids,), {}), torch.arange(5))], "token")
    assert batch.y.tolist() == [0, 1, 2, 3, 4]
    assert batch.pick.shape == (5, LENGTH)
    x = torch.randn(5, LENGTH)
    with pytest.raises(BadInput, match="labels or an attention_mask"):
        one_token_each([Batch((x,), {}, row_keys((x,), {}))], "token")


def test_rare_classes_are_one_where_there_are_many() -> None:
    few = torch.arange(1000) % 50
    assert common(few) is few
    many = torch.cat([torch.zeros(900, dtype=torch.int64), torch.arange(1, 101)])
    assert common(many).unique().tolist() == [0, 101]
    assert common(many).eq(0).sum() == 900
    assert common(torch.cat([many, torch.tensor([-100])])).unique().tolist() == [-100, 0, 101]


def test_rows_of_rare_classes_count_as_those_of_one_class() -> None:
    y = torch.arange(1024) % 4
    y = torch.where(y < 2, y, 10 + torch.arange(1024) // 4)  # two common ones, a quarter of the rows each
    ids = torch.stack([torch.arange(1024), y], 1)
    records = measure(
        nn.Sequential(nn.Embedding(2048, 4)), [(ids, ids)], layers=["0"], view="next_token", rows=1024,
        estimator="channel",
    )  # fmt: skip
    (found,) = [e for e in records.estimates if e.headline and e.quantity == "I_TY"]
    # −½ ln ½ − 2 · ¼ ln ¼ = 1.0397 nats, of all rows.
    assert found.ceiling == pytest.approx(1.04, abs=0.005)
    assert found.rows == 1024


def test_only_views_of_one_token_choose_one() -> None:
    assert token_view("auto") is None
    assert token_view({"a": "last", "b": "next_token"}) == "next_token"
    assert token_view(lambda t: t) is None


class Language(nn.Module):
    """Its second layer knows the next token, which is a function of the last two."""

    def __init__(self) -> None:
        super().__init__()
        self.now = nn.Embedding(4, 4)
        self.next = nn.Identity()
        nn.init.eye_(self.now.weight)

    def forward(self, input_ids: Tensor) -> Tensor:
        before = nn.functional.pad(input_ids[:, :-1], (1, 0))
        return self.next(nn.functional.one_hot((self.now(input_ids).argmax(2) + before) % 4, 4).float())


def test_what_a_layer_tells_of_the_next_token_is_measured_at_independent_rows() -> None:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(4, (1024, 9), generator=generator)
    for k in range(2, 9):
        ids[:, k] = (ids[:, k - 1] + ids[:, k - 2]) % 4
    labels = ids.clone()
    labels[:, :2] = -100  # those are no function of what came before
    records = measure(
        Language(), [{"input_ids": ids, "labels": labels}], layers=["now", "next"], view="next_token", rows=1024,
        sigma=0.1, estimator="channel",
    )  # fmt: skip
    of = {(e.layer, e.quantity): e for e in records.estimates if e.headline}
    # Four classes; the present token alone says nothing of the next, both of them all: ln 4 = 1.386.
    assert of["next", "I_TY"].nats == pytest.approx(1.38, abs=0.03)
    assert of["now", "I_TY"].nats < 0.08
    assert {e.view for e in of.values()} == {"one unmasked token, the next as label"}


def test_streamed_rows_cannot_wait_for_labels() -> None:
    with pytest.raises(BadInput, match="view='token' belongs to mode=\"replay\""):
        IBProbe(small_net(), mode="stream", view="token", sinks=[])

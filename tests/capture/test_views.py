from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ibprobe import BadInput
from ibprobe.capture.layouts import Layout, layouts
from ibprobe.capture.views import (
    MAX_FEATURES,
    check_view,
    named,
    orthonormal_buckets,
    pick_tensor,
    to_rows,
    token_mask,
    view_of,
)

T = torch.arange(24.0).reshape(2, 3, 4)


def test_flat_outputs_are_rows_as_they_are() -> None:
    rows, name = to_rows(T[:, 0], n=2)
    assert (name, rows.tolist()) == ("as is", T[:, 0].tolist())
    assert to_rows(torch.ones(5), n=5)[0].shape == (5, 1)
    assert to_rows(torch.arange(5), n=5)[0].dtype == torch.float32


def test_images_are_averaged_over_space() -> None:
    rows, name = to_rows(T.reshape(2, 3, 2, 2), n=2)
    assert (name, rows.tolist()) == ("mean over space", T.mean(2).tolist())


def test_tokens_are_averaged_over_tokens_and_signals_over_positions() -> None:
    assert torch.equal(to_rows(T, n=2)[0], T.mean(1))
    assert torch.equal(to_rows(T, n=2, layout=Layout(channels_first=True))[0], T.mean(2))


def test_masked_tokens_do_not_count() -> None:
    mask = torch.tensor([[True, True, False], [True, False, False]])
    rows, name = to_rows(T, n=2, mask=mask)
    assert name == "mean over unmasked tokens"
    assert torch.equal(rows, torch.stack([T[0, :2].mean(0), T[1, 0]]))
    assert not to_rows(T, n=2, mask=torch.zeros(2, 3, dtype=torch.bool))[0].any()


def test_nested_outputs_are_read_with_their_own_mask() -> None:
    nested = torch.nested.nested_tensor([T[0, :2], T[1, :1]], layout=torch.jagged)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert torch.equal(to_rows(nested, n=2, mask=mask)[0], torch.stack([T[0, :2].mean(0), T[1, 0]]))


@pytest.mark.parametrize(
    ("view", "layout", "expected", "name"),
    [
        ("flatten", Layout(), T.flatten(1), "flatten"),
        ("first", Layout(), T[:, 0], "first token"),
        ("first", Layout(channels_first=True), T[:, :, 0], "first position"),
        (lambda t: t[:, 1], Layout(), T[:, 1], "<lambda>"),
    ],
)
def test_a_view_can_be_chosen(view: Any, layout: Layout, expected: Tensor, name: str) -> None:
    rows, named = to_rows(T, n=2, view=view, layout=layout)
    assert torch.equal(rows, expected)
    assert named == name


def test_rows_on_the_second_axis_are_brought_to_the_first() -> None:
    assert torch.equal(to_rows(T, n=3)[0], T.transpose(0, 1).mean(1))


def test_square_batches_follow_the_module_and_not_the_shape() -> None:
    square = torch.randn(3, 3, 2)
    assert torch.equal(to_rows(square, n=3)[0], square.mean(1))
    assert torch.equal(to_rows(square, n=3, layout=Layout(rows_second=True))[0], square.mean(0))


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("text", {}, "is a str without a tensor"),
        ((None, 3), {}, "is a tuple without a tensor"),
        (torch.tensor(1.0), {}, "has shape (), without an axis of 2 rows"),
        (torch.ones(5, 4), {}, "has shape (5, 4), without an axis of 2 rows"),
        (T, {"layout": Layout(rows_second=True)}, "batch_first=False, so its output (2, 3, 4) has 3 rows"),
        (T, {"view": lambda t: t}, "has shape (2, 3, 4); expected (2, d)"),
        (T, {"view": lambda t: t @ t}, "failed on shape (2, 3, 4): RuntimeError"),
        (T, {"view": lambda t: 3}, "gave a int; expected a tensor"),
    ],
)
def test_an_output_that_is_no_rows_says_what_came(output: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput) as caught:
        to_rows(output, n=2, **options)
    assert words in str(caught.value)


def test_the_tensor_is_found_in_tuples_dictionaries_and_objects() -> None:
    class Output:
        logits = T

    assert pick_tensor((None, (T, 1))) is T
    assert pick_tensor({"loss": torch.ones(()), "last_hidden_state": T}) is T
    assert pick_tensor({"any": T}) is T
    assert pick_tensor(Output()) is T


def test_masks_are_true_where_a_token_counts() -> None:
    keep, expected = torch.tensor([[1, 0]]), [[True, False]]
    assert token_mask({"attention_mask": keep}).tolist() == expected
    assert token_mask({"src_key_padding_mask": keep == 0}).tolist() == expected
    assert token_mask({"padding_mask": torch.tensor([[0.0, -torch.inf]])}).tolist() == expected
    assert token_mask({"attention_mask": torch.ones(1, 1, 2, 2)}) is None


def test_complex_rows_become_real_and_imaginary_parts() -> None:
    assert to_rows(torch.tensor([[1 + 2j], [3 + 4j]]), n=2)[0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("d", "k"), [(5000, 4096), (10, 4), (9, 3)])
def test_the_projection_of_wide_rows_is_orthonormal_and_fixed(d: int, k: int) -> None:
    p = orthonormal_buckets(torch.eye(d), k).T
    torch.testing.assert_close(p @ p.T, torch.eye(k))
    assert torch.equal(p, orthonormal_buckets(torch.eye(d), k).T)


def test_wide_rows_are_projected_and_say_so() -> None:
    rows, name = to_rows(torch.ones(2, 1, 80, 80), n=2, view="flatten")
    assert rows.shape == (2, MAX_FEATURES)
    assert name == "flatten, 4096 orthonormal directions"


def test_a_half_precision_projection_is_summed_in_full_precision() -> None:
    wide = torch.full((1, 40_960), 1.001).bfloat16()
    exact = orthonormal_buckets(wide.double(), 4)
    assert orthonormal_buckets(wide, 4).dtype == torch.bfloat16
    torch.testing.assert_close(orthonormal_buckets(wide, 4).double(), exact, rtol=2**-8, atol=0)


def test_activations_take_their_layout_from_the_module_before_them() -> None:
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4, 2), nn.ReLU())
    found = layouts(model, dict(model.named_children()))
    assert [found[i].channels_first for i in "0134"] == [True, True, False, False]


def test_torchs_own_sequence_modules_tell_where_their_rows_are() -> None:
    model = nn.ModuleDict({"a": nn.LSTM(2, 2), "b": nn.LSTM(2, 2, batch_first=True), "c": nn.Linear(2, 2)})
    model["d"] = nn.TransformerEncoderLayer(2, 1, 2)
    found = layouts(model, dict(model.named_children()))
    assert [found[i].rows_second for i in "abcd"] == [True, False, False, True]


@pytest.mark.parametrize("view", ["mean", 3, None])
def test_an_unknown_view_names_the_known_ones(view: Any) -> None:
    with pytest.raises(BadInput, match="'auto', 'flatten', 'first', 'last', 'token', 'next_token', a function"):
        check_view(view, ["fc"])
    with pytest.raises(BadInput, match="'auto', 'flatten'"):
        check_view({"fc": view}, ["fc"])


def test_views_by_layer_fit_by_pattern_and_the_first_that_fits_counts() -> None:
    views = {"decoder.*": "token", "*.1": "last"}
    layers = ["encoder.0", "encoder.1", "decoder.1"]
    check_view(views, layers)
    assert [view_of(views, name) for name in layers] == ["auto", "last", "token"]
    assert [view_of("first", name) for name in layers] == ["first"] * 3
    assert (named(views), named("auto"), named(to_rows)) == ("decoder.*: token, *.1: last", "auto", "to_rows")
    with pytest.raises(BadInput, match=r"'head', which fits none of the layers encoder.0, encoder.1"):
        check_view({"head": "auto"}, layers)


def test_no_view_takes_padding_for_a_token() -> None:
    rows, name = to_rows(T, n=2, view="last")
    assert (name, rows.tolist()) == ("last token", T[:, 2].tolist())
    mask = torch.tensor([[1, 1, 0], [0, 1, 1]])
    rows, name = to_rows(T, n=2, view="last", mask=mask)
    assert (name, rows.tolist()) == ("last unmasked token", [T[0, 1].tolist(), T[1, 2].tolist()])
    rows, name = to_rows(T, n=2, view="first", mask=mask)
    assert (name, rows.tolist()) == ("first unmasked token", [T[0, 0].tolist(), T[1, 1].tolist()])
    rows, name = to_rows(T, n=2, view="flatten", mask=mask)
    assert name == "flatten, unmasked tokens"
    assert torch.equal(rows.reshape(2, 3, 4), T * mask[:, :, None])


def test_one_chosen_token_stands_for_a_row_and_outputs_of_other_tokens_are_averaged() -> None:
    pick = torch.tensor([[False, True, False], [True, False, False]])
    rows, name = to_rows(T, n=2, view="next_token", pick=pick)
    assert (name, rows.tolist()) == ("one unmasked token, the next as label", [T[0, 1].tolist(), T[1, 0].tolist()])
    rows, name = to_rows(T[:, :2], n=2, view="token", pick=pick)
    assert (name, rows.tolist()) == ("mean over tokens", T[:, :2].mean(1).tolist())
    assert to_rows(T[:, 0], n=2, view="token", pick=pick)[1] == "as is"

from typing import Any

import pytest
import torch
from helpers import hook_tables, identity_linear, small_net
from torch import Tensor, nn

from ibprobe.capture.layers import why_not_run
from ibprobe.capture.rows import LayerRows
from ibprobe.capture.sources import ReplaySource
from ibprobe.capture.stream import StreamSource
from ibprobe.errors import NoRows


def numbered(first: int, n: int) -> Tensor:
    return torch.arange(first, first + n, dtype=torch.float32)[:, None].repeat(1, 4)


def streamed(model: nn.Module, rows: int = 8, view: Any = "auto", layers: str = "0") -> StreamSource:
    source = StreamSource(model, {layers: model.get_submodule(layers)}, rows=rows, view=view)
    source.open()
    return source


def step(source: Any, model: nn.Module, x: Tensor, at: int = 0) -> None:
    source.see_inputs((x,), {}, at)
    model(x)
    source.see_labels(x[:, 0].long())


def test_replay_keeps_the_first_distinct_rows_and_runs_them_through_the_model_as_it_is_now() -> None:
    model = nn.Sequential(identity_linear(4))
    source = ReplaySource(model, {"0": model[0]}, rows=6, view="auto")
    for first in (0, 2, 4, 50):
        step(source, model, numbered(first, 4))
    assert source.want()
    nn.init.eye_(model[0].weight).data.mul_(2)
    (rows,) = source.take(9)
    assert rows.layers[0].t[:, 0].tolist() == [0, 2, 4, 6, 8, 10]
    assert rows.y.tolist() == [0, 1, 2, 3, 4, 5]
    assert (rows.split, rows.mode, rows.span) == ("train", "replay", (9, 9))


def test_a_probe_set_replaces_training_inputs_and_may_have_two_splits() -> None:
    model = nn.Sequential(identity_linear(4))
    sets = {"train": numbered(0, 3), "held_out": (numbered(9, 2), torch.tensor([9, 10]))}
    source = ReplaySource(model, {"0": model[0]}, rows=6, view="auto", probe_set=sets)
    assert source.want()
    step(source, model, numbered(50, 4))
    train, held_out = source.take(0)
    assert (train.split, len(train.keys), train.y) == ("train", 3, None)
    assert (held_out.split, held_out.layers[0].t[:, 0].tolist()) == ("held_out", [9, 10])


@pytest.mark.parametrize("kind", [ReplaySource, StreamSource])
def test_without_rows_a_source_says_what_to_do(kind: Any) -> None:
    model = small_net()
    with pytest.raises(NoRows, match=r"call it, or pass|copies from steps"):
        kind(model, {"0": model[0]}, rows=6, view="auto").take(0)


def test_labels_are_wanted_for_rows_that_were_kept_and_no_others() -> None:
    model = nn.Sequential(identity_linear(4))
    replayed = ReplaySource(model, {"0": model[0]}, rows=6, view="auto")
    given = ReplaySource(model, {"0": model[0]}, rows=6, view="auto", probe_set=numbered(0, 3))
    copied = streamed(model)
    wanted = []
    for first in (0, 4, 8):
        if first == 4:
            copied.want()
        for source in (replayed, given, copied):
            step(source, model, numbered(first, 4))
        wanted.append((replayed.wants_labels(), given.wants_labels(), copied.wants_labels()))
    assert wanted == [(True, False, False), (True, False, True), (False, False, True)]


def test_sources_gather_until_there_are_enough_rows_and_their_labels_can_have_come() -> None:
    model = nn.Sequential(identity_linear(4))
    replayed = ReplaySource(model, {"0": model[0]}, rows=6, view="auto")
    given = ReplaySource(model, {"0": model[0]}, rows=6, view="auto", probe_set=numbered(0, 3))
    copied = streamed(model)
    gathering = []
    for first in (0, 4, 8):
        for source in (replayed, given, copied):
            step(source, model, numbered(first, 4))
        gathering.append((replayed.gathering(), given.gathering(), copied.gathering()))
        copied.want()
    assert gathering == [(True, False, False), (True, False, True), (False, False, True)]


def test_stream_copies_only_from_the_moment_that_rows_are_wanted() -> None:
    model = nn.Sequential(identity_linear(4))
    source = streamed(model)
    step(source, model, numbered(0, 4))
    assert not source.want()
    for at in (1, 2, 3, 4):
        step(source, model, numbered(10 * at, 3), at)
    assert source.want()
    (rows,) = source.take(5)
    assert rows.layers[0].t[:, 0].tolist() == [10, 11, 12, 20, 21, 22, 30, 31]
    assert rows.y.tolist() == [10, 11, 12, 20, 21, 22, 30, 31]
    assert rows.layers[0].step_of_row.tolist() == [1, 1, 1, 2, 2, 2, 3, 3]
    assert (rows.mode, rows.span) == ("stream", (1, 3))


def one_pass(model: nn.Module, x: Tensor, layers: str = "0", view: Any = "auto") -> LayerRows:
    source = streamed(model, len(x), view, layers)
    source.want()
    step(source, model, x)
    (rows,) = source.take(0)
    assert not rows.silent
    return rows.layers[0]


def test_stream_copies_before_an_in_place_operation() -> None:
    model = nn.Sequential(identity_linear(4), nn.ReLU(inplace=True))
    assert torch.equal(one_pass(model, -numbered(1, 4)).t, -numbered(1, 4))


def test_stream_counts_repeated_inputs_and_keeps_one_of_each() -> None:
    layer = one_pass(nn.Sequential(identity_linear(4)), numbered(0, 3).repeat(4, 1))
    assert (layer.t[:, 0].tolist(), layer.dropped) == ([0, 1, 2], 9)


def test_stream_hands_out_fewer_rows_when_it_is_asked_early() -> None:
    model = nn.Sequential(identity_linear(4))
    source = streamed(model, rows=100)
    source.want()
    step(source, model, numbered(0, 3))
    (rows,) = source.take(0)
    assert len(rows.keys) == 3
    with pytest.raises(NoRows):
        source.take(0)


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Dropout(0.5), True),
        (nn.BatchNorm1d(4), True),
        (nn.LayerNorm(4), False),
        (nn.Dropout(0.5).eval(), False),
        (nn.BatchNorm1d(4).eval(), False),
    ],
)
def test_stream_sees_which_layers_are_no_function_of_their_input(module: nn.Module, expected: bool) -> None:
    model = nn.Sequential(module, nn.Linear(4, 2))
    assert one_pass(model, torch.randn(8, 4), layers="1").stochastic == expected


def test_validation_between_forward_and_step_adds_no_rows() -> None:
    model = nn.Sequential(identity_linear(4))
    source = streamed(model)
    source.want()
    step(source, model, numbered(0, 4))
    model.eval()(numbered(50, 4))
    (rows,) = source.take(0)
    assert [layer.name for layer in rows.layers] == ["0"]
    assert rows.layers[0].t[:, 0].tolist() == [0, 1, 2, 3]


def test_a_forward_that_raises_adds_no_rows() -> None:
    model = nn.Sequential(identity_linear(4), nn.Linear(4, 2))
    source = streamed(model)
    source.want()
    source.see_inputs((numbered(0, 4),), {}, 0)
    handle = model[1].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(numbered(0, 4))
    handle.remove()
    step(source, model, numbered(8, 2))
    (rows,) = source.take(0)
    assert rows.layers[0].t[:, 0].tolist() == [8, 9]


def broken(t: Tensor) -> Tensor:
    raise MemoryError("no room")


def test_a_failing_copy_names_the_layer_and_never_reaches_the_model() -> None:
    model = small_net()
    source = streamed(model, view=broken)
    source.want()
    step(source, model, torch.randn(8, 4))
    (rows,) = source.take(0)
    assert not rows.layers
    assert rows.silent == ("0: its view 'broken' failed on shape (8, 8): MemoryError: no room",)


def test_layers_that_do_not_run_in_every_pass_are_named() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Identity(), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) if len(x) > 3 else x

    model = Sometimes()
    source = StreamSource(model, dict(model.named_children()), rows=7, view="auto")
    source.open()
    source.want()
    step(source, model, numbered(0, 4))
    step(source, model, numbered(4, 3))
    (rows,) = source.take(0)
    assert rows.silent == (
        "a: it ran in some forward passes only",
        f"b: its forward did not run: {why_not_run(model.b)}",
    )


def test_closing_a_stream_removes_its_taps() -> None:
    model = small_net()
    before = hook_tables(model)
    source = streamed(model)
    source.close()
    source.close()
    assert hook_tables(model) == before

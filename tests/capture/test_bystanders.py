from typing import Any

import pytest
import torch
from helpers import identity_linear
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from ibprobe.capture.bystanders import Bystanders
from ibprobe.capture.data import distinct_batches
from ibprobe.capture.replay import Known, replay
from ibprobe.capture.rows import RowSet
from ibprobe.capture.taps import PreTap, Tap

X = torch.arange(1200.0).reshape(300, 4)


def rows_of(model: nn.Module, *names: str, known: Known | None = None, x: Any = X) -> RowSet:
    layers = {name: model.get_submodule(name) for name in names}
    return replay(model, layers, distinct_batches(x, 4096)[0], known=known)


class Counting:
    """Looks at outputs, as an activation collector does."""

    def __init__(self) -> None:
        self.calls, self.last = 0, None

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.calls += 1
        self.last = output


def doubling(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output * 2


def tables(model: nn.Module) -> list[tuple[int, list[tuple[int, int]]]]:
    """Each hook table by identity, with its numbers and hooks in order."""
    found = [t for m in model.modules() for t in (m._forward_hooks, m._forward_pre_hooks)]
    return [(id(t), [(number, id(hook)) for number, hook in t.items()]) for t in found]


def test_a_hook_that_looks_fires_for_one_batch_a_run() -> None:
    model, hook, known = nn.Sequential(identity_linear(4), nn.ReLU()), Counting(), Known()
    model[0].register_forward_hook(hook)
    for _ in range(3):
        rows_of(model, "0", "1", known=known)
    assert hook.calls == 1
    model(X)
    assert hook.calls == 2


def test_a_new_hook_gets_a_trial_of_its_own() -> None:
    model, first, second, known = nn.Sequential(identity_linear(4)), Counting(), Counting(), Known()
    model[0].register_forward_hook(first)
    rows_of(model, "0", known=known)
    model[0].register_forward_hook(second, prepend=True)
    for _ in range(2):
        rows_of(model, "0", known=known)
    assert (first.calls, second.calls) == (1, 1)


@pytest.mark.parametrize("how", ["returned", "in place", "behind the version"])
def test_a_hook_that_changes_the_output_is_always_applied(how: str) -> None:
    def quietly(module: nn.Module, args: Any, output: Tensor) -> None:
        (output if how == "in place" else output.data).mul_(2)

    model, known, beside = nn.Sequential(identity_linear(4), nn.Identity()), Known(), Counting()
    model[0].register_forward_hook(doubling if how == "returned" else quietly)
    model[1].register_forward_hook(beside)
    for _ in range(3):
        assert torch.equal(rows_of(model, "1", known=known).layers[0].t, 2 * X)
    fired = beside.calls
    rows_of(model, "1", known=known)
    assert beside.calls == fired  # the second replay found that it only looks


class Reading(nn.Module):
    """A model whose second half reads what a hook on its first half keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = identity_linear(4), identity_linear(4)
        self.kept: dict[str, Tensor] = {}
        self.first.register_forward_hook(self.keep)

    def keep(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.kept["first"] = output

    def forward(self, x: Tensor) -> Tensor:
        self.first(x)
        return self.second(self.kept["first"])


@pytest.mark.parametrize("trained", [True, False])
def test_what_a_hook_keeps_for_the_model_itself_is_kept_in_a_replay_too(trained: bool) -> None:
    model, known = Reading(), Known()
    for _ in range(5):
        if trained:
            model(torch.randn(64, 4))
        assert torch.equal(rows_of(model, "second", known=known).layers[0].t, X)


@pytest.mark.parametrize(
    "wrap", [spectral_norm, weight_norm, parametrizations.spectral_norm, parametrizations.weight_norm, prune.identity]
)
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_hooks_that_weights_work_through_run(wrap: Any) -> None:
    model = nn.Sequential(wrap(nn.Linear(4, 4)) if wrap is not prune.identity else wrap(nn.Linear(4, 4), "weight"))
    model.eval()
    with torch.no_grad():
        for t in model.parameters():
            t.mul_(1.5)
        expected = model(X)
    found = rows_of(model, "0", known=Known()).layers[0]
    torch.testing.assert_close(found.t, expected)
    assert not found.stochastic


def test_hook_tables_numbers_and_order_are_as_before() -> None:
    model, known = nn.Sequential(identity_linear(4), nn.ReLU()), Known()
    handles = [model[0].register_forward_hook(hook) for hook in (Counting(), doubling, Counting())]
    model[1].register_forward_pre_hook(lambda *_: None)
    model[1].register_forward_hook(lambda *_: None, with_kwargs=True, always_call=True)
    before = tables(model)
    for _ in range(3):
        rows_of(model, "0", "1", known=known)
        assert tables(model) == before
    handles[1].remove()
    assert torch.equal(rows_of(model, "0", known=known).layers[0].t, X)


def test_a_hook_that_takes_itself_off_stays_off() -> None:
    def once(*_: Any) -> None:
        handle.remove()

    model = nn.Sequential(identity_linear(4))
    handle = model[0].register_forward_hook(once)
    rows_of(model, "0", known=Known())
    assert not model[0]._forward_hooks


class Receives:
    def __init__(self) -> None:
        self.seen = 0

    def receive(self, layer: str, kwargs: Any, output: Any) -> None:
        self.seen += 1


def test_hooks_of_another_probe_never_see_a_replay() -> None:
    model, other, inputs = nn.Sequential(identity_linear(4)), Receives(), []
    model[0].register_forward_hook(Tap("0", other), with_kwargs=True)
    model.register_forward_pre_hook(PreTap(lambda *_: inputs.append(1)), with_kwargs=True)
    rows_of(model, "0", known=Known())
    assert (other.seen, inputs) == (0, [])
    model(X)
    assert (other.seen, inputs) == (1, [1])


def test_nothing_is_kept_alive_by_what_is_remembered() -> None:
    import weakref

    hooks, model, looks = Bystanders(), nn.Sequential(identity_linear(4)), Counting()
    model[0].register_forward_hook(looks)
    rows_of(model, "0", known=Known(bystanders=hooks))
    dead = weakref.ref(model), weakref.ref(looks)
    del model, looks
    assert [ref() for ref in dead] == [None, None]

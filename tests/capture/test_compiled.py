"""Taps inside compiled graphs: every call is seen, nothing breaks, recompiles or changes."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from helpers import batches, same
from torch import Tensor, nn
from torch._dynamo.utils import counters
from torch.utils.checkpoint import checkpoint

from ibprobe.capture.compiled import Unseen
from ibprobe.capture.taps import PreTap, Switch, Tap, install, remove
from ibprobe.capture.watch import Watch

pytestmark = [
    pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
BACKENDS = ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


class Net(nn.Module):
    """Blocks that overwrite in place, a shared activation, and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)) for _ in range(3))
        self.shared, self.drop, self.head = nn.Tanh(), nn.Dropout(0.2), nn.Linear(4, 2)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        for block in self.blocks:
            x = self.shared(block(x) * scale)
        return self.head(self.drop(x))


class Seen:
    """Keeps clones of all that arrives."""

    def __init__(self) -> None:
        self.outputs: list[tuple[str, Any]] = []
        self.inputs: list[Any] = []
        self.labels: list[Tensor] = []
        self.steps = 0

    def receive(self, layer: str, kwargs: Any, output: Any) -> None:
        assert not torch.is_grad_enabled()
        self.outputs.append((layer, output.clone()))

    def see(self, args: Any, kwargs: Any) -> None:
        self.inputs.append((args, kwargs))

    def step(self) -> None:
        self.steps += 1


def named(model: nn.Module) -> dict[str, nn.Module]:
    return {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.Tanh | nn.Dropout)}


def by_wrapper(model: nn.Module, backend: str) -> Callable[..., Tensor]:
    return torch.compile(model, backend=backend, fullgraph=True)


def in_place(model: nn.Module, backend: str) -> Callable[..., Tensor]:
    model.compile(backend=backend, fullgraph=True)
    return model


def left(model: nn.Module, backend: str) -> Callable[..., Tensor]:
    return model


class Training:
    """Three epochs of a compiled net, watched or not."""

    def __init__(self, backend: str, watched: bool, compiled: Any = by_wrapper) -> None:
        torch.manual_seed(0)
        self.model, self.loss, self.seen = Net(), nn.CrossEntropyLoss(), Seen()
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        self.switch, self.watch = Switch(), Watch(self.model, self.loss, self.optimizer)
        self.handles: list[Any] = []
        if watched:
            self.handles = install(named(self.model), self.seen, self.switch)
            self.watch.start(on_inputs=self.seen.see, on_labels=self.seen.labels.append, on_step=self.seen.step)
        self.call = compiled(self.model, backend)
        self.criterion = by_wrapper(self.loss, backend) if compiled is not left else self.loss

    def run(self, epochs: int = 1) -> dict[str, Tensor]:
        torch.manual_seed(1)
        for _ in range(epochs):
            for x, y in batches():
                self.optimizer.zero_grad()
                self.criterion(self.call(x), y).backward()
                self.optimizer.step()
        return self.model.state_dict()


@pytest.mark.parametrize("compiled", [by_wrapper, in_place])
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_graph_sees_every_call_and_trains_to_the_same_bits(backend: str, compiled: Any) -> None:
    plain = Training(backend, False, compiled)
    expected = plain.run(3)
    torch.compiler.reset()  # the graph of an equal criterion would be used again, and it has no hook
    counters.clear()
    watched = Training(backend, True, compiled)
    assert same(watched.run(3), expected)
    calls = 12
    assert len(watched.seen.inputs) == len(watched.seen.labels) == watched.seen.steps == calls
    assert len(watched.seen.outputs) == calls * (3 + 3 + 1 + 1)
    assert torch.equal(torch.cat(watched.seen.labels), torch.cat([y for _, y in batches()] * 3))
    assert not counters["graph_break"]
    assert not plain.seen.outputs


@pytest.mark.parametrize("backend", BACKENDS)
def test_arming_compiles_nothing_again_and_removing_does_so_once(backend: str) -> None:
    run = Training(backend, True)
    run.run()
    with torch.compiler.set_stance("fail_on_recompile"):
        for on in (False, True, False):
            run.switch.on = on
            before = len(run.seen.outputs)
            run.run()
            assert len(run.seen.outputs) == before + on * 4 * 8
    graphs = counters["stats"]["unique_graphs"]
    remove(run.handles)
    run.watch.stop()
    run.run(2)
    assert counters["stats"]["unique_graphs"] <= graphs + 2  # one of the model, one of the criterion
    assert len(run.seen.outputs) == 2 * 4 * 8


@pytest.mark.parametrize("backend", BACKENDS)
def test_values_are_those_of_the_uncompiled_model(backend: str) -> None:
    run = Training(backend, True)
    run.model.drop.p = 0.0
    x = torch.randn(5, 4)
    run.call(x)
    found, expected = run.seen.outputs, Seen()
    remove(run.handles)
    install(named(run.model), expected)
    run.model(x)
    assert [name for name, _ in found] == [name for name, _ in expected.outputs]
    for (_, a), (_, b) in zip(found, expected.outputs, strict=True):
        torch.testing.assert_close(a, b)
    assert any(bool((a < 0).any()) for name, a in found if name.endswith(".0"))  # before the ReLU overwrote it


def test_many_equal_blocks_that_are_compiled_one_by_one_share_a_graph_and_keep_their_names() -> None:
    seen, blocks = Seen(), nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(20))
    install({str(i): b[0] for i, b in enumerate(blocks)}, seen)
    for block in blocks:
        block.compile(backend="aot_eager", fullgraph=True)
    for _ in range(2):
        x = torch.randn(3, 4)
        for block in blocks:
            x = block(x)
    assert [name for name, _ in seen.outputs] == [str(i) for i in range(20)] * 2
    assert counters["stats"]["unique_graphs"] <= 3


@pytest.mark.slow
def test_blocks_of_many_kinds_that_are_compiled_one_by_one_never_meet_the_limit_of_recompilations() -> None:
    seen, blocks = (
        Seen(),
        nn.ModuleList(nn.Sequential(nn.Unflatten(1, (1,) * k + (4,)), nn.ReLU()) for k in range(1, 13)),
    )
    install({str(i): block for i, block in enumerate(blocks)}, seen)
    for block in blocks:
        block.register_forward_pre_hook(PreTap(seen.see), with_kwargs=True)
        block.compile(backend="aot_eager", dynamic=False)
    for block in blocks:
        block(torch.randn(3, 4))
    assert [t.ndim for _, t in seen.outputs] == [2 + k for k in range(1, 13)]
    assert len(seen.inputs) == 12


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_checkpointed_block_counts_once(backend: str, reentrant: bool) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Linear(4, 4), nn.Tanh())

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.block, x, use_reentrant=reentrant)

    model, seen = Checkpointed(), Seen()
    install({"0": model.block[0], "1": model.block[1]}, seen)
    call = by_wrapper(model, backend)
    for _ in range(2):
        call(torch.randn(3, 4, requires_grad=True)).sum().backward()
    assert [name for name, _ in seen.outputs] == ["0", "1"] * 2


class Anything(nn.Module):
    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return x + 1


class Settings:
    pass


def test_arguments_arrive_as_they_were_given() -> None:
    model, seen = Anything(), Seen()
    model.register_forward_pre_hook(PreTap(seen.see), with_kwargs=True)
    call = by_wrapper(model, "aot_eager")
    x = torch.ones(2)
    given: dict[str, Any] = {"a": None, "b": True, "c": 'it\'s "so"\n', "d": [1, (2.5, {"x": x, 3: []})], "e": ()}
    for number in (1, 2, 3):
        call(x, number, number / 8, **given)
    for number, (args, kwargs) in enumerate(seen.inputs, 1):
        assert same(args, (x, number, number / 8))
        assert same(kwargs, given)
        assert isinstance(kwargs["e"], tuple)
        assert kwargs["b"] is True


def test_an_object_that_no_graph_can_hand_on_says_so_when_it_is_used() -> None:
    model, seen = Anything(), Seen()
    model.register_forward_pre_hook(PreTap(seen.see), with_kwargs=True)
    by_wrapper(model, "aot_eager")(torch.ones(2), settings=Settings())
    (stand_in,) = seen.inputs[0][1].values()
    assert isinstance(stand_in, Unseen)
    with pytest.raises(ValueError, match="called with a Settings, which a compiled graph cannot hand on"):
        _ = stand_in.size


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_step_that_is_compiled_as_a_whole_is_seen(backend: str) -> None:
    run = Training(backend, True, left)

    @torch.compile(backend=backend)
    def step(x: Tensor, y: Tensor) -> None:
        run.criterion(run.call(x), y).backward()
        run.optimizer.step()
        run.optimizer.zero_grad()

    for x, y in batches():
        step(x, y)
    assert (len(run.seen.inputs), len(run.seen.labels), run.seen.steps) == (4, 4, 4)
    assert len(run.seen.outputs) == 4 * 8


def test_an_inert_tap_leaves_nothing_in_a_graph() -> None:
    model = Net()
    model.head.register_forward_hook(Tap(), with_kwargs=True)
    by_wrapper(model, "aot_eager")(torch.randn(3, 4))
    assert not counters["graph_break"]

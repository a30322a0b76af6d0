import gc
import pickle
import weakref
from typing import Any

import pytest
import torch
from helpers import hook_tables, small_net, unchecked
from torch import Tensor, nn

from ibprobe import BadInput
from ibprobe.capture.watch import Watch


class Log:
    def __init__(self, model: nn.Module, loss: Any = None, optimizer: Any = None) -> None:
        self.seen: list[Any] = []
        self.watch = Watch(model, loss, optimizer)

    def start(self) -> None:
        self.watch.start(on_inputs=self.inputs, on_labels=self.labels, on_step=lambda: self.seen.append("step"))

    def inputs(self, args: Any, kwargs: Any) -> None:
        self.seen.append("in")

    def labels(self, y: Tensor) -> None:
        self.seen.append(y.tolist())


class WithLabels(nn.Module):
    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return x


def test_a_step_shows_inputs_labels_and_the_step_in_order() -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    log = Log(model, loss, optimizer)
    log.start()
    loss(model(torch.randn(2, 4)), torch.tensor([0, 1])).backward()
    optimizer.step()
    assert log.seen == ["in", [0, 1], "step"]
    loss(model(torch.randn(1, 4)), target=torch.tensor([1]))
    assert log.seen[3:] == ["in", [1]]


def test_labels_among_the_keywords_are_seen() -> None:
    model = WithLabels()
    log = Log(model)
    log.start()
    model(torch.ones(1), labels=torch.tensor([3]))
    model(torch.ones(1), labels=None)
    assert log.seen == ["in", [3], "in"]


def test_validation_and_our_own_forwards_are_not_training() -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    log = Log(model, loss)
    log.start()
    model.eval()
    loss(model(torch.randn(2, 4)), torch.tensor([0, 1]))
    model.train()
    log.watch.paused = True
    loss(model(torch.randn(2, 4)), torch.tensor([0, 1]))
    assert log.seen == []


def test_labels_that_nobody_wants_are_not_passed_on() -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    log, keyed = Log(model, loss), WithLabels()
    log.start()
    log.watch.wants_labels = False
    loss(model(torch.randn(2, 4)), torch.tensor([0, 1]))
    log.watch.paused = True
    log.watch.paused = False
    loss(model(torch.randn(2, 4)), torch.tensor([0, 1]))
    assert log.seen == ["in", "in"]
    log.watch.wants_labels = True
    loss(model(torch.randn(2, 4)), torch.tensor([0, 1]))
    assert log.seen[2:] == ["in", [0, 1]]
    other = Log(keyed)
    other.start()
    other.watch.wants_labels = False
    keyed(torch.ones(1), labels=torch.tensor([3]))
    assert other.seen == ["in"]


def test_stopping_leaves_the_hooks_that_were_there() -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model.register_forward_pre_hook(lambda *_: None)
    optimizer.register_step_post_hook(lambda *_: None)
    before = hook_tables(model, loss, optimizer=optimizer)
    log = Log(model, loss, optimizer)
    log.start()
    assert hook_tables(model, loss, optimizer=optimizer) != before
    log.watch.stop()
    log.watch.stop()
    assert hook_tables(model, loss, optimizer=optimizer) == before


def test_a_watched_criterion_and_optimizer_can_be_pickled() -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    log = Log(model, loss, optimizer)
    log.start()
    twin = pickle.loads(pickle.dumps(loss))
    twin(torch.randn(1, 2), torch.tensor([0]))
    assert pickle.loads(pickle.dumps(optimizer)).state_dict() == optimizer.state_dict()
    assert log.seen == []


@pytest.mark.parametrize(
    ("loss", "optimizer", "words"),
    [
        (nn.functional.cross_entropy, None, "takes a module such as nn.CrossEntropyLoss(), got cross_entropy"),
        (nn.CrossEntropyLoss, None, "got the class CrossEntropyLoss: pass CrossEntropyLoss()"),
        (None, "adam", "takes a torch.optim.Optimizer, got str"),
    ],
)
def test_what_cannot_be_watched_is_named(loss: Any, optimizer: Any, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        unchecked(Watch)(small_net(), loss, optimizer)
    assert words in str(caught.value)


class Owner:
    """Owns a watch and is called by it, as a probe is."""

    def __init__(self, *watched: Any) -> None:
        self.watch, self.steps = Watch(*watched), 0
        self.watch.start(on_inputs=self.see, on_labels=self.see, on_step=self.step)

    def see(self, *_: Any) -> None:
        pass

    def step(self) -> None:
        self.steps += 1


def test_an_owner_lives_as_long_as_the_model_and_no_longer() -> None:
    model, loss = small_net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1)
    owner = Owner(model, loss, optimizer)
    gone = weakref.ref(owner), weakref.ref(model)
    gc.collect()
    gc.disable()
    try:
        del owner
        assert gone[0]() is not None
        optimizer.step()
        assert gone[0]().steps == 1
        del model
        assert [r() for r in gone] == [None, None]
    finally:
        gc.enable()
    loss(torch.randn(1, 2), torch.tensor([0]))
    optimizer.step()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_refused() -> None:
    with pytest.raises(BadInput, match="pass the module that was scripted"):
        Watch(torch.jit.script(small_net()), None, None)

from typing import Any

import pytest
import torch
from helpers import unchecked
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

from ibprobe import BadInput, UnknownName
from ibprobe.capture.layers import select_layers, unwrap


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.ReLU()
        self.downsample = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.relu = nn.Conv2d(1, 2, 1), nn.ReLU()
        self.layer1, self.layer2 = nn.Sequential(Block(), Block()), nn.Sequential(Block(), Block())
        self.fc = nn.Linear(2, 2)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm, self.head = nn.Embedding(9, 4), nn.LSTM(4, 4), nn.Linear(4, 2)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def encoder(layers: int) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(4, 1, 8, batch_first=True)
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (mlp(), ["1", "3", "4"]),
        (Functional(), ["fc1", "fc2"]),
        (nn.Linear(2, 2), ["model"]),
        (
            nn.Sequential(*(nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(2)), nn.Linear(4, 2)),
            ["0", "1", "2"],
        ),
        (nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU()), nn.Flatten(), nn.Linear(2, 2)), ["0.1", "2"]),
        (nn.Sequential(nn.Sequential(Block(), Block()), nn.Sequential(Block(), Block())), ["0.0", "0.1", "1.0", "1.1"]),
        (Residual(), ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "fc"]),
        (encoder(2), ["layers.0", "layers.1"]),
        (encoder(1), ["layers.0"]),
        (Recurrent(), ["lstm", "head"]),
        (nn.MultiheadAttention(4, 1), []),
    ],
)
def test_auto_picks_what_a_person_would(model: nn.Module, expected: list[str]) -> None:
    if expected:
        assert list(select_layers(model)) == expected
    else:
        with pytest.raises(BadInput, match="name the modules"):
            select_layers(model)


def test_auto_picks_the_blocks_of_a_transformers_model() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=1, intermediate_size=8)
    found = list(select_layers(transformers.BertForSequenceClassification(config)))
    assert found == ["bert.encoder.layer.0", "bert.encoder.layer.1", "classifier"]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("layer1.0", ["layer1.0"]),
        (["fc", "conv1"], ["conv1", "fc"]),
        ("layer*.1", ["layer1.1", "layer2.1"]),
        ("*", ["conv1", "relu", "layer1", "layer2", "fc"]),
        (Block, ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]),
        ([nn.Linear, "layer1.*.relu"], ["layer1.0.relu", "layer1.1.relu", "fc"]),
    ],
)
def test_layers_are_names_patterns_and_classes(spec: Any, expected: list[str]) -> None:
    model = Residual()
    found = select_layers(model, spec)
    assert list(found) == expected
    assert all(model.get_submodule(name) is module for name, module in found.items())


def test_a_name_is_itself_before_it_is_a_pattern() -> None:
    model = nn.Sequential()
    for name in ("block[0]", "block0"):
        model.add_module(name, nn.Linear(2, 2))
    assert list(select_layers(model, "block[0]")) == ["block[0]"]
    assert list(select_layers(model, "block[01]")) == ["block0"]


def test_a_model_of_one_module_is_found_again_by_the_name_it_gets() -> None:
    model = nn.Linear(2, 2)
    assert select_layers(model) == select_layers(model, "model") == {"model": model}


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("layer1.O", UnknownName, "did you mean: layer1.1, layer1.0"),
        ("layer9.*.*.*", UnknownName, "no layer named"),
        (nn.LSTM, UnknownName, "no module of class named 'LSTM'"),
        ([], BadInput, "layers= is empty"),
        ([3], BadInput, "a name, a pattern or a module class; got 3"),
    ],
)
def test_layers_that_do_not_exist_are_answered_with_what_does(spec: Any, error: type, words: str) -> None:
    with pytest.raises(error) as caught:
        unchecked(select_layers)(Residual(), spec)
    assert words in str(caught.value)


def test_a_model_without_layers_says_what_to_do() -> None:
    with pytest.raises(BadInput, match="name the modules to measure"):
        select_layers(nn.Sequential(nn.Flatten()))


def test_wrappers_are_taken_off_whatever_their_order() -> None:
    model = mlp()
    assert unwrap(model) is model
    assert unwrap(nn.DataParallel(torch.compile(model, backend="eager"))) is model
    assert unwrap(torch.compile(nn.DataParallel(model), backend="eager")) is model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_modules_are_passed_over_and_refused_by_name() -> None:
    scripted = torch.jit.script(nn.Linear(4, 4))
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), scripted, nn.Linear(4, 2))
    assert list(select_layers(model)) == ["1", "3"]
    with pytest.raises(BadInput, match="layer '2' is a scripted module, which takes no hooks"):
        select_layers(model, ["0", "2"])
    with pytest.raises(BadInput, match="pass the module that was scripted"):
        select_layers(scripted)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("auto", ["layer1.0", "layer1.1", "layer2.0", "layer2.1", "fc"]),
        (Block, ["layer1.0", "layer1.1", "layer2.0", "layer2.1"]),
        ("layer1.*.relu", ["layer1.0.relu", "layer1.1.relu"]),
    ],
)
def test_compiled_parts_keep_the_names_that_they_had(spec: Any, expected: list[str]) -> None:
    model = Residual()
    assert list(select_layers(model, spec)) == expected
    model.layer1[0] = torch.compile(model.layer1[0], backend="eager")
    model.layer2 = torch.compile(model.layer2, backend="eager")
    assert list(select_layers(model, spec)) == expected


@pytest.mark.parametrize("spec", ["auto", "blocks.*"])
def test_checkpointed_parts_keep_the_names_that_they_had(spec: Any) -> None:
    class Blocks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(checkpoint_wrapper(Functional()) for _ in range(2))

    found = select_layers(Blocks(), spec)
    assert list(found) == ["blocks.0", "blocks.1"]
    assert all(hasattr(module, "_checkpoint_wrapped_module") for module in found.values())


def test_a_module_of_the_user_s_that_is_called_module_keeps_its_name() -> None:
    outer = nn.ModuleDict({"module": nn.Sequential(nn.Linear(4, 4), nn.ReLU())})
    assert list(select_layers(outer, "module.*")) == ["module.0", "module.1"]

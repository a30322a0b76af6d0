"""Snapshots between the steps of a training whose parts are compiled: neither sees the other."""

from typing import Any

import pytest
import torch
from helpers import batches
from torch import Tensor, nn
from torch._dynamo.utils import counters

from ibprobe.capture.data import distinct_batches
from ibprobe.capture.replay import Known, replay

X = torch.randn(100, 4, generator=torch.Generator().manual_seed(5))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x)).relu()


class Partly(nn.Module):
    """Compiled in one of three ways, inside a model that is not."""

    def __init__(self, how: str, backend: str) -> None:
        super().__init__()
        self.block, self.head, self.function = Block(), nn.Linear(4, 2), torch.sin
        if how == "wrapped":
            self.block = torch.compile(self.block, backend=backend)  # type: ignore[assignment]
        elif how == "in place":
            self.block.compile(backend=backend)
        else:
            self.function = torch.compile(lambda x: x.sin() + 1, backend=backend)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.function(self.block(x)))


def trained(how: str, backend: str, snapshots: bool) -> tuple[list[Any], list[int]]:
    """Weights after training, and graphs after each step."""
    torch.compiler.reset()
    counters.clear()
    torch.manual_seed(0)
    model, known = Partly(how, backend), Known()
    optimizer, data = torch.optim.SGD(model.parameters(), 0.1), distinct_batches(X, 100)[0]
    layers = {name: m for name, m in model.named_modules() if name.endswith(("block", "linear", "head"))}
    graphs = []
    for x, y in batches():
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if snapshots:
            found = replay(model, layers, data, known=known)
            assert len(found.layers) == len(layers)
        graphs.append(counters["stats"]["unique_graphs"] + counters["frames"]["total"])
    torch.compiler.reset()
    return [t.tolist() for t in model.state_dict().values()], graphs


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("how", ["wrapped", "in place", "function"])
@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_snapshots_compile_nothing_and_recompile_nothing(how: str, backend: str) -> None:
    weights, graphs = trained(how, backend, snapshots=True)
    plain, alone = trained(how, backend, snapshots=False)
    assert graphs == alone
    assert graphs[0] == graphs[-1] > 0
    assert weights == plain


def test_the_counters_see_what_a_forward_with_other_shapes_compiles() -> None:
    torch.compiler.reset()
    counters.clear()
    model = Partly("wrapped", "aot_eager")
    model(X[:32])
    before = counters["stats"]["unique_graphs"]
    model.eval()(X[:64])
    assert counters["stats"]["unique_graphs"] > before
    torch.compiler.reset()

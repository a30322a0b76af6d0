"""The rows of the table: their tasks, who estimates them, how often, and by which goals they are judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from . import bmi_tasks, channels, gaussians, goals, labels, layers, own_tasks, twelve_bits
from .cases import Folders, Item, Result, Sample
from .fingerprints import fingerprint
from .halves import is_development


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row of the table.

    ``ours``, ``quick`` and ``peers`` say how many seeds of each task every estimator gets.
    """

    title: str
    sample: Callable[[str, int, Folders], Sample]
    tasks: Callable[[Folders], Sequence[str]]
    ours: Mapping[str, int]
    quick: Mapping[str, int]
    peers: Mapping[str, int] = field(default_factory=dict)
    peer_tasks: Callable[[str], bool] = lambda task: True
    """Peers take minutes, so that they meet only some tasks."""
    quick_tasks: Callable[[str], bool] = lambda task: True
    goals: Callable[[Sequence[Result]], Iterator[goals.Verdict]] = lambda results: iter(())
    covered: Callable[[Result], bool] = lambda result: True
    """Runs whose interval is judged: not those of which no more than a flag is asked."""

    @property
    def samples(self) -> str:
        """Module that draws the samples."""
        return self.sample.__module__.rpartition(".")[2]


ROWS: Mapping[str, Row] = {
    "independent": Row(
        title="independent, d = 20, n = 2,048",
        sample=gaussians.independent,
        tasks=gaussians.independent_tasks,
        ours={"mine": 200, "mine, steps x1": 20, "mine, steps x2": 20, "mine, steps x4": 20},
        quick={"mine": 6, "mine, steps x1": 3, "mine, steps x4": 3},
        peers={"textbook MINE": 3, "SMILE": 3, "NWJ": 3, "KSG": 3, "CCA": 3, "torch-mist-mine": 2,
               "torch-mist-smile": 3, "bmi-mine": 2},
        goals=goals.independent,
    ),
    "finite": Row(
        title="what is reported at truth 0, 1, 3, 6, d = 20, n = 2,048",
        sample=gaussians.finite,
        tasks=gaussians.finite_tasks,
        ours={"mine": 50},
        quick={"mine": 2},
        peers={"textbook MINE": 2, "torch-mist-mine": 2, "torch-mist-smile": 2, "SMILE": 2, "KSG": 2, "CCA": 2},
    ),
    "weak": Row(
        title="weak dependence, n = 8,192",
        sample=gaussians.weak,
        tasks=gaussians.weak_tasks,
        ours={"mine": 18},
        quick={"mine": 1},
        peers={"textbook MINE": 1, "SMILE": 1, "KSG": 1, "CCA": 2},
        peer_tasks=lambda task: task.startswith("spread"),
        goals=goals.weak,
    ),
    "strong": Row(
        title="Gaussian and cubic, d = 20, n = 8,192",
        sample=gaussians.strong,
        tasks=gaussians.strong_tasks,
        ours={"mine": 20},
        quick={"mine": 1},
        peers={"textbook MINE": 1, "SMILE": 1, "NWJ": 1, "JS": 1, "KSG": 1, "CCA": 2},
        quick_tasks=lambda task: task.startswith("gaussian") or task == "cubic 4",
        goals=goals.strong,
        covered=lambda result: result.truth < 10,
    ),
    "bmi": Row(
        title="the 40 tasks of benchmark-mi, n = 5,000",
        sample=bmi_tasks.bmi,
        tasks=bmi_tasks.bmi_tasks,
        ours={"mine": 5},
        quick={"mine": 1},
        peers={"bmi-mine": 1, "bmi-ksg": 1, "bmi-cca": 1},
        quick_tasks=lambda task: not is_development(task),
        goals=goals.halves,
    ),
    "own": Row(
        title="own tasks that are no Gaussian copula, n = 5,000",
        sample=own_tasks.own,
        tasks=own_tasks.own_tasks,
        ours={"mine": 15},
        quick={"mine": 1},
        peers={"KSG": 1, "CCA": 1, "textbook MINE": 1, "SMILE": 1},
        goals=goals.halves,
    ),
    "twelve_bits": Row(
        title="12-bit activations, all 4,096 inputs",
        sample=twelve_bits.twelve_bits,
        tasks=twelve_bits.twelve_bits_tasks,
        ours={"mine, layer": 8, "channel, all inputs": 8},
        quick={"mine, layer": 1, "channel, all inputs": 2},
        peers={"textbook MINE": 1},
        peer_tasks=lambda task: task.startswith("tanh0") and task.endswith(" 0.1"),
        quick_tasks=lambda task: task.startswith("tanh0") and task.endswith(" 0.1"),
        goals=goals.twelve_bits,
        covered=lambda result: result.truth <= 5 or result.estimator.startswith("channel"),
    ),
    "channel": Row(
        title="channel in 784 dimensions",
        sample=channels.channel,
        tasks=channels.channel_tasks,
        ours={"channel": 34},
        quick={"channel": 4},
        peers={"textbook MINE": 1, "KSG": 2},
        peer_tasks=lambda task: task.startswith("n=2048"),
        goals=goals.channel,
    ),
    "labels": Row(
        title="I(T;Y) of ten classes in 64 dimensions",
        sample=labels.labels,
        tasks=labels.label_tasks,
        ours={"classifier": 13, "channel, labels": 13},
        quick={"classifier": 1, "channel, labels": 1},
        peers={"Ross": 2, "logistic": 2, "textbook MINE": 1},
        peer_tasks=lambda task: task.endswith("2048"),
        goals=goals.labels,
    ),
    "cost": Row(
        title="cost of 12 layers, n = 2,048, d ≤ 256",
        sample=layers.layers_task,
        tasks=layers.layers_tasks,
        ours={"channel, 12 layers": 5, "mine, 12 layers": 3, "mine, 12 layers and labels": 2},
        quick={"channel, 12 layers": 1, "mine, 12 layers": 1},
        goals=goals.cost,
    ),
}  # fmt: skip


def plan(names: Sequence[str], folders: Folders, *, quick: bool, peers: bool) -> list[Item]:
    """All work, first seeds first, so that an interrupted run has seen every task."""
    items = [item for name in names for item in _of_row(name, folders, quick, peers)]
    return sorted(items, key=lambda item: item.seed)


def _of_row(name: str, folders: Folders, quick: bool, peers: bool) -> Iterator[Item]:
    row = ROWS[name]
    tasks = [task for task in row.tasks(folders) if not quick or row.quick_tasks(task)]
    for estimator, seeds in (row.quick if quick else row.ours).items():
        yield from (_item(name, task, seed, estimator) for task in tasks for seed in range(seeds))
    if peers:
        tasks = [task for task in tasks if row.peer_tasks(task)]
        for estimator, seeds in row.peers.items():
            many = 1 if quick else seeds
            yield from (_item(name, task, seed, estimator) for task in tasks for seed in range(many))


def _item(row: str, task: str, seed: int, estimator: str) -> Item:
    return Item(row, task, seed, estimator, fingerprint(estimator, ROWS[row].samples))

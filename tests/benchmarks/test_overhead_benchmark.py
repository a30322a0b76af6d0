"""The cost benchmarks themselves: what they print, what they pair, and that they see a probe that is slow."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.costs import overhead_command, snapshot_command
from benchmarks.costs.beside import beside
from benchmarks.costs.every_step import step_cost
from benchmarks.costs.markdown import table
from benchmarks.costs.models import CASES, LARGE, Case, LanguageModel, Net, make, mlp, resnet, resnet50
from benchmarks.costs.pairs import Pair, Run, median_ratio, pair, verdict
from benchmarks.costs.watchers import Clock, Notes, Variant, Watcher, nothing, nothing_due, probing, variants
from torch import nn

SMALL = Case(
    lambda: nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10)),
    lambda g: torch.randn(8192, 16, generator=g),
    64,
    lambda parameters: torch.optim.SGD(parameters, lr=0.01),
    "a small one",
)


SLEEP = 0.02


def sleepy(step: int) -> bool:
    time.sleep(SLEEP)
    return False


def cells(lines: list[str], start: str) -> list[str]:
    return next([c.strip() for c in line.split("|")[1:-1]] for line in lines if line.startswith(f"| {start}"))


@pytest.mark.parametrize("blockwise", [True, False])
def test_a_probe_that_sleeps_on_purpose_is_seen(blockwise: bool) -> None:
    # A step takes a fraction of a millisecond, and the probe sleeps twenty at each.
    slow = Variant("slow", probing(measure_last=False, every=sleepy), blockwise=blockwise)
    found = pair(SMALL, "cpu", slow, 25, watched_first=True)
    assert found.watched.seconds >= 25 * SLEEP
    assert found.ratio > 2


def test_a_step_that_sleeps_is_seen_in_single_steps(tmp_path: Path) -> None:
    found = step_cost(1, "replay", probing(measure_last=False, layers="*", every=sleepy), 60, tmp_path, "cpu")
    assert found.extra > 0.9e6 * SLEEP


@pytest.mark.parametrize("watched_first", [True, False])
@pytest.mark.parametrize("blockwise", [True, False])
def test_a_pair_is_the_same_training_and_only_one_of_it_is_watched(blockwise: bool, watched_first: bool) -> None:
    seen: list[tuple[str, Net]] = []

    def noting(name: str) -> Watcher:
        @contextmanager
        def watcher(net: Net, folder: Path, clock: Clock) -> Iterator[Notes]:
            yield Notes()
            seen.append((name, net))

        return watcher

    variant = Variant("", noting("watched"), noting("bare"), blockwise=blockwise)
    found = pair(SMALL, "cpu", variant, 45, watched_first=watched_first)
    nets = dict(seen)
    assert {name: net.steps for name, net in seen} == {"bare": 45, "watched": 45}
    assert len(found.bare.blocks) == len(found.watched.blocks)
    for one, other in zip(nets["bare"].model.parameters(), nets["watched"].model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_watched_run_is_above_the_line_whoever_goes_first() -> None:
    slow = Variant("slow", probing(measure_last=False, every=sleepy))
    for watched_first in (True, False):
        assert pair(SMALL, "cpu", slow, 10, watched_first).ratio > 1


def test_a_ratio_is_of_the_two_runs_of_a_pair() -> None:
    pairs = [Pair(Run([1.0, 1.0]), Run([1.5, 1.5])), Pair(Run([4.0]), Run([4.4])), Pair(Run([2.0]), Run([2.0]))]
    assert [round(p.ratio, 3) for p in pairs] == [1.5, 1.1, 1.0]
    assert median_ratio(pairs) == pytest.approx(1.1)


@pytest.mark.parametrize(
    ("ratios", "snapshots", "found"),
    [
        ((1.02, 1.04, 1.03), 5, "met"),
        ((1.06, 1.08, 1.07), 5, "**missed**"),
        ((1.02, 1.08, 1.04), 5, "undecided"),
        ((0.87, 1.01, 1.02), 5, "undecided"),
        ((1.02, 1.04, 1.03), 4, "too short"),
    ],
)
def test_a_goal_is_met_only_where_noise_allows_to_say_so(ratios: tuple[float, ...], snapshots: int, found: str) -> None:
    variant = Variant("", nothing, goal=1.05, fewest=5)
    pairs = [Pair(Run([1.0]), Run([ratio], notes=Notes(snapshots=snapshots))) for ratio in ratios]
    assert verdict(variant, pairs) == f"≤ 1.05: {found}"


def test_time_to_attach_and_to_detach_counts() -> None:
    @contextmanager
    def watcher(net: Net, folder: Path, clock: Clock) -> Iterator[Notes]:
        time.sleep(0.1)
        yield Notes()
        time.sleep(0.2)

    found = pair(SMALL, "cpu", Variant("", watcher), 20, watched_first=False)
    assert found.watched.blocks[0] >= 0.1
    assert found.watched.blocks[-1] >= 0.2


def test_a_probe_at_its_defaults_counts_its_snapshots_and_gives_its_account() -> None:
    found = pair(SMALL, "cpu", Variant("", probing(rows=64)), 40, watched_first=False)
    assert found.watched.notes.snapshots >= 1
    assert "budget 5 %" in found.watched.notes.account
    assert found.bare.notes.snapshots == 0


def test_a_probe_with_nothing_due_takes_no_snapshot() -> None:
    found = pair(SMALL, "cpu", Variant("", nothing_due(), blockwise=True), 40, watched_first=False)
    assert found.watched.notes.snapshots == 0


@pytest.mark.parametrize(("shared", "gain"), [(True, 1.0), (False, 2.0)])
def test_work_that_takes_turns_with_steps_gains_nothing(shared: bool, gain: float) -> None:
    turn = threading.Lock()

    class Step(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with turn if shared else nullcontext():
                time.sleep(SLEEP)
            return super().forward(x)

    def work() -> None:
        for _ in range(20):
            with turn if shared else nullcontext():
                time.sleep(SLEEP)
            time.sleep(0.001)  # else the lock would be its own again

    case = replace(SMALL, build=lambda: Step(16, 10))
    found = beside(case, "cpu", "thread", "sleep", work)
    assert found.gain == pytest.approx(gain, rel=0.3)


@pytest.mark.slow
def test_the_neighbour_logs_what_it_watches(tmp_path: Path) -> None:
    watch = next(v for v in variants({}, 1.05) if v.name.endswith("log_freq=1"))
    found = pair(SMALL, "cpu", watch, 20, watched_first=False)
    assert len(found.watched.blocks) == len(found.bare.blocks) > 0
    assert nothing is not watch.bare


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LARGE else ()) for n in CASES])
def test_every_model_trains(name: str) -> None:
    net = make(replace(CASES[name], batch=2), "cpu")
    net.step()
    assert net.steps == 1


def test_the_models_have_the_shapes_that_the_page_names() -> None:
    assert [m.out_features for m in mlp() if isinstance(m, nn.Linear)] == [1024, 512, 256, 128, 10]
    # With 64 base channels, 11.2 million parameters: a ResNet-18 for ten classes with the stem of small images.
    assert sum(p.numel() for p in resnet(64).parameters()) == pytest.approx(11.2e6, rel=0.01)
    with torch.device("meta"):
        assert sum(p.numel() for p in resnet50().parameters()) == 25_557_032
        assert sum(p.numel() for p in LanguageModel().parameters()) == 124_439_808


def test_one_token_of_each_sequence_is_probed() -> None:
    case = replace(
        CASES["gpt2"], build=lambda: LanguageModel(50, 16, 64, 2), batch=64,
        draw=lambda g: torch.randint(50, (512, 16), generator=g),
    )  # fmt: skip
    found = pair(case, "cpu", Variant("", probing(rows=256)), 10, watched_first=False)
    assert found.watched.notes.snapshots >= 1


@pytest.mark.slow
def test_the_overhead_command_prints_pairs_goals_and_how_much_longer_a_run_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(overhead_command.CASES, "mlp", SMALL)
    monkeypatch.setattr(overhead_command, "LAYERS", (2,))
    monkeypatch.setattr(overhead_command, "works", lambda device: {"sleep": lambda: time.sleep(0.5)})
    # "probe" leaves out W&B, which has its own test.
    arguments = ["--model", "mlp", "--repetitions", "2", "--minutes", "0.001", "--steps", "80", "--only", "probe"]
    assert overhead_command.main([*arguments, "--out", str(tmp_path / "out.md")]) == 0
    printed = capsys.readouterr()
    assert "wandb" not in printed.out
    assert (tmp_path / "out.md").read_text(encoding="utf-8") == printed.out
    lines = printed.out.splitlines()
    defaults, idle = (cells(lines, start) for start in ("probe, defaults", "probe, nothing"))
    assert defaults[1] == idle[1] == "2"
    assert defaults[8].startswith("≤ 1.05: ")
    assert idle[8].startswith("≤ 1.005: ")
    assert float(defaults[4]) <= float(defaults[5])
    assert "**Too short**" in printed.out
    assert cells(lines, "2, stream")[1]
    assert float(cells(lines, "mlp, sleep")[4]) == pytest.approx(0.5, abs=0.2)
    assert "pair 2/2" in printed.err
    assert "all of them about" in printed.err


@pytest.mark.slow
def test_the_snapshot_command_prints_a_row_a_setting(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--tiny", "--no-critics", "--repetitions", "1", "--out", str(tmp_path / "out.md")]
    assert snapshot_command.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines, "1 layers, 128 rows, d = 8")[5:7] == ["–", "–"]
    assert len([line for line in lines if line.startswith("| 2 layers")]) == 5
    assert cells(lines, "2 |")[0] == "2"
    assert cells(lines, "bracket, σ = 1.0")[3] in ("128", "256", "more than 256")


def test_a_table_says_what_it_is_given() -> None:
    assert table(("a", "b"), [("x", 1)]) == ["| a | b |", "| --- | ---: |", "| x | 1 |"]

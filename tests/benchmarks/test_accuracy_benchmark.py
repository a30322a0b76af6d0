"""The benchmark's own truths, goals and bookkeeping."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.known_answers import goals, own_tasks
from benchmarks.known_answers.cases import Answer, Folders, Item, Result, Sample
from benchmarks.known_answers.channels import information, noise_for
from benchmarks.known_answers.figure import draw
from benchmarks.known_answers.fingerprints import fingerprint
from benchmarks.known_answers.gaussians import correlated
from benchmarks.known_answers.halves import is_development
from benchmarks.known_answers.labels import LAWS, mixture
from benchmarks.known_answers.report import current, report, verdicts
from benchmarks.known_answers.runner import estimate, open_items, read, run
from benchmarks.known_answers.table import ROWS, plan
from benchmarks.known_answers.textbook import TEXTBOOK
from benchmarks.known_answers.twelve_bits import Recorded, empirical_information
from benchmarks.log_ratios import LOG_RATIOS

NOWHERE = Folders(Path("nowhere"), None)


@pytest.mark.parametrize("task", own_tasks.OWN_TASKS)
def test_the_truth_of_an_own_task_is_the_mean_log_ratio_of_its_own_rows(task: str) -> None:
    # The densities are written down a second time; the mean over rows has a standard error, of which four are granted.
    x, y = own_tasks.OWN_TASKS[task].draw(22_500, np.random.default_rng(5))
    ratio = LOG_RATIOS[task](x, y)
    assert own_tasks.truth_of(task) == pytest.approx(ratio.mean(), abs=4 * ratio.std() / 150 + 1e-9)


def test_gaussian_pairs_have_the_correlation_that_their_truth_asks_for() -> None:
    x, y = correlated(50_000, torch.tensor([0.0, 0.3]), torch.Generator().manual_seed(0))
    rho = (x * y).mean(0)
    # Correlations of 50,000 rows are known to 0.005 each.
    assert rho.tolist() == pytest.approx([0, math.sqrt(-math.expm1(-0.6))], abs=0.02)
    assert y.var(0).tolist() == pytest.approx([1, 1], abs=0.03)


def test_the_noise_of_a_channel_lets_the_stated_nats_through() -> None:
    spectrum = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
    assert information(spectrum, noise_for(spectrum, 3.0)) == pytest.approx(3)


def test_classes_far_apart_have_posteriors_of_their_own() -> None:
    for kind, apart in (("gaussian", 20.0), ("clustered", 20.0), ("curved", 12.0)):
        clean, y = LAWS[kind](apart).draw(500, torch.Generator().manual_seed(0))
        noisy = clean + torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
        assert (LAWS[kind](apart).log_densities(noisy).argmax(1) == y).all()


def test_two_gaussian_classes_have_the_log_density_of_their_law() -> None:
    law, t = mixture(1, 3.0), torch.randn(5, 64, generator=torch.Generator().manual_seed(0))
    clean, y = law.draw(200_000, torch.Generator().manual_seed(1))
    mean, cov = clean[y == 0].mean(0), torch.cov(clean[y == 0].T) + torch.eye(64)
    other = clean[y == 1].mean(0)
    exact = [torch.distributions.MultivariateNormal(m, cov).log_prob(t) for m in (mean, other)]
    found = law.log_densities(t)
    # 20,000 rows a class know a mean to a hundredth in each direction that varies.
    assert (found[:, 0] - found[:, 1]).tolist() == pytest.approx((exact[0] - exact[1]).tolist(), abs=0.15)


def test_distinct_symbols_far_apart_carry_their_entropy() -> None:
    t = torch.tensor([[0.0], [0.0], [50.0], [100.0]])
    # One half, a quarter, a quarter: 1.5 bits; exponents of a thousand are rounded to a ten-thousandth in float32.
    assert empirical_information(t, 1.0, 4)[0] == pytest.approx(1.5 * math.log(2), abs=5e-4)


def test_a_recorded_network_returns_each_inputs_activations() -> None:
    x = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]]).float()
    t = torch.arange(8.0).reshape(4, 2)
    assert torch.equal(Recorded(x, t)(x[[2, 0]]), t[[2, 0]])


def test_the_halves_are_those_that_were_fixed_first() -> None:
    assert is_development("student-identity-2-2-1")
    assert not is_development("1v1-normal-0.75")
    # As many as an even coin may give, and at least six that no choice was made on.
    assert 6 <= sum(not is_development(task) for task in own_tasks.OWN_TASKS) <= 8


def results(row: str, answer: Callable[[Sample], Answer], estimator: str = "mine", seeds: int = 1) -> list[Result]:
    """One row's results of an estimator that knows the sample's truth."""
    tasks = [(task, seed) for task in ROWS[row].tasks(NOWHERE) for seed in range(seeds)]
    drawn = [(Item(row, task, seed, estimator, ""), float(task.rpartition(" ")[2])) for task, seed in tasks]
    empty = torch.zeros(0)
    samples = [(item, Sample(truth=truth, x=empty, y=empty)) for item, truth in drawn]
    return [Result.of(item, sample, answer(sample), 0.1) for item, sample in samples]


def around(sample: Sample) -> Answer:
    flags = ("low_ess",) if sample.truth >= 10 else ()
    return Answer(
        nats=sample.truth, ci_low=sample.truth - 0.02, ci_high=sample.truth + 0.02,
        lower_confidence=sample.truth - 0.01, flags=flags,
    )  # fmt: skip


@pytest.mark.parametrize("row", ["weak", "strong"])
def test_an_estimator_that_is_right_meets_every_goal(row: str) -> None:
    judged = list(verdicts(row, results(row, around, seeds=3)))
    assert judged
    assert all(v.met for v in judged)


def test_a_constant_zero_misses_the_slope_although_its_error_is_small_where_little_is_shared() -> None:
    missed = [v.goal for v in verdicts("weak", results("weak", lambda _: Answer(nats=0.0))) if v.met is False]
    assert any("slope" in goal for goal in missed)


def test_the_values_that_a_textbook_loop_reports_miss_the_row_of_independent_data() -> None:
    lines = [replace(r, nats=2.86, truth=0.0) for r in (Result(row="independent", task="d = 20", seed=s,
             estimator="mine", code="") for s in range(3))]  # fmt: skip
    found = {v.goal: v.met for v in verdicts("independent", lines)}
    assert found["mean absolute error ≤ 0.02"] is False
    assert found["highest value ≤ 0.08"] is False


def test_a_large_value_without_a_flag_is_missed() -> None:
    silent = [replace(r, flags=()) for r in results("strong", around)]
    missed = [v.goal for v in verdicts("strong", silent) if not v.met]
    assert [goal for goal in missed if "without a flag" in goal] == missed != []


def test_intervals_that_hold_too_rarely_are_missed() -> None:
    beside = [replace(r, ci_low=r.truth + 0.1, ci_high=r.truth + 0.2, lower_confidence=r.truth + 0.1)
              for r in results("weak", around, seeds=2)]  # fmt: skip
    assert [v.met for v in goals.coverage(beside)] == [False, False]


def test_the_binomial_tail_is_that_of_a_fair_coin() -> None:
    assert goals.binomial_tail(1, 3, 0.5) == pytest.approx(0.5)
    assert goals.binomial_tail(200, 200, 0.95) == pytest.approx(1)


def counted(item: Item, folders: Folders) -> Result:
    with (folders.out / "calls").open("a") as out:
        out.write("x")
    return Result(row=item.row, task=item.task, seed=item.seed, estimator=item.estimator, code=item.code)


def test_what_is_in_the_results_file_is_not_done_again_even_after_a_torn_line(tmp_path: Path) -> None:
    folders, file = Folders(tmp_path, None), tmp_path / "results.jsonl"
    items = plan(["weak"], folders, quick=True, peers=False)
    run(items[:3], folders, file, 1, counted)
    file.write_text(file.read_text()[:-9])
    run(items, folders, file, 1, counted)
    assert len(read(file)) == len(items)
    # Three, then all but the two whose lines were whole.
    assert len((tmp_path / "calls").read_text()) == 3 + len(items) - 2
    assert not open_items(items, file)
    assert open_items([replace(items[0], code="other")], file)


@pytest.mark.parametrize(("error", "again"), [("KeyError: x", True), ("TimeoutExpired: 420 s", False)])
def test_a_failure_is_tried_again_unless_it_took_too_long(error: str, again: bool, tmp_path: Path) -> None:
    item = Item("own", "squares", 0, "bmi-mine", "")
    line = Result(**asdict(item), error=error)
    (tmp_path / "results.jsonl").write_text(json.dumps(line.to_dict()) + "\n")
    assert open_items([item], tmp_path / "results.jsonl") == ([item] if again else [])
    assert current([line, replace(line, error="")], [item]) == [replace(line, error="")]


def test_the_figure_is_drawn_from_the_results(tmp_path: Path) -> None:
    shown = [replace(r, row="finite") for r in results("weak", around)]
    peer = [replace(r, estimator="KSG", ci_low=None) for r in shown]
    draw([*shown, *peer, *results("strong", around)], tmp_path / "figures" / "accuracy.svg")
    svg = (tmp_path / "figures" / "accuracy.svg").read_text()
    assert "KSG" in svg
    assert "textbook" not in svg


def test_a_failure_is_a_result_and_is_reported(tmp_path: Path) -> None:
    item = Item("own", "squares", 0, "no such estimator", "")
    found = estimate(item, Folders(tmp_path, None))
    assert found.error.startswith("KeyError")
    assert "no such estimator failed (1×): KeyError: 'no such estimator'" in list(report([found], ["own"]))


def test_results_of_every_estimator_can_be_told_by_its_code() -> None:
    assert fingerprint("mine", "gaussians") == fingerprint("mine, steps x2", "gaussians")
    codes = [fingerprint(name, "gaussians") for name in ("mine", "channel", "KSG", "bmi-mine")]
    assert len(set(codes)) == 4
    assert fingerprint("mine", "labels") != codes[0]


@pytest.mark.parametrize(("name", "tolerance"), [("KSG", 0.08), ("CCA", 0.06)])
def test_references_without_training_are_right_in_one_dimension(name: str, tolerance: float) -> None:
    x, y = correlated(1500, torch.tensor([0.5]), torch.Generator().manual_seed(0))
    # Of 1,500 rows, a Gaussian fit knows half a nat to 0.02 and neighbours to less than 0.03: three errors each.
    found = TEXTBOOK[name](Sample(truth=0.5, x=x, y=y), 0).nats
    assert found == pytest.approx(0.5, abs=tolerance)

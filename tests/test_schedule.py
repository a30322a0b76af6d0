from itertools import pairwise
from typing import Any

import pytest
from helpers import unchecked

from ibprobe import BadInput
from ibprobe.schedule import Budget, StepTimes, due_when


@pytest.fixture(autouse=True)
def _whole_budget(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests add up to the share itself, and one of them to the part of it that is spent."""
    if "unseen" not in request.node.name:
        monkeypatch.setattr("ibprobe.schedule.SEEN", 1.0)


class Clock:
    """Time that passes only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def work(self, budget: Budget, kind: str, seconds: float) -> None:
        with budget.paying(kind):
            self.now += seconds
        budget.measured += kind == "brackets"


def started(share: float | None) -> tuple[Budget, Clock]:
    clock = Clock()
    budget = Budget(share, _clock=clock)
    budget.start()
    return budget, clock


def test_log_measures_about_sixty_times_in_a_hundred_thousand_steps() -> None:
    due = due_when("log")
    steps = [s for s in range(100_001) if due(s)]
    assert 50 <= len(steps) <= 62
    assert steps[:4] == [0, 1, 2, 3]
    assert steps[-1] == 100_000
    assert max(b / a for a, b in pairwise(steps[1:])) == 2
    assert max(b / a for a, b in pairwise(steps[8:])) < 1.3


def test_an_integer_is_a_period_and_a_function_is_taken_as_it_is() -> None:
    assert [s for s in range(10) if due_when(4)(s)] == [0, 4, 8]
    assert [s for s in range(10) if due_when(lambda s: s > 7)(s)] == [8, 9]


@pytest.mark.parametrize("every", [0, -1, True, 2.5, "often", None])
def test_any_other_schedule_names_the_known_ones(every: Any) -> None:
    with pytest.raises(BadInput, match=r'"log", a positive number of steps, or a function step -> bool; got '):
        unchecked(due_when)(every)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, float("nan")])
def test_a_budget_is_a_share(share: Any) -> None:
    with pytest.raises(BadInput, match=r"in \(0, 1\], or None"):
        Budget(share)


def test_the_first_snapshot_is_on_credit_and_the_next_waits_until_it_is_paid() -> None:
    budget, clock = started(0.1)
    assert budget.allows("snapshot")
    clock.work(budget, "brackets", 1.0)
    assert not budget.allows("snapshot")
    clock.now = 100 + 30.9
    assert not budget.allows("snapshot")
    clock.now = 100 + 31.0  # 1 spent, 1 now, 1 for the last; of 30 s of training
    assert budget.allows("snapshot")


def test_spending_never_passes_the_share_when_costs_are_steady() -> None:
    budget, clock = started(0.05)
    clock.work(budget, "brackets", 0.5)
    for _ in range(2000):
        clock.now += 0.1
        for kind, cost in (("brackets", 0.5), ("critics", 2.0)):
            if budget.allows("snapshot" if kind == "brackets" else kind):
                clock.work(budget, kind, cost)
                assert budget.spent + 0.5 <= 0.05 * (budget.elapsed - budget.spent) + 0.05 * cost
    assert budget.spent > 0.04 * budget.elapsed


def test_a_quarter_of_the_budget_is_kept_for_costs_that_are_unseen() -> None:
    clock = Clock()
    budget = Budget(0.1, _clock=clock)
    budget.start()
    with budget.paying("brackets"):
        clock.now += 1
    budget.measured += 1
    # Spent, the next one and the last one: three seconds, of seven and a half in a hundred.
    clock.now += 39.9
    assert not budget.allows("snapshot")
    clock.now += 0.2
    assert budget.allows("snapshot")


def test_critics_get_only_what_is_left_and_are_guessed_dear_before_they_ran() -> None:
    budget, clock = started(0.5)
    clock.work(budget, "brackets", 1.0)
    clock.now = 100 + 10
    assert budget.allows("snapshot")
    assert not budget.allows("critics")
    clock.now = 100 + 43
    assert not budget.allows("critics")
    assert budget.allows("critics", last=True)
    clock.now = 100 + 45
    assert budget.allows("critics")


def test_without_a_limit_everything_is_allowed() -> None:
    budget, clock = started(None)
    clock.work(budget, "brackets", 1000.0)
    assert budget.allows("snapshot")
    assert budget.allows("critics")


def test_work_that_fails_is_paid_for() -> None:
    budget, clock = started(0.1)

    def fail() -> None:
        with budget.paying("brackets"):
            clock.now += 3
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert budget.spent == 3


def test_the_run_ends_with_one_line_that_says_what_was_left_out() -> None:
    budget, clock = started(0.1)
    clock.work(budget, "brackets", 1.0)
    budget.skipped, budget.critics_skipped, budget.early = 3, 2, 4
    clock.now = 100 + 50
    assert budget.summary() == (
        "measured 1 of 8 due steps: 1.0 s beside 49.0 s of training (2.0 %, budget 10 %); 4 were due before there were "
        "enough rows; critics skipped 2×; to see more: a larger budget=, None for all, or fewer rows="
    )
    assert Budget(None).summary() == "measured 0 of 0 due steps: 0.0 s beside 0.0 s of training"


def test_parts_of_a_piece_of_work_are_paid_for_once_and_each_is_expected_to_cost_the_same_again() -> None:
    budget, clock = started(0.5)
    with budget.paying("all"):
        clock.work(budget, "rows", 1.0)
        clock.work(budget, "brackets", 2.0)
        clock.now += 0.5
    assert budget.spent == 3.5
    clock.now = 100 + 22.4
    assert not budget.allows("snapshot")
    clock.now = 100 + 22.5
    assert budget.allows("snapshot")


def test_what_is_being_paid_for_counts_already() -> None:
    budget, clock = started(0.5)
    budget.measured = 1
    with budget.paying("all"):
        clock.now += 1.0
        assert not budget.allows("snapshot")
    clock.now = 100 + 3.0
    assert budget.allows("snapshot")


def test_work_beside_training_costs_what_it_takes_away() -> None:
    budget, clock = started(0.1)
    clock.work(budget, "brackets", 0.1)
    budget.book("brackets", cost=0.9, spent=0.5)
    assert budget.spent == pytest.approx(0.6)
    clock.now = 100 + 26.0
    assert not budget.allows("snapshot")
    clock.now = 100 + 26.2
    assert budget.allows("snapshot")


def test_steps_that_passed_while_another_was_worked_on_are_said() -> None:
    budget, clock = started(None)
    budget.measured, budget.late = 3, 2
    clock.now += 10
    assert budget.summary() == (
        "measured 3 of 5 due steps: 0.0 s beside 10.0 s of training (0.0 %); 2 were due before another was done"
    )


def test_a_budget_goes_on_where_another_stopped() -> None:
    budget, clock = started(0.1)
    clock.work(budget, "brackets", 1.0)
    budget.skipped, budget.late = 3, 1
    clock.now = 100 + 15
    later, other_clock = started(0.1)
    other_clock.now = 7000.0
    later.stop()
    later.load_state_dict(budget.state_dict())
    later.start()
    assert later.summary() == budget.summary()
    assert not later.allows("snapshot")
    other_clock.now += 16
    assert later.allows("snapshot")


def test_what_disturbed_steps_take_longer_is_lost_and_a_slow_one_counts_for_little() -> None:
    clock = Clock()
    times = StepTimes(clock)
    times.passed(beside=False, ours=0.0)
    steps = [(1, False, 0), (1, False, 0), (5, False, 4), (1.5, True, 0), (3.5, True, 2), (60, True, 0)]
    for seconds, beside, ours in steps:
        clock.now += seconds
        times.passed(beside=beside, ours=float(ours))
    assert times.lost() == 0.5 * 3
    assert times.lost() == 0.0


def test_the_clock_stands_still_while_the_run_is_interrupted() -> None:
    budget, clock = started(0.1)
    clock.work(budget, "brackets", 1.0)
    budget.stop()
    clock.now += 3600
    assert not budget.allows("snapshot")
    assert budget.elapsed == 1.0
    budget.start()
    clock.now += 30
    assert budget.allows("snapshot")


def test_training_goes_on_while_work_is_done_beside_it() -> None:
    budget, clock = started(None)
    clock.now += 10
    budget.book("brackets", cost=9.0, spent=9.0)
    assert budget.summary() == "measured 0 of 0 due steps: 9.0 s beside 10.0 s of training (90.0 %)"


def test_before_a_step_went_undisturbed_nothing_is_known_to_be_lost() -> None:
    clock = Clock()
    times = StepTimes(clock)
    for _ in range(3):
        clock.now += 1
        times.passed(beside=True, ours=0.0)
    assert times.lost() == 0.0

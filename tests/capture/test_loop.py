"""Where inputs, labels and steps of a training loop do not fit together."""

import pytest
import torch

from ibprobe.capture.loop import Loop

Y, OTHER = torch.tensor([0, 1, 0]), torch.tensor([1, 1, 0])


@pytest.fixture
def loop() -> Loop:
    loop = Loop(expects_labels=True)
    loop.forward((torch.zeros(3, 2),), {})
    return loop


def test_one_target_counts_however_often_it_is_given(loop: Loop) -> None:
    assert [loop.targets(Y, observed=False) is not None for _ in range(3)] == [True, True, True]


def test_two_targets_for_one_forward_count_for_neither_until_the_next_forward(loop: Loop) -> None:
    found = [loop.targets(y, observed=False) for y in (Y, OTHER, OTHER, Y)]
    assert [y is None for y in found] == [False, True, True, True]
    loop.forward((torch.zeros(3, 2),), {})
    assert loop.targets(OTHER, observed=False) is OTHER


def test_the_users_word_stands_above_the_criterions(loop: Loop) -> None:
    loop.targets(Y, observed=False)
    loop.targets(OTHER, observed=False)
    assert loop.targets(Y, observed=True) is Y


def test_labels_observed_before_the_first_forward_are_never_used() -> None:
    loop = Loop(expects_labels=True)
    assert loop.targets(Y, observed=True) is None
    loop.forward((torch.zeros(3, 2),), {})
    assert loop.targets(Y, observed=True) is None


def test_a_step_without_any_forward_says_what_may_be_wrong_instead_of_asking_for_labels(
    caplog: pytest.LogCaptureFixture,
) -> None:
    Loop(expects_labels=True).stepped(looked=True)
    (told,) = (r.message for r in caplog.records)
    assert "model= is not what the loop calls" in told
    caplog.clear()
    Loop(expects_labels=False).stepped(looked=True)
    Loop(expects_labels=True).stepped(looked=False)  # rows are there, so nobody looks: a run that goes on
    assert not caplog.records

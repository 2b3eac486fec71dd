"""The learning-rate schedule: warm-up by steps, halving by epochs."""

import pytest

from cloudmask.training.learning_rate_schedule import LearningRateSchedule


def scales_of_steps(schedule, steps):
    scales = []
    for _ in range(steps):
        scales.append(schedule.scale)
        schedule.steps += 1
    return scales


def scales_after(schedule, *accuracies):
    scales = []
    for accuracy in accuracies:
        schedule.record_accuracy(accuracy)
        scales.append(schedule.scale)
    return scales


@pytest.mark.parametrize(
    ("warmup_steps", "expected"), [(0, [1, 1, 1, 1, 1]), (3, [0.25, 0.5, 0.75, 1, 1])]
)
def test_the_rate_rises_linearly_in_the_warm_up_and_then_stays(warmup_steps, expected):
    assert scales_of_steps(LearningRateSchedule(warmup_steps, 2), 5) == expected


@pytest.mark.parametrize(
    ("patience", "expected"),
    [
        (0, [1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (1, [1, 1, 0.5, 0.25, 0.25, 0.125, 0.0625, 0.03125, 0.03125]),
        (2, [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]),
        (3, [1, 1, 1, 1, 1, 1, 1, 0.5, 0.5]),
    ],
)
def test_the_rate_is_halved_after_patience_epochs_without_a_new_best(patience, expected):
    accuracies = (0.5, 0.6, 0.6, 0.59, 0.7, 0.69, 0.68, 0.7, 0.71)
    assert scales_after(LearningRateSchedule(0, patience), *accuracies) == expected


def test_halving_and_warm_up_multiply():
    schedule = LearningRateSchedule(1, 1)
    assert scales_after(schedule, 0.5, 0.4) == [0.5, 0.25]
    assert scales_of_steps(schedule, 2) == [0.25, 0.5]


def test_a_restored_schedule_goes_on_as_the_first_would():
    first, second = LearningRateSchedule(3, 2), LearningRateSchedule(3, 2)
    scales_of_steps(first, 2)
    scales_after(first, 0.5, 0.4, 0.4, 0.4)
    assert first.state() == {"steps": 2, "plateau": [1, 0.5, 1]}
    second.load_state(first.state())
    assert second.state() == first.state()
    for schedule in (first, second):
        assert scales_of_steps(schedule, 3) == [0.375, 0.5, 0.5]
        assert scales_after(schedule, 0.5) == [0.25]

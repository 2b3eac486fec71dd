"""Epochs, evaluations and rates against each other, at the edges of what is allowed.

The epochs of the good log take 43.052, 42.366 and 39.487 s for 180 patches, its first evaluation
4.059 s for 60 patches.
"""

import pytest

from tests.mlperf.log_text import changed, find, good_log, shift


def with_value(lines, key, value, occurrence=0):
    at = find(lines, key)[occurrence]
    new = changed(lines[at], lambda record: record.update(value=value))
    return [*lines[:at], new, *lines[at + 1 :]]


def with_statistic(name, value):
    """The good log with one of the first epoch's tracked statistics changed."""
    lines = good_log("a")
    at = find(lines, "tracked_stats")[0]
    lines[at] = changed(lines[at], lambda record: record["value"].update({name: value}))
    return lines


@pytest.mark.parametrize(
    ("name", "samples", "seconds", "tolerance"),
    [
        ("train_throughput", 180, 43.052, 1 + 0.02 * 43.052),
        ("eval_throughput", 60, 4.059, 1 + 0.02 * 4.059),
    ],
)
def test_a_rate_agrees_with_its_interval_to_a_second_and_two_per_cent(
    report, name, samples, seconds, tolerance
):
    for sign in (-1, 1):
        within, beyond = (seconds + sign * (tolerance + more) for more in (-0.01, 0.01))
        assert report(with_statistic(name, samples / within)) == ([], [])
        (violation,), _ = report(with_statistic(name, samples / beyond))
        assert violation.startswith(f"{name} is ")
        assert violation.endswith(f"it was {seconds:.1f} s")


def test_a_rate_of_zero_is_a_violation(report):
    (violation,), _ = report(with_statistic("train_throughput", 0))
    assert "took inf s" in violation


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [("accuracy", 0.8925460815429688, "eval_accuracy"), ("wbce", 0.2786331236362457, "eval_wbce")],
)
def test_tracked_figures_agree_with_the_evaluation_to_a_millionth(report, name, value, key):
    for difference in (-0.9e-6, 0.9e-6):
        assert report(with_statistic(name, value + difference)) == ([], [])
    for difference in (-1.1e-6, 1.1e-6):
        (violation,), _ = report(with_statistic(name, value + difference))
        assert f"but {key} is" in violation


@pytest.mark.parametrize(("pixels", "count"), [(60 * 256**2, 0), (60 * 256**2 - 1, 1)])
def test_evaluated_pixels_are_those_of_the_patches(report, pixels, count):
    assert len(report(with_statistic("pixels", pixels))[0]) == count


@pytest.mark.parametrize(("most", "violations"), [(3, []), (2, ["epoch 3, but max_epochs is 2"])])
def test_no_epoch_is_beyond_the_last(report, most, violations):
    assert report(with_value(good_log("a"), "max_epochs", most)) == (violations, [])


@pytest.mark.parametrize("key", ["epoch_stop", "eval_start", "eval_accuracy", "tracked_stats"])
def test_an_event_that_an_epoch_has_twice_is_a_violation(report, key):
    lines = good_log("a")
    at = find(lines, key)[0]
    violations, _ = report([*lines[:at], lines[at], *lines[at:]])
    assert violations == [f"a second {key} in one epoch"]


@pytest.mark.parametrize("key", ["eval_accuracy", "eval_wbce"])
def test_an_evaluation_without_a_figure_is_a_violation(report, key):
    lines = good_log("a")
    del lines[find(lines, key)[0]]
    assert report(lines)[0] == [f"an evaluation without {key}"]


@pytest.mark.parametrize(("seconds", "warned"), [(275.2, False), (275.3, True)])
def test_an_epoch_of_five_medians_and_a_minute_is_slow(report, seconds, warned):
    lines = good_log("a")
    del lines[find(lines, "tracked_stats")[1]]
    lines = lines[: find(lines, "result")[0]]
    later = round(1000 * (seconds - 42.366))
    warnings = report(shift(lines, find(lines, "epoch_stop")[1], later))[1]
    assert [warning[:29] for warning in warnings] == ["took 275 s, the median epoch "] * warned


def test_of_two_epochs_none_is_slow(report):
    lines = good_log("a")
    stats = find(lines, "tracked_stats")
    lines = [line for at, line in enumerate(lines[: stats[1]]) if at != stats[0]]
    assert report(shift(lines, find(lines, "epoch_stop")[1], 10_000_000))[1] == []


@pytest.mark.parametrize("name", ["inference_accuracy", "precision", "recall", "f1"])
@pytest.mark.parametrize(
    ("value", "accepted"), [(0, True), (1, True), (-1e-3, False), (1.01, False)]
)
def test_shares_are_from_0_to_1(report, name, value, accepted):
    violations, _ = report(with_value(good_log("a"), "result", {name: value, "sst_sigma": 7}))
    assert violations == ([] if accepted else [f"{name} is {value:g}, outside 0 to 1"])


LAST_ACCURACY = 0.9008071899414063


@pytest.mark.parametrize(("target", "count"), [(LAST_ACCURACY, 0), (LAST_ACCURACY + 1e-9, 1)])
def test_a_success_has_met_its_target(report, target, count):
    assert len(report(with_value(good_log("a"), "target_accuracy", target))[0]) == count


def test_training_after_the_target_was_just_met_is_a_warning(report):
    lines = with_value(good_log("a"), "target_accuracy", 0.8985989888509115)  # that of epoch 2
    assert report(lines) == ([], ["training went on after line 50 had met the target"])

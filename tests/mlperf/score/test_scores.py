"""Scores, their intervals, ratios and the efficiency of larger systems."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlperf_logging.result_summarizer import result_summarizer
from scipy import stats
from scipy.stats import mstats

from cloudmask.mlperf.score.runs import find_logs, read_runs
from cloudmask.mlperf.score.scaling import scaling_efficiencies
from cloudmask.mlperf.score.scores import Estimate, olympic_mean, plain_mean, ratio, scores
from cloudmask.mlperf.score.summarize import no_score_reason, score_summary
from tests.mlperf.run_events import Event, Run
from tests.mlperf.timed_logs import miss_the_target, set_value, unchecked, write_runs

TIMES = st.lists(st.floats(1, 1e5), min_size=5, max_size=60)


@given(TIMES, st.booleans())
def test_the_score_is_that_of_the_official_summarizer(times: list[float], missed: bool) -> None:
    official = result_summarizer._compute_olympic_average(list(times), int(missed), 1)
    assert olympic_mean([*times, *[math.inf] * missed]).mean == pytest.approx(official)


@given(TIMES)
def test_one_absurd_run_moves_neither_score_nor_interval(times: list[float]) -> None:
    slowest = times.index(max(times))
    absurd = [math.inf if index == slowest else time for index, time in enumerate(times)]
    found, plain = olympic_mean(absurd), olympic_mean(times)
    assert (found.mean, found.standard_error) == pytest.approx((plain.mean, plain.standard_error))


def test_its_error_is_that_of_scipy() -> None:
    times = np.random.default_rng(1).normal(100, 8, 10)
    expected = mstats.trimmed_stde(times, limits=(0.1, 0.1))
    assert olympic_mean(list(times)).standard_error == pytest.approx(expected)


@settings(deadline=None)
@given(st.integers(5, 12), st.integers(0, 2**32 - 1))
def test_interval_holds_the_mean_and_widens_with_the_spread(count: int, seed: int) -> None:
    noise = np.random.default_rng(seed).normal(0, 1, count)
    narrow, wide = (olympic_mean(list(100 + scale * noise)) for scale in (0.5, 5))
    for found in (narrow, wide):
        low, high = found.interval
        assert 0 < low <= found.mean <= high
    assert wide.interval[1] - wide.interval[0] > narrow.interval[1] - narrow.interval[0]


def test_interval_covers_the_true_mean_about_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(1)
    drawn = rng.normal(100, 8, (2000, 7))
    intervals = [olympic_mean(list(times)).interval for times in drawn]
    covered = np.mean([low <= 100 <= high for low, high in intervals])
    assert 0.92 < covered < 0.98


def test_interval_is_students_of_the_logarithm() -> None:
    # 4.3027 is the 97.5 % quantile of Student's t with two degrees of freedom.
    low, high = Estimate(100, 2, 2).interval
    assert (low, high) == pytest.approx((100 / 1.089859, 100 * 1.089859), rel=1e-5)
    assert plain_mean([90, 100, 110]) == Estimate(100, 10 / math.sqrt(3), 2)
    assert olympic_mean([1, 90, 100, 110, 1000]).degrees_of_freedom == 2


def test_ratio_has_the_degrees_of_freedom_of_welch() -> None:
    # Relative variances 1e-4 and 4e-4: (5e-4)^2 / (1e-8 / 4 + 16e-8 / 8) = 11.111 degrees.
    value, low, high = ratio(Estimate(100, 1, 4), Estimate(50, 1, 8))
    factor = math.exp(stats.t.ppf(0.975, 100 / 9) * math.sqrt(5e-4))
    assert (value, low, high) == pytest.approx((2, 2 / factor, 2 * factor))


def test_a_score_takes_five_runs(tmp_path: Path) -> None:
    paths = write_runs(tmp_path, [90, 91, 92, 93, 100])
    four, five = (scores(unchecked(paths[:count]))[0] for count in (4, 5))
    assert (four.official, five.official) == (False, True)
    assert four.seconds == plain_mean([90, 91, 92, 93])
    assert five.seconds == olympic_mean([90, 91, 92, 93, 100])
    assert five.standard_deviation == pytest.approx(np.std([90, 91, 92, 93, 100], ddof=1))
    assert (five.mean("epochs"), five.mean("samples")) == (3, 3 * 15488)
    assert five.mean("final_accuracy") == pytest.approx(0.91)


def test_one_or_two_runs_have_no_interval() -> None:
    assert math.isnan(plain_mean([90.0]).interval[0])
    assert math.isnan(plain_mean([90.0, 100.0]).interval[0])


def test_ratio_and_its_interval_are_inverted_with_the_systems() -> None:
    one, other = olympic_mean([50, 52, 49, 51, 50.5]), olympic_mean([99, 104, 101, 97, 100])
    value, low, high = ratio(one, other)
    inverse, inverse_low, inverse_high = ratio(other, one)
    assert value == pytest.approx(50.5 / 100)
    assert low < value < high
    assert (inverse, inverse_low, inverse_high) == pytest.approx((1 / value, 1 / high, 1 / low))


def test_ratio_of_runs_without_spread_is_exact_and_of_single_runs_has_no_interval() -> None:
    exact = Estimate(10, 0.0, 2)
    assert ratio(exact, Estimate(5, 0.0, 2)) == (2, 2, 2)
    assert math.isnan(ratio(exact, plain_mean([7.0]))[1])


def test_runs_of_different_settings_are_never_in_one_score(tmp_path: Path) -> None:
    changes = [("recipe", "fast"), ("global_batch_size", 128), ("train_samples", 15520)]
    paths = write_runs(tmp_path / "plain", [90, 91])
    for key, value in changes:
        paths += write_runs(tmp_path / key, [50], set_value(key, value))
    found = scores(unchecked(paths))
    assert [len(score.runs) for score in found] == [2, 1, 1, 1]


def test_only_runs_that_count_are_in_the_score(tmp_path: Path) -> None:
    paths = write_runs(tmp_path / "good", [90, 92])
    paths += write_runs(tmp_path / "same seed", [10])
    (score,) = scores(unchecked(paths))
    assert score.seconds is not None
    assert score.seconds.mean == 91
    assert (len(score.runs), len(score.valid_runs), score.official) == (3, 2, False)


def test_one_run_may_fail_and_is_the_slowest(tmp_path: Path) -> None:
    paths = write_runs(tmp_path / "good", [90, 91, 92, 95])
    for failed, seconds in ((1, 278 / 3), (2, 92)):
        folder, more = tmp_path / f"bad{failed}", {"first_seed": 200 + failed, "later": failed}
        paths += write_runs(folder, [50], miss_the_target, **more)
        (score,) = scores(read_runs(paths))
        assert (score.failed, score.official) == (failed, failed == 1)
        assert score.seconds is not None
        assert score.seconds.mean == pytest.approx(seconds)
        if failed == 2:
            assert no_score_reason(score) == "2 runs failed, of each five 1 may"


def runs_in_order(folder: Path, times: Sequence[float]) -> list[Path]:
    """Runs that started one after the other; infinite times are of runs that failed."""
    paths = []
    for number, seconds in enumerate(times):
        failed = math.isinf(seconds)
        spoils = [miss_the_target] if failed else []
        more = {"first_seed": 500 + number, "later": 1000 * number}
        paths += write_runs(folder / f"{number:02}", [50 if failed else seconds], *spoils, **more)
    return paths


@pytest.mark.parametrize(
    ("times", "first", "mean"),
    [
        # Sets of five from 0, 1 and 2: means 92, 93 and 94.
        ([90, 91, 92, 93, 94, 95, 101], 1, 93),
        # Of two sets it is the slower one.
        ([90, 91, 92, 93, 94, 95], 1, 93),
        # The failed run is in every set, and its slowest.
        ([90, 91, 92, math.inf, 93, 94, 95], 1, 93),
        # Means are infinite (two failed runs in a set), infinite, 95, 95, 96 and 97.
        ([90, math.inf, math.inf, 93, 94, 95, 96, 97, 98, 99], 5, 97),
    ],
)
def test_of_more_than_five_runs_the_set_with_the_median_makes_the_score(
    tmp_path: Path, times: list[float], first: int, mean: float
) -> None:
    paths = runs_in_order(tmp_path, times)
    (score,) = scores(read_runs(paths[::-1]))  # in whatever order they are read
    assert [run.path for run in score.scored_runs] == paths[first : first + 5]
    assert score.seconds is not None
    assert score.seconds.mean == pytest.approx(mean)
    text = score_summary(score)
    assert f", the median of {len(times) - 4} sets of consecutive runs (result_0, " in text


def test_a_median_that_is_infinite_is_no_score(tmp_path: Path) -> None:
    (score,) = scores(read_runs(runs_in_order(tmp_path, [90, 91, math.inf, math.inf, 92, 93])))
    assert not score.official
    assert "No score: 2 runs failed, of each five 1 may; mean of 4 runs: 91.5 s" in (
        score_summary(score)
    )


def write_size(folder: Path, platform: str, nodes: int, times: Sequence[float]) -> list[Path]:
    """Runs of a system of so many nodes of 16 accelerators."""
    changes = [set_value("submission_platform", platform), set_value("number_of_nodes", nodes)]
    return write_runs(folder / platform, times, *changes)


def test_efficiency_is_one_where_twice_the_size_takes_half_the_time(tmp_path: Path) -> None:
    paths = write_size(tmp_path, "DGX2", 1, [100])
    paths += write_size(tmp_path, "DGX2_2x16", 2, [50])
    paths += write_size(tmp_path, "DGX2_4x16", 4, [50])
    found = scaling_efficiencies(scores(unchecked(paths)))
    assert [(each.score.setting.platform, each.size) for each in found] == [
        ("DGX2", 16),
        ("DGX2_2x16", 32),
        ("DGX2_4x16", 64),
    ]
    assert [each.solution for each in found] == pytest.approx([1, 1, 0.5])
    assert [each.throughput for each in found] == pytest.approx([1, 1, 0.5], rel=0.01)


def test_the_fastest_system_of_a_size_is_compared(tmp_path: Path) -> None:
    paths = write_size(tmp_path, "DGX2", 1, [100])
    for name, seconds in (("DGX2_slow", 80), ("DGX2_fast", 60), ("DGX2_other", 70)):
        paths += write_size(tmp_path, name, 2, [seconds])
    _, larger = scaling_efficiencies(scores(unchecked(paths)))
    assert larger.score.setting.platform == "DGX2_fast"
    assert larger.solution == pytest.approx(100 / 60 / 2)


def test_systems_of_other_families_or_sizes_alone_have_no_efficiency(tmp_path: Path) -> None:
    paths = write_size(tmp_path, "DGX2", 1, [100])
    paths += write_size(tmp_path, "H200_2", 2, [10])
    assert scaling_efficiencies(scores(unchecked(paths))) == []


def test_runs_on_different_hardware_are_different_scores(tmp_path: Path) -> None:
    """A name of a system in the log is what its user gave it; its hardware is what it is."""
    machines = [{"host_processors_per_node": "2", "host_processor_model_name": x} for x in "AB"]
    for machine in machines:

        def on(run: Run, machine: dict[str, str] = machine) -> None:
            event = Event("event", "system_description", machine)
            run.insert(run.at("cache_clear"), event)

        write_runs(tmp_path / machine["host_processor_model_name"], [100, 99], on)
    write_runs(tmp_path / "unknown", [100, 99])
    found = scores(read_runs(find_logs([tmp_path])))
    assert [score.setting.hardware for score in found] == ["2 x A", "2 x B", ""]
    assert [len(score.valid_runs) for score in found] == [2, 2, 2]  # and their seeds are their own
    texts = [str(score.setting) for score in found]
    assert "(2 nodes x 16 accelerators, 2 x A), ds1 data" in texts[0]
    assert "(2 nodes x 16 accelerators, hardware not logged), ds1 data" in texts[2]


def test_scenes_in_memory_are_named(tmp_path: Path) -> None:
    def in_memory(run: Run) -> None:
        run.insert(run.at("cache_clear"), Event("event", "data_file_system", "tmpfs"))

    write_runs(tmp_path / "memory", [100, 99], in_memory)
    write_runs(tmp_path / "disk", [100, 99])
    (held,) = scores(read_runs(find_logs([tmp_path / "memory"])))
    (on_disk,) = scores(read_runs(find_logs([tmp_path / "disk"])))
    assert "in memory" not in score_summary(on_disk)
    assert "; scenes held in memory, not on storage, in 2 of them" in score_summary(held)

"""The lines at the end of a log against its events, at the edges of what is allowed.

The events of the good log take 163.617 s, of which 138.767 s from run_start to run_stop.
"""

import pytest

from tests.mlperf.log_text import find, good_log, record_of, with_record

RESULT = "RESULT,CLOUDMASK,413685808,{},root,2026-11-23T00:02:12+0000"


def with_result(line):
    return [*good_log("a")[:-1], line]


@pytest.mark.parametrize("seconds", [163, 1363])
def test_a_result_of_the_events_and_up_to_twenty_minutes_more_is_accepted(report, seconds):
    assert report(with_result(RESULT.format(seconds))) == ([], [])


def test_the_start_of_logs_of_earlier_versions_is_accepted(report):
    line = RESULT.format(166).replace("2026-11-23T00:02:12+0000", "2026-11-23 12:02:12 AM")
    assert report(with_result(line)) == ([], [])


def test_a_result_shorter_than_its_events_is_a_violation(report):
    assert report(with_result(RESULT.format(162))) == (
        ["162 s, but the events alone take 163.6 s"],
        [],
    )


def test_a_result_twenty_minutes_longer_than_its_events_is_a_warning(report):
    assert report(with_result(RESULT.format(1364))) == (
        [],
        ["1364 s, but the events take 163.6 s"],
    )


@pytest.mark.parametrize(("seconds", "warned"), [(1463, False), (1464, True)])
def test_the_seconds_of_fetching_belong_to_the_result(report, seconds, warned):
    lines = with_result(RESULT.format(seconds))
    (at,) = find(lines, "store")
    record = {**record_of(lines[at]), "key": "fetch_seconds", "value": 100}
    lines.insert(at, with_record(record))
    violations, warnings = report(lines)
    assert violations == []
    assert bool(warnings) == warned


@pytest.mark.parametrize(
    "line",
    [
        RESULT.format("1e3"),
        RESULT.format("-5"),
        RESULT.format(166).replace("CLOUDMASK", "DEEPCAM"),
        RESULT.format(166).rpartition(",")[0],
        RESULT.format(166).replace("root", "ro,ot"),
    ],
)
def test_a_result_of_another_form_is_a_violation(report, line):
    assert report(with_result(line)) == (["not RESULT,CLOUDMASK,SEED,SECONDS,USER,START"], [])


def test_the_seed_of_another_run_and_a_second_result_are_violations(report):
    line = RESULT.format(166)
    other = line.replace("413685808", "413685809")
    assert report(with_result(other))[0] == ["seed 413685809, but the log's is 413685808"]
    assert report([*with_result(line), line])[0] == [
        "a second RESULT, after line 69: lines of two runs"
    ]


@pytest.mark.parametrize(
    ("printed", "accepted"),
    [
        ("138.767 s", True),
        ("138.768 s", True),
        ("138.766 s", True),
        ("138.769 s", False),
        ("138.765 s", False),
        ("none: aborted after 138.767 s", True),
        ("none: aborted after 100.000 s", False),
    ],
)
def test_the_time_to_solution_is_that_of_the_events_to_a_millisecond(report, printed, accepted):
    lines = good_log("a")
    (at,) = (i for i, line in enumerate(lines) if line.startswith("time to solution"))
    lines[at] = f"time to solution  {printed}"
    expected = [] if accepted else ["from run_start to run_stop it was 138.767 s"]
    assert report(lines) == (expected, [])


def test_an_event_after_the_result_is_a_violation(report):
    lines = good_log("a")
    assert report([*lines, lines[find(lines, "result")[0]]])[0] == [
        "an event after the RESULT of line 69: lines of two runs"
    ]

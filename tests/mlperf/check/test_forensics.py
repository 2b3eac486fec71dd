"""The forensic checks of a log, beyond the presence and the order of its events."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloudmask.errors import InputError
from cloudmask.mlperf.check.command import check
from cloudmask.mlperf.check.forensics import MOST_VIOLATIONS, examine
from cloudmask.mlperf.log.lines import LARGEST_LOG, LONGEST_LINE, read_lines
from tests.mlperf.log_text import as_bytes, changed, find, good_log, shift
from tests.paths import ROOT

# Checks a file, and says how much memory that took at most.
CHECK_AND_MEASURE = """
import resource, sys
from pathlib import Path
from cloudmask.mlperf.check.command import check
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = check(Path(sys.argv[1]))
print(report.accepted, report.violations[0].problem)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

STRANGE = ("patch_size", "eval_samples", "seed", "epoch_start", "tracked_stats", "eval_accuracy")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "result_0.txt"


def warnings(path: Path, lines: list[str]) -> list[str]:
    """The warnings of a file without violations."""
    path.write_bytes(as_bytes(lines))
    findings = examine(path)
    assert findings.violations == []
    return [str(found) for found in findings.warnings]


def violations(path: Path, content: list[str] | bytes) -> list[str]:
    """The violations of a file."""
    path.write_bytes(as_bytes(content))
    return [str(found) for found in examine(path).violations]


def test_a_real_log_has_no_warnings(path):
    assert warnings(path, good_log("")) == []


@pytest.mark.parametrize(("milliseconds", "count"), [(60_000, 0), (60_001, 1)])
def test_a_pause_inside_the_run_is_a_warning_after_a_minute(path, milliseconds, count):
    lines = good_log("a")
    lines = lines[: find(lines, "result")[0]]
    at = find(lines, "epoch_start")[1]  # at the same millisecond as the event before
    assert len(warnings(path, shift(lines, at, milliseconds))) == count


@pytest.mark.parametrize(
    "key", ["init_stop", "staging_stop", "epoch_stop", "eval_accuracy", "result", "init_start"]
)
def test_pauses_in_intervals_and_outside_the_run_are_no_warning(path, key):
    lines = good_log("a")
    end = len(lines) if key == "result" else find(lines, "result")[0]
    lines = [line for line in lines[:end] if '"tracked_stats"' not in line]
    lines = [line for line in lines if not line.startswith("RESULT")]
    assert warnings(path, shift(lines, find(lines, key)[0], 100_000)) == []


@pytest.mark.parametrize(("milliseconds", "count"), [(0, 0), (-1, 1)])
def test_time_never_decreases(path, milliseconds, count):
    lines = good_log("a")
    lines = lines[: find(lines, "result")[0]]
    at = find(lines, "epoch_start")[1]
    found = violations(path, shift(lines, at, milliseconds))
    assert len(found) == count
    assert all("its time is 0.001 s before that of line 46" in problem for problem in found)


@pytest.mark.parametrize("stamp", [0, -5, True, None, "1795392134383"])
def test_a_time_stamp_that_is_no_positive_number_is_a_violation(path, stamp):
    lines = good_log("a")
    lines[0] = changed(lines[0], lambda record: record.update(time_ms=stamp))
    (problem,) = violations(path, lines)
    assert f"time_ms is {stamp!r}, expected milliseconds since 1970" in problem


@pytest.mark.parametrize(
    ("key", "event_type"),
    [
        ("seed", "INTERVAL_END"),
        ("init_start", "POINT_IN_TIME"),
        ("init_stop", "INTERVAL_START"),
        ("staging_stop", "INTERVAL_START"),
        ("epoch_start", "INTERVAL_END"),
        ("eval_stop", "POINT_IN_TIME"),
        ("run_stop", "INTERVAL_START"),
    ],
)
def test_an_event_of_another_type_than_its_key_has_is_a_violation(path, key, event_type):
    lines = good_log("a")
    at = find(lines, key)[0]
    lines[at] = changed(lines[at], lambda record: record.update(event_type=event_type))
    (problem,) = violations(path, lines)
    assert f"event_type is {event_type!r}, expected " in problem


def test_lines_of_two_namespaces_are_a_violation(path):
    lines = good_log("a")
    lines[5] = changed(lines[5], lambda record: record.update(namespace="b"))
    (problem,) = violations(path, lines)
    assert "namespace is 'b', but 'a' in line 1: the file has lines of two runs" in problem


def test_a_line_is_cut_after_128_kib(path):
    lines = good_log("a")
    longest = "x" * (LONGEST_LINE - 1)  # and its line end
    assert warnings(path, [longest, *lines]) == []
    (problem,) = violations(path, [longest + "x", *lines])
    assert "line 1: longer than any line of a log" in problem


def test_zero_bytes_and_a_lost_line_end_are_found(path):
    whole = as_bytes(good_log("a"))
    assert "line 1: holds a zero byte" in violations(path, b"\0" + whole)[0]
    path.write_bytes(b"text\0\n" + whole[:-1])
    found = examine(path)
    assert found.violations == []
    assert [str(x).split("\n")[0] for x in found.warnings] == [
        "line 1: holds a zero byte: the file is damaged",
        "line 70: the last line has no line end: the file may be truncated",
    ]


def test_an_event_without_its_token_is_a_violation(path):
    lines = good_log("a")
    lines[3] = lines[3].removeprefix(":::MLLOG ")
    assert "line 4: an event without :::MLLOG" in violations(path, lines)[0]


def test_a_pause_between_epochs_is_a_warning(path):
    lines = good_log("a")
    lines = shift(lines[: find(lines, "result")[0]], find(lines, "epoch_start")[1], 400_000)
    (warning,) = warnings(path, lines)
    assert warning.startswith("epoch_start, line 47: nothing was logged for 400 s, outside staging")


def test_an_epoch_much_slower_than_the_others_is_a_warning(path):
    lines = good_log("a")
    del lines[find(lines, "tracked_stats")[1]]
    lines = shift(lines[: find(lines, "result")[0]], find(lines, "epoch_stop")[1], 900_000)
    (warning,) = warnings(path, lines)
    assert "took 942 s, the median epoch 43 s" in warning


def test_an_epoch_without_evaluation_is_a_warning(path):
    lines = good_log("a")
    first, last = find(lines, "eval_start")[0], find(lines, "tracked_stats")[0]
    (warning,) = warnings(path, lines[:first] + lines[last + 1 :])
    assert "epoch_start, line 40: an epoch without an evaluation" in warning


def test_training_on_after_the_target_was_met_is_a_warning(path):
    lines = good_log("a")
    for at in (find(lines, "eval_accuracy")[1], find(lines, "tracked_stats")[1]):
        lines[at] = lines[at].replace("0.8985989888509115", "0.95").replace("0.898599", "0.95")
    (warning,) = warnings(path, lines)
    assert "training went on after line 50 had met the target" in warning


def test_a_success_below_its_own_target_is_named_with_both_figures(path):
    lines = good_log("a")
    (at,) = find(lines, "target_accuracy")
    lines[at] = changed(lines[at], lambda record: record.update(value=0.95))
    (violation,) = violations(path, lines)
    assert "the last eval_accuracy is 0.9008071899414063 and target_accuracy is 0.95" in violation


def test_fewer_evaluated_pixels_than_declared_are_named_with_both_counts(path):
    lines = good_log("a")
    (at,) = find(lines, "eval_samples")
    lines[at] = changed(lines[at], lambda record: record.update(value=61))
    problems = violations(path, lines)
    assert len(problems) == 3  # of each epoch
    assert "3932160 pixels were evaluated, but eval_samples is 61 patches of 256" in problems[0]


def test_a_rate_that_its_time_stamps_contradict_is_named_with_both_times(path):
    lines = good_log("a")
    at = find(lines, "tracked_stats")[0]
    lines[at] = lines[at].replace("4.181026140503069", "8.362052281006138")
    (violation,) = violations(path, lines)
    assert "took 21.5 s, but from epoch_start to epoch_stop it was 43.1 s" in violation


def test_the_result_of_another_run_is_named(path):
    lines = good_log("a")
    lines[-1] = lines[-1].replace("413685808", "7").replace(",166,", ",66,")
    problems = violations(path, lines)
    assert problems[0].startswith("RESULT, line 69: seed 7, but the log's is 413685808")
    assert "66 s, but the events alone take 163.6 s" in problems[1]


def test_damaged_bytes_are_a_violation_in_an_event_and_a_warning_elsewhere(path):
    whole = as_bytes(good_log("a"))
    (violation,) = violations(path, whole.replace(b'"cloudmask"', b'"cl\xffudmask"', 1))
    assert "line 1: byte 129 is not UTF-8" in violation
    path.write_bytes(b"caf\xe9\n" + whole)
    findings = examine(path)
    assert findings.violations == []
    assert "line 1: byte 4 is not UTF-8" in str(findings.warnings[0])


def test_a_last_line_that_was_cut_is_named(path):
    whole = as_bytes(good_log("a"))
    end = whole.index(b'"key": "result"')
    assert "the file ends within this event" in violations(path, whole[:end])[0]


def test_bytes_that_a_terminal_would_obey_are_not_shown(path):
    (violation,) = violations(path, [*good_log("a"), "RESULT,\x1b[2Jcleared"])[:1]
    assert "\x1b" not in violation


@pytest.mark.parametrize("value", [1e200, -(10**400), "x" * 1000, [[]], {"a": {}}, True, None])
def test_no_value_is_too_strange_to_be_examined(path, value):
    lines = good_log("a")
    for field in ("value", "time_ms", "key", "metadata", "namespace", "event_type"):
        for at in find(good_log("a"), *STRANGE):
            lines[at] = changed(
                lines[at], lambda record, field=field: record.update({field: value})
            )
            violations(path, lines)
        lines = good_log("a")
    (at,) = find(lines, "target_accuracy")
    bad = [
        changed(line, lambda record: record.update(value=value)) if '"eval_acc' in line else line
        for line in lines
    ]
    del bad[at]
    violations(path, bad)


def test_of_many_findings_the_first_are_kept_and_the_rest_counted(path):
    path.write_text("RESULT,\n" * 1000)
    findings = examine(path)
    assert len(findings.violations) == MOST_VIOLATIONS
    assert findings.left_out == 900


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["events", "one line", "zeros"])
def test_a_huge_file_is_refused_in_bounded_memory(path, kind):
    size = 100_000_000
    with path.open("wb") as file:
        if kind == "events":
            block = as_bytes(good_log("a")[:66])
            for _ in range(size // len(block)):
                file.write(block)
        elif kind == "one line":
            for _ in range(size // 1_000_000):
                file.write(b":::MLLOG {" * 100_000)
        else:
            file.truncate(size)
    done = subprocess.run(
        [sys.executable, "-c", CHECK_AND_MEASURE, path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    verdict, kilobytes = done.stdout.splitlines()
    assert verdict.startswith("False the file has ")
    assert "more than the 16.8 MB that the log of a run can have" in verdict
    assert int(kilobytes) < 60_000


def test_a_file_too_large_for_a_log_is_not_summed_up(path):
    with path.open("wb") as file:
        file.truncate(LARGEST_LOG + 1)
    with pytest.raises(InputError, match="give the log of one run"):
        read_lines(path)
    assert not check(path).accepted
    with path.open("r+b") as file:
        file.truncate(LARGEST_LOG)
    assert read_lines(path) == []
